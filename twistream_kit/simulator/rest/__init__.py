"""The REST API for the official SDK: calls, numbers, the account, and errors with their codes.

Nothing here runs a call itself.  Begin with `app`, which routes the requests; `call_request` reads
the parameters of a call and `_errors` holds the error messages.
"""
