"""The REST API that the official SDK speaks to.

Calls, numbers, the account, and each refusal with its code. Nothing here runs a call itself.
Begin with `app`, which routes the requests; `call_request` reads what is asked for and `_errors`
words the refusals.
"""
