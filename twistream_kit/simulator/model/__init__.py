"""What the simulator knows without a call.

Its assumptions about Twilio, telephone numbers and SIDs, and the debugger log. Nothing here opens
a socket or starts a task. Begin with `assumptions`, the switches and their sources.
"""
