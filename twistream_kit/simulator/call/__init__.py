"""One simulated call.

Ringing, its TwiML carried out verb by verb, its streams, status callbacks and the telephone at
its other end. Nothing here answers REST requests; `simulator.rest` turns them into calls. Begin
with `call`, then `_interpreter`, which carries out TwiML; `web` fetches documents and sends
callbacks.
"""
