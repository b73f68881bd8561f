"""The commands of ``twistream``: the options of each, what it does with them and its exit code.

A command says what it says through `terminal`, and imports what it needs when it runs, so
``explain`` answers at once.  No rule of the protocol is decided here.  Begin with `parser`, then
`explain`, the smallest; `cli` puts them together.
"""
