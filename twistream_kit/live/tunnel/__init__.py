"""A public address for a local server.

By ngrok, cloudflared, ssh or a fixed one, proved before use and watched afterwards. Nothing here
answers requests; it only leads them to the server. Begin with `tunnel`; `_provider` is the
interface of a provider, `_ngrok`, `_cloudflared` and `_ssh` implement it, and a new provider is a
module beside these and a row in `_table`.
"""
