"""Twilio's side of a call on this machine.

REST API, TwiML, ringing, the stream with its playout buffer in real time, telephones and the
debugger. Nothing here imports `live`: the two are the two parties of a call and share only the
protocol. Begin with `twilio`, the whole of it, and `simulate_call`, one call against a URL;
`model.assumptions` lists what is not known of the real service.
"""
