"""Reviews of messages, payloads, sound, streams, TwiML documents, files and captures.

A review returns objections, each with the problem, its consequence and the fix; it changes nothing.
Begin with `message`, which reviews one message.  `payload` checks the bytes of one payload, `sound`
analyses the sound of many, and `stream` reviews all messages of a server with these three.
`speech` finds who speaks when, and `turns` how fast a conversation goes.
"""
