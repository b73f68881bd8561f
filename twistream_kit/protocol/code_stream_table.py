"""Twilio's codes for streams, 31900 to 31999 (PROTOCOL.md §5.1)."""

from __future__ import annotations

from twistream_kit.protocol.code_tables import Level, TwilioCode


def _row(
    code: int,
    name: str,
    meaning: str,
    causes: tuple[str, ...],
    remedy: str,
    level: Level = "error",
) -> TwilioCode:
    return TwilioCode(code, f"Stream - {name}", level, meaning, causes, remedy, "5.1")


STREAM_CODES = (
    _row(
        31900,
        "Unknown Error",
        "Something failed on Twilio's side while it handled the stream.",
        ("a fault inside Twilio, not in your server",),
        "Place the call again; if it happens repeatedly, give the call's SID to Twilio's support.",
    ),
    _row(
        31901,
        "WebSocket - Connection Timeout",
        "Nothing answered when Twilio asked to open the WebSocket.",
        (
            "a firewall drops the packets",
            "the tunnel or proxy is up but forwards to nowhere",
            "the address in the TwiML belongs to a machine that is down",
        ),
        "Open https://your-host/health from another network: it must answer on port 443.",
    ),
    _row(
        31902,
        "WebSocket - Connection Refused",
        "The host answered that nothing listens on that port.",
        ("the server is not running", "the port in the URL is not the server's or the tunnel's"),
        "Start the server before the call, and compare its address with the URL in the TwiML.",
    ),
    _row(
        31903,
        "WebSocket - Connection Broken Pipe",
        "The connection died in mid-stream without a proper close.",
        (
            "your server crashed or was restarted",
            "a load balancer or tunnel ended a connection that it thought idle or too old",
        ),
        "Read your server's log at that second; raise the idle limit of what stands before it.",
    ),
    _row(
        31904,
        "WebSocket - Host Unreachable",
        "Twilio found no way to the host in the URL.",
        (
            "the name does not resolve: a tunnel's name of yesterday",
            "the address is private or loopback (127.0.0.1, 10.x, 192.168.x) and ends at your door",
        ),
        "Use a public name: kit.open_tunnel(server) gives one. Only the simulator dials loopback.",
    ),
    _row(
        31910,
        "WebSocket - SSL Protocol Error",
        "The TLS handshake failed.",
        (
            "the port speaks plain ws://, or a TCP tunnel passes it on without TLS",
            "the certificate is self-signed, expired, or for another name",
        ),
        "Put something with a valid certificate in front: an HTTPS tunnel or a reverse proxy.",
    ),
    _row(
        31920,
        "WebSocket - Handshake Error",
        "Your host answered the request to open a WebSocket with something other than HTTP 101.",
        (
            "the path in the URL is not the path of the WebSocket",
            "the URL has a query string, which streams do not support",
            "a check of the signature, an Origin or a subprotocol refused Twilio's request",
            "a proxy or framework on the way does not pass WebSocket upgrades on",
        ),
        "Read the HTTP status in your server's log and mend the route; pass values by <Parameter>,"
        " not in the URL; ask for a statusCallback to see StreamError.",
    ),
    _row(
        31921,
        "WebSocket - Close Error",
        "Your server closed the connection after it had been opened.",
        (
            "the handler returned or raised, and its framework closed the socket",
            "the socket was closed with a code that means failure (1011, for one)",
        ),
        "Look for an exception in your handler; to end a stream on purpose, close with code 1000"
        " after the last mark has come back: stream.close().",
    ),
    _row(
        31922,
        "WebSocket - URL Schema Not Supported",
        "The URL of the stream does not begin with wss://.",
        ("ws://, http:// or https:// was written", "the scheme was left out"),
        "Write wss://. kit.stream_url() turns an https address into one.",
    ),
    _row(
        31923,
        "WebSocket - Malformed URL",
        "The URL of the stream cannot be read as a URL.",
        ("a space or an unfilled placeholder in it", "the host is missing, as in wss:///media"),
        "Print the TwiML that was really sent and run kit.review_twiml on it.",
    ),
    _row(
        31924,
        "Websocket - Protocol Error",
        "What your server sent broke the rules of WebSocket itself; the stream ends.",
        (
            "a control frame (ping, pong, close) was fragmented or longer than 125 bytes",
            "compressed frames, although Twilio had not offered compression",
            "anything at all was sent on a one-way stream, one begun with <Start>",
            "a proxy on the way damaged the frames",
        ),
        "Turn compression off, send whole text messages, and use <Connect> if you want to talk.",
    ),
    _row(
        31930,
        "Media Buffer Overflow",
        "Your server reads too slowly; Twilio threw away some of the caller's sound.",
        (
            "the task that reads the socket also does slow work",
            "the network towards you is congested",
        ),
        "Let one task only read and hand over; do the work elsewhere.",
        "warning",
    ),
    _row(
        31931,
        "Media Discarded",
        "More than ten minutes of your sound waited to be played; the rest was thrown away. Said"
        " once per stream.",
        ("a long file was sent in one go", "sound is made faster than it is played, without end"),
        "Send at most some seconds ahead and wait for marks; MediaStream.play does so by itself.",
        "warning",
    ),
    _row(
        31940,
        "Invalid connectorName",
        "The TwiML names a connector that does not exist.",
        ("connectorName was set; it belongs to a legacy feature",),
        "Leave connectorName out and give a url.",
    ),
    _row(
        31941,
        "Invalid Track configuration",
        "The track attribute does not fit this kind of stream.",
        (
            "<Connect><Stream> with both_tracks or outbound_track: it hears the caller only",
            "a value that does not exist, such as both or inbound",
        ),
        "Leave track out under <Connect>. <Start> can bring both sides, but then you cannot talk.",
    ),
    _row(
        31942,
        "Invalid connector configuration",
        "The connector named in the TwiML is configured wrongly; concerns Virtual Agent only.",
        ("a Virtual Agent connector in the console is incomplete",),
        "Mend the connector in Twilio's console, or use a plain url.",
    ),
    _row(
        31950,
        "Protocol - Malformed Message",
        "Your server sent a binary message; Twilio reads only text, and dropped it. Said once per"
        " stream, however many there were.",
        (
            "raw sound was sent instead of JSON around base64",
            "JSON was sent as bytes: websocket.send(text.encode())",
        ),
        "Send str, not bytes. kit.review(message) says what a message is.",
        "warning",
    ),
    _row(
        31951,
        "Protocol - Invalid Message",
        "Your server sent a text message that Twilio cannot use, and dropped it. The same number"
        " stands for all causes and is logged once per stream, so later ones are silent.",
        (
            "a misspelt field: playload for payload, stream_sid for streamSid",
            "a field is missing, or there is one too many (track, sequenceNumber)",
            "the streamSid is not that of this stream: an old one, or the call's SID",
            "an event other than media, mark and clear",
            "not JSON, or a payload that is not base64",
        ),
        "Give the message to kit.review(message, stream_sid=...): it names the field.",
        "warning",
    ),
    _row(
        31952,
        "Stream Extension not found",
        "The TwiML asks for a stream extension that does not exist.",
        ("a name of an extension or add-on is misspelt, or it is not installed",),
        "Use <Stream> with a url of your own, or install the extension.",
    ),
    _row(
        31953,
        "Media RTP timeout",
        "No more sound came from the caller's side.",
        ("the call is over", "the caller's carrier stopped sending, on hold for example"),
        "Nothing, if the call had ended; otherwise end streams that bring no media for 30 seconds.",
        "warning",
    ),
    _row(
        31960,
        "Quota exceeded",
        "A limit of Google's Dialogflow was reached; concerns its connector only.",
        ("too many requests to Dialogflow",),
        "Raise the quota at Google; plain streams never meet this.",
    ),
)
"""The complete list as of February 2025."""
