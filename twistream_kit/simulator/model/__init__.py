"""What the simulator knows without a call.

Its assumptions about Twilio, telephone numbers and SIDs, and the debugger log. Nothing here has a
socket or a clock. Begin with `assumptions`, the switches and their sources.
"""
