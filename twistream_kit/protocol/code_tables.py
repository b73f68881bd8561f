"""Twilio's codes, one table for each place where they come up (PROTOCOL.md §5.1 to §5.3).

`codes` looks a number up in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill
from typing import Literal

Level = Literal["error", "warning"]
"""As Twilio's console sorts them: after a warning the call goes on as it was."""


@dataclass(frozen=True, slots=True)
class TwilioCode:
    """What a number of Twilio's means and what to do about it.

    Attributes:
        code: The number.
        name: Its title.
        level: ``error`` or ``warning``.
        meaning: What has happened.
        causes: What usually is behind it, likeliest first.
        remedy: What to do, in order.
        section: Where the protocol notes of this project list it (PROTOCOL.md).
        http_status: What a REST request is answered with; 0 where no request is refused.
    """

    code: int
    name: str
    level: Level
    meaning: str
    causes: tuple[str, ...]
    remedy: str
    section: str
    http_status: int = 0

    @property
    def url(self) -> str:
        """Twilio's own page on it."""
        return f"https://www.twilio.com/docs/api/errors/{self.code}"

    def __repr__(self) -> str:
        causes = [_wrap(cause, "  - ") for cause in self.causes]
        return "\n".join(
            [
                f"{self.code} ({self.level}): {self.name}",
                _wrap(self.meaning, ""),
                *(["Usual causes:", *causes] if causes else []),
                _wrap(f"What to do: {self.remedy}", ""),
            ]
        )


def _wrap(text: str, bullet: str) -> str:
    indent = " " * len(bullet)
    return fill(text, 96, initial_indent=bullet, subsequent_indent=indent, break_long_words=False)


def _stream_code(
    code: int,
    name: str,
    meaning: str,
    causes: tuple[str, ...],
    remedy: str,
    level: Level = "error",
) -> TwilioCode:
    return TwilioCode(code, f"Stream - {name}", level, meaning, causes, remedy, "5.1")


def _webhook_code(
    code: int,
    name: str,
    meaning: str,
    causes: tuple[str, ...],
    remedy: str,
    level: Level = "error",
) -> TwilioCode:
    return TwilioCode(code, name, level, meaning, causes, remedy, "5.2")


def _call_code(
    code: int, name: str, meaning: str, causes: tuple[str, ...], remedy: str, status: int = 400
) -> TwilioCode:
    return TwilioCode(code, name, "error", meaning, causes, remedy, "5.3", status)


_CERTIFICATE = "Use a certificate from a public authority; an HTTPS tunnel brings its own."

_E164 = "Write it in E.164: a plus, the country code, the number, no blanks: +15551234567."

_LATER = "Wait a moment and send the request again; it has not been carried out."

STREAM_CODES = (
    _stream_code(
        31900,
        "Unknown Error",
        "Something failed on Twilio's side while it handled the stream.",
        ("a fault inside Twilio, not in your server",),
        "Place the call again; if it happens repeatedly, give the call's SID to Twilio's support.",
    ),
    _stream_code(
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
    _stream_code(
        31902,
        "WebSocket - Connection Refused",
        "The host answered that nothing listens on that port.",
        ("the server is not running", "the port in the URL is not the server's or the tunnel's"),
        "Start the server before the call, and compare its address with the URL in the TwiML.",
    ),
    _stream_code(
        31903,
        "WebSocket - Connection Broken Pipe",
        "The connection died in mid-stream without a proper close.",
        (
            "your server crashed or was restarted",
            "a load balancer or tunnel ended a connection that it thought idle or too old",
        ),
        "Read your server's log at that second; raise the idle limit of what stands before it.",
    ),
    _stream_code(
        31904,
        "WebSocket - Host Unreachable",
        "Twilio found no way to the host in the URL.",
        (
            "the name does not resolve: a tunnel's name of yesterday",
            "the address is private or loopback (127.0.0.1, 10.x, 192.168.x) and ends at your door",
        ),
        "Use a public name: kit.open_tunnel(server) gives one. Only the simulator dials loopback.",
    ),
    _stream_code(
        31910,
        "WebSocket - SSL Protocol Error",
        "The TLS handshake failed.",
        (
            "the port speaks plain ws://, or a TCP tunnel passes it on without TLS",
            "the certificate is self-signed, expired, or for another name",
        ),
        "Put something with a valid certificate in front: an HTTPS tunnel or a reverse proxy.",
    ),
    _stream_code(
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
    _stream_code(
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
    _stream_code(
        31922,
        "WebSocket - URL Schema Not Supported",
        "The URL of the stream does not begin with wss://.",
        ("ws://, http:// or https:// was written", "the scheme was left out"),
        "Write wss://. kit.stream_url() turns an https address into one.",
    ),
    _stream_code(
        31923,
        "WebSocket - Malformed URL",
        "The URL of the stream cannot be read as a URL.",
        ("a space or an unfilled placeholder in it", "the host is missing, as in wss:///media"),
        "Print the TwiML that was really sent and run kit.review_twiml on it.",
    ),
    _stream_code(
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
    _stream_code(
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
    _stream_code(
        31931,
        "Media Discarded",
        "More than ten minutes of your sound waited to be played; the rest was thrown away. Said"
        " once per stream.",
        ("a long file was sent in one go", "sound is made faster than it is played, without end"),
        "Send at most some seconds ahead and wait for marks; MediaStream.play does so by itself.",
        "warning",
    ),
    _stream_code(
        31940,
        "Invalid connectorName",
        "The TwiML names a connector that does not exist.",
        ("connectorName was set; it belongs to a legacy feature",),
        "Leave connectorName out and give a url.",
    ),
    _stream_code(
        31941,
        "Invalid Track configuration",
        "The track attribute does not fit this kind of stream.",
        (
            "<Connect><Stream> with both_tracks or outbound_track: it hears the caller only",
            "a value that does not exist, such as both or inbound",
        ),
        "Leave track out under <Connect>. <Start> can bring both sides, but then you cannot talk.",
    ),
    _stream_code(
        31942,
        "Invalid connector configuration",
        "The connector named in the TwiML is configured wrongly; concerns Virtual Agent only.",
        ("a Virtual Agent connector in the console is incomplete",),
        "Mend the connector in Twilio's console, or use a plain url.",
    ),
    _stream_code(
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
    _stream_code(
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
    _stream_code(
        31952,
        "Stream Extension not found",
        "The TwiML asks for a stream extension that does not exist.",
        ("a name of an extension or add-on is misspelt, or it is not installed",),
        "Use <Stream> with a url of your own, or install the extension.",
    ),
    _stream_code(
        31953,
        "Media RTP timeout",
        "No more sound came from the caller's side.",
        ("the call is over", "the caller's carrier stopped sending, on hold for example"),
        "Nothing, if the call had ended; otherwise end streams that bring no media for 30 seconds.",
        "warning",
    ),
    _stream_code(
        31960,
        "Quota exceeded",
        "A limit of Google's Dialogflow was reached; concerns its connector only.",
        ("too many requests to Dialogflow",),
        "Raise the quota at Google; plain streams never meet this.",
    ),
)
"""Codes of streams, 31900 to 31999 (§5.1): the complete list as of February 2025."""

WEBHOOK_CODES = (
    _webhook_code(
        11100,
        "Invalid URL format",
        "A URL given to Twilio is not complete.",
        ("the scheme or host is missing", "the query holds characters that are not encoded"),
        "Write https://host/path and percent-encode the query.",
    ),
    _webhook_code(
        11200,
        "HTTP retrieval failure",
        "Twilio asked your server for TwiML and got no usable answer.",
        (
            "the answer was a 4xx or 5xx: wrong path, an exception, a refused signature",
            "no Content-Type, or a wrong one",
            "the answer took longer than 15 seconds",
        ),
        "Fetch the URL by hand with the same method (POST by default) and read your server's log.",
    ),
    _webhook_code(
        11201,
        "TCP connection timed out",
        "Your host did not accept the connection in two tries of five seconds.",
        ("a firewall drops the packets", "the machine or the tunnel is down"),
        "Check from another network that the host answers on port 443.",
    ),
    _webhook_code(
        11202,
        "TCP connection refused",
        "Your host refused the connection twice.",
        ("the server is not running", "wrong port in the URL"),
        "Start the server, and compare its port with the URL.",
    ),
    _webhook_code(
        11203,
        "Total timeout exceeded",
        "The answer did not come within the total time that was set for this URL.",
        ("a timeout override in the URL is shorter than your server needs",),
        "Answer faster, or raise the override.",
    ),
    _webhook_code(
        11205,
        "HTTP connection failure",
        "The connection to your host failed before an answer came.",
        ("the host is not public", "the tunnel has ended or has a new name"),
        "Open the URL from another network; update it where Twilio keeps it.",
    ),
    _webhook_code(
        11206,
        "HTTP protocol violation",
        "What came back is not HTTP.",
        ("http:// to a port that speaks TLS", "the port belongs to another service"),
        "Make scheme and port agree: https on 443.",
    ),
    _webhook_code(
        11210,
        "Host name not found",
        "The host in the URL does not resolve.",
        ("a typing error", "a tunnel's name that no longer exists", "an underscore in the name"),
        "Look the name up, and put in the present one.",
    ),
    _webhook_code(
        11215,
        "Too many redirects",
        "Your server redirected more than ten times.",
        ("a redirect loop, often between http and https behind a proxy",),
        "Give Twilio the final URL.",
    ),
    _webhook_code(
        11220,
        "TLS connection reset",
        "The TLS handshake was cut off.",
        ("the server knows only versions of TLS older than 1.2", "no cipher in common"),
        "Allow TLS 1.2 and 1.3.",
    ),
    _webhook_code(
        11235,
        "Certificate for another name",
        "The certificate is not for the host in the URL.",
        ("the URL uses an address or alias that the certificate does not list",),
        _CERTIFICATE,
    ),
    _webhook_code(
        11236,
        "Certificate expired",
        "The certificate's time is over.",
        ("it was not renewed", "the server still serves the old one"),
        "Renew it and reload the server.",
    ),
    _webhook_code(
        11237,
        "Certificate without a chain of trust",
        "No chain leads from the certificate to a known authority.",
        ("it is self-signed", "the intermediate certificate is not sent along"),
        _CERTIFICATE,
    ),
    _webhook_code(
        11750,
        "TwiML body too large",
        "The document is larger than 64 kB.",
        ("a whole page or a file was returned in place of TwiML",),
        "Return only the verbs that come next.",
    ),
    _webhook_code(
        11770,
        "Empty chunked body",
        "The answer announced chunks and brought none.",
        ("the handler raised after the headers were out", "a framework streams an empty body"),
        "Return the whole document at once, with a Content-Length.",
    ),
    _webhook_code(
        12100,
        "Document parse failure",
        "The TwiML is not well-formed XML; the caller hears of an application error.",
        (
            "a bare & or < in a URL or a text: write &amp; and &lt;",
            "blanks, a blank line or a byte order mark before the XML declaration",
            "an element that is not closed",
            "an HTML error page in place of TwiML",
        ),
        "Run kit.review_twiml(xml), which gives line and column; build it with kit.connect_stream.",
    ),
    _webhook_code(
        12101,
        "Invalid version of Response",
        "The version attribute of <Response> is not one that Twilio knows.",
        ("a version was written into <Response>",),
        "Write <Response> without attributes.",
    ),
    _webhook_code(
        12102,
        "Root element is not Response",
        "The outermost element must be <Response>.",
        ("<response> in lower case", "the verb stands alone, without <Response> around it"),
        "Wrap the verbs into <Response>...</Response>.",
    ),
    _webhook_code(
        12200,
        "Schema validation warning",
        "The TwiML is XML, but holds an element or attribute that Twilio does not know there.",
        (
            "wrong case: <connect> for <Connect>, statuscallback for statusCallback",
            "an invented attribute, such as bidirectional or codec",
            "an element inside one that cannot hold it",
        ),
        "Run kit.review_twiml(xml): it names the element and the nearest right name.",
        "warning",
    ),
    _webhook_code(
        12300,
        "Content-Type not understood",
        "The answer's Content-Type is neither XML, text nor sound.",
        ("the framework's default, such as application/json", "no Content-Type at all"),
        "Answer with Content-Type: text/xml.",
    ),
    _webhook_code(
        12400,
        "Internal failure",
        "Twilio failed while it carried out the TwiML.",
        ("a fault inside Twilio",),
        "Try again; if it repeats, give the call's SID to Twilio's support.",
    ),
    _webhook_code(
        13805,
        "Trial call exceeded its duration",
        "A trial account's call was ended after ten minutes.",
        ("the account is a trial account",),
        "Upgrade the account, or end calls earlier.",
        "warning",
    ),
    _webhook_code(
        15003,
        "Status callback failed",
        "Your status-callback URL answered with 4xx or 5xx.",
        ("the route does not exist for POST", "a refused signature", "an exception in it"),
        "Answer 204 without a body.",
        "warning",
    ),
    _webhook_code(
        15004,
        "Relative action URL",
        "TwiML that is pushed into a live call must not hold relative URLs.",
        ("an action such as /next in a REST update: there is no document to be relative to",),
        "Write the whole URL: https://host/next.",
    ),
    _webhook_code(
        32014,
        "No audio received",
        "Not a packet of sound came from the other side of the call.",
        ("a firewall or a phone that sends no sound", "the call was answered by a machine"),
        "Call from another phone; if it repeats, ask the carrier.",
        "warning",
    ),
    _webhook_code(
        32015,
        "Maximum call duration reached",
        "The call was ended because it had lasted as long as was allowed.",
        ("TimeLimit of the call, or the account's limit",),
        "Raise TimeLimit, or make the next call in time.",
        "warning",
    ),
    _webhook_code(
        32016,
        "Post-dial delay too long",
        "The telephone network did not report ringing within 60 seconds.",
        ("the number is not reachable", "the carrier does not answer"),
        "Try another number; report it to Twilio if the number is known to work.",
    ),
    _webhook_code(
        32018,
        "Inline TwiML too long",
        "The Twiml parameter of a call has more than 4000 characters.",
        ("long texts or many <Parameter> elements in the document",),
        "Pass one short token as <Parameter>, or serve the document by URL (up to 64 kB).",
    ),
)
"""Codes of fetching and reading TwiML, and of callbacks (§5.2, the grouped rows taken apart)."""

CALL_CODES = (
    _call_code(
        10001,
        "Account is not active",
        "The account exists but may not act.",
        ("it was suspended or closed", "its balance is used up"),
        "Look at the account in Twilio's console.",
    ),
    _call_code(
        10004,
        "Concurrency limit exceeded",
        "The account has as many calls at once as it may have.",
        ("calls that nobody ended", "a trial account, which may have five"),
        "End calls that are over (Call.hang_up), or ask for a higher limit.",
    ),
    _call_code(
        13227,
        "No permission to call this country",
        "The account's geographic permissions do not allow the destination.",
        ("the country is switched off, as most are at first",),
        "Switch it on in the console under Voice, Geo Permissions.",
    ),
    _call_code(
        20003,
        "Authenticate",
        "Twilio does not accept the credentials.",
        (
            "account SID and auth token belong to different accounts, or have blanks around them",
            "test credentials where live ones are needed",
            "the token was renewed, or the account is suspended",
        ),
        "Copy TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN anew from the console.",
        401,
    ),
    _call_code(
        20005,
        "Account not active",
        "The account may not make requests.",
        ("it was suspended or closed", "its balance is used up"),
        "Look at the account in Twilio's console.",
    ),
    _call_code(
        20008,
        "Not available with test credentials",
        "Test credentials can only pretend to create calls and messages and to buy numbers.",
        ("a call was read, changed or listed with test credentials",),
        "Use live credentials, or kit.SimulatedTwilio(), which needs none.",
        403,
    ),
    _call_code(
        20404,
        "Resource not found",
        "There is nothing under that URL.",
        (
            "the SID is wrong or belongs to another account",
            "a call that has already ended was to be changed",
            "wrong case or a wrong host in the path",
        ),
        "Check the SID; when hanging up, take this as already done.",
        404,
    ),
    _call_code(
        20422,
        "Invalid parameter",
        "A parameter cannot be used; the request was not carried out.",
        ("a value out of range or of another type",),
        "Read the message, correct the parameter and send it again: nothing has happened yet.",
        422,
    ),
    _call_code(
        20429,
        "Too many requests",
        "Too many REST requests at once; this one was not carried out.",
        ("a loop that polls without a pause",),
        _LATER,
        429,
    ),
    _call_code(
        20500,
        "Internal server error",
        "Twilio's API failed.",
        ("a fault inside Twilio",),
        "List the calls before you try again: the call may have been placed.",
        500,
    ),
    _call_code(
        20503,
        "Service unavailable",
        "Twilio's API cannot take the request now.",
        ("maintenance or overload at Twilio",),
        _LATER,
        503,
    ),
    _call_code(
        21201,
        "No To number",
        "The request says not whom to call.",
        ("To is missing or empty: an environment variable that is not set",),
        "Give to=, in E.164.",
    ),
    _call_code(
        21205,
        "Invalid URL",
        "The URL for the TwiML cannot be used.",
        ("it is relative, not http(s), or not public: localhost, a private address",),
        "Give an absolute public https URL, or pass the TwiML inline as kit.place_call does.",
    ),
    _call_code(
        21206,
        "Invalid SendDigits",
        "SendDigits holds something that is not a key or a pause.",
        ("only 0-9, A-D, #, *, w and W are allowed, 32 at most",),
        "Keep to these characters; w waits half a second.",
    ),
    _call_code(
        21207,
        "Invalid IfMachine",
        "The value of IfMachine is not known.",
        ("IfMachine is obsolete",),
        "Leave it out; MachineDetection has taken its place.",
    ),
    _call_code(
        21208,
        "Invalid Timeout",
        "The time to let it ring must be a positive whole number of seconds.",
        ("zero, a negative number or a text",),
        "Give 1 to 600.",
    ),
    _call_code(
        21209,
        "Invalid Method",
        "A method must be GET or POST.",
        ("another HTTP method, or a misspelt one",),
        "Write GET or POST.",
    ),
    _call_code(
        21210,
        "From is not yours",
        "You may call only from a number bought at Twilio or verified there.",
        ("a mistyped From", "your own mobile number, not verified yet", "another account's number"),
        "Use a number of this account, or verify yours as a caller ID in the console.",
    ),
    _call_code(
        21211,
        "Invalid To number",
        "The number to call cannot be a telephone number.",
        ("not in E.164", "the same as From", "a placeholder of an example"),
        _E164,
    ),
    _call_code(
        21212,
        "Invalid From number",
        "The number to call from cannot be a telephone number.",
        ("not in E.164", "a placeholder of an example"),
        _E164,
    ),
    _call_code(
        21213,
        "No From number",
        "The request says not from which number to call.",
        ("From is missing or empty: an environment variable that is not set",),
        "Give from_=, one of your Twilio numbers in E.164.",
    ),
    _call_code(
        21214,
        "To number cannot be reached",
        "The number looks right, but Twilio cannot route a call to it.",
        ("it is not in service", "its network accepts no calls from Twilio"),
        "Call it from an ordinary phone; try another number.",
    ),
    _call_code(
        21215,
        "No permission to call this country",
        "The account's geographic permissions do not allow the number.",
        ("the country, or this class of numbers in it, is switched off",),
        "Switch it on in the console under Voice, Geo Permissions.",
    ),
    _call_code(
        21216,
        "Number is blocked",
        "Twilio does not call this number from any account.",
        ("it is on Twilio's own block list",),
        "Call another number, or ask Twilio's support.",
    ),
    _call_code(
        21217,
        "Number does not appear valid",
        "The number has a shape that no number there has.",
        ("a digit too many or too few", "an area code that does not exist"),
        _E164,
    ),
    _call_code(
        21218,
        "Invalid ApplicationSid",
        "There is no such TwiML application in this account.",
        ("the SID does not begin with AP", "it belongs to another account"),
        "Copy the SID anew, or pass the TwiML inline as kit.place_call does.",
    ),
    _call_code(
        21219,
        "To number is not verified",
        "A trial account may call only numbers that were verified.",
        ("the account is a trial account and this number was not verified in its console",),
        "Verify the number in the console, or upgrade. Trial accounts of 2026 refuse <Stream>"
        " altogether: kit.SimulatedTwilio() does not.",
    ),
    _call_code(
        21220,
        "Invalid call state",
        "The call cannot be changed in the state it is in.",
        ("it has already ended", "it was to be cancelled after it was answered"),
        "Take it as ended; use completed, not canceled, for a call that was answered.",
    ),
)
"""Codes of REST requests about calls (§5.3); HTTP 400 where nothing else is noted."""
