"""Samples and bytes: WAV headers, G.711, resampling, clips, measurement and file conversion.

Nothing here knows Twilio, sockets, clocks or widgets, and nothing here waits. Begin with `clip`,
the sound that everything else carries; then `load` (any file to a clip) and `wav_report` (every
byte of a header in words).
"""
