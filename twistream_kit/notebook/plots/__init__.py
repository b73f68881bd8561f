"""Matplotlib figures of recorded data: clips, examinations, the timeline of a call.

Nothing here uses pyplot or runs in a callback. Begin with `_timeline`, which reads a call from its
capture for `call` to draw; `style` has the colours and sizes of all plots.
"""
