"""The server that Twilio connects to: WebSocket streams, webhooks and a health check on one port.

Nothing here plays or reads sound; `live.stream` handles each admitted socket. Begin with
`stream_host`, on which `server` and the ASGI application of `stream_app` stand; `http` receives
requests and parses their heads with `request_head`; `webhooks` decides on admission and answers
requests; `addresses` holds the local and public addresses.
"""
