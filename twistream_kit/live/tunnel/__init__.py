"""A public address for a local server, from a provider of tunnels or fixed.

The address is verified before use and watched afterwards.  These modules forward requests to the
server and answer none.  Begin with `tunnel`; `_provider` is the interface of a provider, and a new
provider is a module beside it and a row in `_table`, which names them all.
"""
