"""Twilio's codes for fetching and reading TwiML, and for callbacks (PROTOCOL.md §5.2)."""

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
    return TwilioCode(code, name, level, meaning, causes, remedy, "5.2")


_CERTIFICATE = "Use a certificate from a public authority; an HTTPS tunnel brings its own."

WEBHOOK_CODES = (
    _row(
        11100,
        "Invalid URL format",
        "A URL given to Twilio is not complete.",
        ("the scheme or host is missing", "the query holds characters that are not encoded"),
        "Write https://host/path and percent-encode the query.",
    ),
    _row(
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
    _row(
        11201,
        "TCP connection timed out",
        "Your host did not accept the connection in two tries of five seconds.",
        ("a firewall drops the packets", "the machine or the tunnel is down"),
        "Check from another network that the host answers on port 443.",
    ),
    _row(
        11202,
        "TCP connection refused",
        "Your host refused the connection twice.",
        ("the server is not running", "wrong port in the URL"),
        "Start the server, and compare its port with the URL.",
    ),
    _row(
        11203,
        "Total timeout exceeded",
        "The answer did not come within the total time that was set for this URL.",
        ("a timeout override in the URL is shorter than your server needs",),
        "Answer faster, or raise the override.",
    ),
    _row(
        11205,
        "HTTP connection failure",
        "The connection to your host failed before an answer came.",
        ("the host is not public", "the tunnel has ended or has a new name"),
        "Open the URL from another network; update it where Twilio keeps it.",
    ),
    _row(
        11206,
        "HTTP protocol violation",
        "What came back is not HTTP.",
        ("http:// to a port that speaks TLS", "the port belongs to another service"),
        "Make scheme and port agree: https on 443.",
    ),
    _row(
        11210,
        "Host name not found",
        "The host in the URL does not resolve.",
        ("a typing error", "a tunnel's name that no longer exists", "an underscore in the name"),
        "Look the name up, and put in the present one.",
    ),
    _row(
        11215,
        "Too many redirects",
        "Your server redirected more than ten times.",
        ("a redirect loop, often between http and https behind a proxy",),
        "Give Twilio the final URL.",
    ),
    _row(
        11220,
        "TLS connection reset",
        "The TLS handshake was cut off.",
        ("the server knows only versions of TLS older than 1.2", "no cipher in common"),
        "Allow TLS 1.2 and 1.3.",
    ),
    _row(
        11235,
        "Certificate for another name",
        "The certificate is not for the host in the URL.",
        ("the URL uses an address or alias that the certificate does not list",),
        _CERTIFICATE,
    ),
    _row(
        11236,
        "Certificate expired",
        "The certificate's time is over.",
        ("it was not renewed", "the server still serves the old one"),
        "Renew it and reload the server.",
    ),
    _row(
        11237,
        "Certificate without a chain of trust",
        "No chain leads from the certificate to a known authority.",
        ("it is self-signed", "the intermediate certificate is not sent along"),
        _CERTIFICATE,
    ),
    _row(
        11750,
        "TwiML body too large",
        "The document is larger than 64 kB.",
        ("a whole page or a file was returned in place of TwiML",),
        "Return only the verbs that come next.",
    ),
    _row(
        11770,
        "Empty chunked body",
        "The answer announced chunks and brought none.",
        ("the handler raised after the headers were out", "a framework streams an empty body"),
        "Return the whole document at once, with a Content-Length.",
    ),
    _row(
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
    _row(
        12101,
        "Invalid version of Response",
        "The version attribute of <Response> is not one that Twilio knows.",
        ("a version was written into <Response>",),
        "Write <Response> without attributes.",
    ),
    _row(
        12102,
        "Root element is not Response",
        "The outermost element must be <Response>.",
        ("<response> in lower case", "the verb stands alone, without <Response> around it"),
        "Wrap the verbs into <Response>...</Response>.",
    ),
    _row(
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
    _row(
        12300,
        "Content-Type not understood",
        "The answer's Content-Type is neither XML, text nor sound.",
        ("the framework's default, such as application/json", "no Content-Type at all"),
        "Answer with Content-Type: text/xml.",
    ),
    _row(
        12400,
        "Internal failure",
        "Twilio failed while it carried out the TwiML.",
        ("a fault inside Twilio",),
        "Try again; if it repeats, give the call's SID to Twilio's support.",
    ),
    _row(
        13805,
        "Trial call exceeded its duration",
        "A trial account's call was ended after ten minutes.",
        ("the account is a trial account",),
        "Upgrade the account, or end calls earlier.",
        "warning",
    ),
    _row(
        15003,
        "Status callback failed",
        "Your status-callback URL answered with 4xx or 5xx.",
        ("the route does not exist for POST", "a refused signature", "an exception in it"),
        "Answer 204 without a body.",
        "warning",
    ),
    _row(
        15004,
        "Relative action URL",
        "TwiML that is pushed into a live call must not hold relative URLs.",
        ("an action such as /next in a REST update: there is no document to be relative to",),
        "Write the whole URL: https://host/next.",
    ),
    _row(
        32014,
        "No audio received",
        "Not a packet of sound came from the other side of the call.",
        ("a firewall or a phone that sends no sound", "the call was answered by a machine"),
        "Call from another phone; if it repeats, ask the carrier.",
        "warning",
    ),
    _row(
        32015,
        "Maximum call duration reached",
        "The call was ended because it had lasted as long as was allowed.",
        ("TimeLimit of the call, or the account's limit",),
        "Raise TimeLimit, or make the next call in time.",
        "warning",
    ),
    _row(
        32016,
        "Post-dial delay too long",
        "The telephone network did not report ringing within 60 seconds.",
        ("the number is not reachable", "the carrier does not answer"),
        "Try another number; report it to Twilio if the number is known to work.",
    ),
    _row(
        32018,
        "Inline TwiML too long",
        "The Twiml parameter of a call has more than 4000 characters.",
        ("long texts or many <Parameter> elements in the document",),
        "Pass one short token as <Parameter>, or serve the document by URL (up to 64 kB).",
    ),
)
"""§5.2, the grouped rows taken apart."""
