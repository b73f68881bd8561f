"""One simulated call: ringing, TwiML, streams, status callbacks, and the telephone that is called.

Nothing here answers REST requests; `simulator.rest` turns them into calls.  Begin with `call`, then
`_interpreter`, which executes TwiML; `web` fetches documents and sends callbacks.
"""
