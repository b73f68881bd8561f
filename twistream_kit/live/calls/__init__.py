"""A call that was placed: its status, its end, and requests about it.

Nothing here places a call (`live.dialling` does) or carries its sound (`live.stream` does). Begin
with `call`; `status` holds the status callbacks, `sdk` makes requests with the official client, and
`exit_hooks` hangs up calls when the interpreter exits.
"""
