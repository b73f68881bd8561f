"""The parts of the simulator that need no call: assumptions about Twilio, numbers, the debugger.

Nothing here opens a socket or starts a task.  Begin with `assumptions`, the switches and their
sources; `numbers` makes SIDs and checks telephone numbers.
"""
