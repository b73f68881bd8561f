"""One call as timed messages.

These modules store the messages of a call, write them to a file and read them back, redact them,
replay them through the playout model, describe them as text, and compute figures.  `diagnosis`
reviews messages and `notebook` draws them.  Begin with `capture`, the class; `file` defines the
file format, `message_text` describes a message, `summary` computes the figures and defines them.
"""
