"""A public address for a local server.

Made by a provider or fixed, proved before use and watched afterwards. Nothing here answers
requests; it only leads them to the server. Begin with `tunnel`; `_provider` is the interface of a
provider, and a new one is a module beside it and a row in `_table`, which names them all.
"""
