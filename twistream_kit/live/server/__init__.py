"""The port that Twilio connects to.

WebSocket streams, webhooks and a proof of health, with the checks of who may connect. Nothing here
plays or reads sound; each admitted socket is handed to `live.stream`. Begin with `server`; `http`
answers requests and decides on admission, `request_head` has h11 read them, `addresses` knows where
the server is reached from outside.
"""
