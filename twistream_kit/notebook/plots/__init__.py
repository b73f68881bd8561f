"""Pictures made by matplotlib after the fact: clips, examinations, the timeline of a call.

Nothing here uses pyplot or runs in a callback. Begin with `_timeline`, the call as `call` draws it;
`style` has the colours and sizes of all plots.
"""
