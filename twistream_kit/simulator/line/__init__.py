"""What a telephone line does to sound, by rules and a seed.

Nothing here has a clock, a socket or a task.  Begin with `line`, which has the parameters; `stream`
is the way of one direction of a call, frame by frame; `arrival` says when each frame comes.
"""
