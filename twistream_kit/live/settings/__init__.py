"""The settings of a real call: account, numbers and secrets.

Nothing here contacts Twilio; the client made here is used elsewhere. Begin with `settings`, which
reads arguments, the environment, a file and a form; `schema` lists every setting with its format,
and `secret` holds texts that do not print themselves.
"""
