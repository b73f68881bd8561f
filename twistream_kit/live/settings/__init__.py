"""The account, the numbers and the secrets of a real call: found, checked, and never shown.

Nothing here contacts Twilio; the client that it makes is used elsewhere. Begin with `settings`,
which reads arguments, the environment, a file and a form; `schema` lists every setting with its
shape, and `secret` is a text that does not print itself.
"""
