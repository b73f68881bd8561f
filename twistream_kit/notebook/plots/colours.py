"""The colours of a call, one for each party, the same in every picture.

Blue and vermilion of Okabe and Ito's palette, which people with any of the common forms of colour
blindness tell apart; on white both reach a contrast of 3.7 or more.  Nothing is said by colour
alone: every lane and every line carries its name as well.
"""

from __future__ import annotations

CALLER_COLOUR = "#0072B2"
"""Inbound: what the caller says (blue)."""

YOUR_COLOUR = "#D55E00"
"""Outbound: what your server says (vermilion)."""

QUIET_COLOUR = "#6B6B6B"
"""What belongs to neither: grids, curves, notes (grey)."""

MARK_COLOUR = "#007A5A"
"""A mark (green, darkened for text)."""

CLEAR_COLOUR = "#A02C6D"
"""A clear (purple, darkened for text)."""
