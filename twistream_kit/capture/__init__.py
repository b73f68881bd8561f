"""One call as timed messages.

Kept, written to a file and read back, redacted, replayed through the playout model, put into
words, and summarised in figures. Nothing here judges a message or draws one; that is done in
`diagnosis` and `notebook`. Begin with `capture`, the class; `file` has the format on disk,
`message_text` the words for a message, `summary` the figures and their definitions.
"""
