"""The checks before a call.

Account, numbers, permissions, address and signature, each with its result in words. Nothing here
places a call or repairs what it finds. Begin with `preflight`, which runs the checks; `check` is
one result, `_account` and `_address` are the checks themselves.
"""
