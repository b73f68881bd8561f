"""Audio: WAV headers, G.711, resampling, clips, measurement and file conversion.

Nothing here uses Twilio, sockets, clocks or widgets, and nothing here waits. Begin with `clip`, the
sound that the rest of the package sends and receives; then `load` (any file to a clip) and
`wav_report` (a WAV header, explained byte by byte).
"""
