"""Checks before a call: account, numbers, permissions, address and signatures.

Nothing here places a call or changes a setting. Begin with `preflight`, which runs the checks;
`check` holds the result of one, `_account` and `_address` contain the checks.
"""
