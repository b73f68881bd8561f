"""A public address for a local server.

By ngrok, cloudflared, ssh or a fixed one, proved before use and watched afterwards. Nothing here
answers requests; it only leads them to the server. Begin with `tunnel`; `_provider` is what every
provider has to do, and `_ngrok`, `_cloudflared` and `_ssh` do it. A new provider is a module beside
these.
"""
