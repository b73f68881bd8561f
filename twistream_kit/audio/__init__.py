"""Samples and bytes: WAV headers, G.711, resampling, clips and file conversion."""
