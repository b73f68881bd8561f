"""The account, the numbers and the secrets.

Found in an argument, the environment or a file, checked, and never shown. Nothing here contacts
anybody; the client that it makes is used elsewhere. Begin with `settings`; `schema` lists every
setting with its shape, and `secret` holds what must not be printed.
"""
