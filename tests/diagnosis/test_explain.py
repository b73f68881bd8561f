"""Codes in pasted text: whose each number is, and the numbers that are none."""

import pytest

from twistream_kit.diagnosis.explain import MOST_CHARACTERS, Explanations, explain
from twistream_kit.protocol.codes import TWILIO_CODES, TwilioCode, UnknownCode

NGROK_PAGE = """HTTP/1.1 404 Not Found
Ngrok-Error-Code: ERR_NGROK_3200

<!DOCTYPE html><html class="h-full"><head><style>p{width:1006px}</style></head>
<body><p>The endpoint x.ngrok-free.app is offline.</p><p>ERR_NGROK_3200</p></body></html>"""

CLOUDFLARE_PAGE = """<!DOCTYPE html><html><head><title>Cloudflare Tunnel error</title></head><body>
<h1><span>Error</span> <span>1033</span></h1><div>Ray ID: 8f1c2d3e4f5a6b7c &bull; 2026-10-06</div>
<script>var a = "error code: 1015"</script></body></html>"""


def codes_in(text):
    found = explain(text)
    return [name_of(each) for each in (found if isinstance(found, Explanations) else [found])]


def name_of(code):
    if isinstance(code, TwilioCode):
        return f"twilio {code.code}"
    return f"{code.service} {code.number}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Twilio's, with and without the number
        ("31951", "twilio 31951"),
        (" 31951 ", "twilio 31951"),
        ('"31951"', "twilio 31951"),
        ("Error 31951", "twilio 31951"),
        ("Warning - 31951 Stream - Protocol - Invalid Message", "twilio 31951"),
        ("31951 Stream - Protocol", "twilio 31951"),
        ("Stream - Protocol - Invalid Message (31951)", "twilio 31951"),
        ("we get 31920 on every call", "twilio 31920"),
        ("StreamEvent=stream-error&StreamError=Handshake&ErrorCode=31920", "twilio 31920"),
        ("https://www.twilio.com/docs/errors/12100", "twilio 12100"),
        ("https://www.twilio.com/docs/api/errors/11200", "twilio 11200"),
        (("twilio.base.exceptions.TwilioRestException: HTTP 400 error: Unable to create record: "
         "The number +15550100007 is unverified. Trial accounts may only make calls to verified "
         "numbers."), "twilio 21219"),
        ("[HTTP 401] Unable to fetch record: Authenticate", "twilio 20003"),
        ("HTTP 401 error: Unable to update record: Authentication Error - invalid username",
         "twilio 20003"),
        (("HTTP 404 error: Unable to update record: The requested resource "
         "/2010-04-01/Accounts/AC0/Calls/CA0.json was not found"), "twilio 20404"),
        (('{"code": 21211, "message": "Invalid \'To\' Phone Number", '
         '"more_info": "https://www.twilio.com/docs/errors/21211","status": 400}'), "twilio 21211"),
        ("{'status': 401, 'message': 'Authenticate', 'code': 20003}", "twilio 20003"),
        ("Call is not in-progress. Cannot redirect.", "twilio 21220"),
        ("stream - websocket - handshake error", "twilio 31920"),
        # tunnels
        ("ERR_NGROK_4018", "ngrok 4018"),
        ("https://ngrok.com/docs/errors/err_ngrok_8012", "ngrok 8012"),
        ("ngrok-error-code: ERR_NGROK_3200", "ngrok 3200"),
        ("ERR_NGROK_99", "ngrok 99"),
        (NGROK_PAGE, "ngrok 3200"),
        ("3200", "ngrok 3200"),
        ("error code: 1033", "cloudflare 1033"),
        ("Error 1033", "cloudflare 1033"),
        ("1033", "cloudflare 1033"),
        ("Error 1016 Ray ID: 8f1c2d3e4f5a6b7c", "cloudflare 1016"),
        ("Cloudflare says error 1006", "cloudflare 1006"),
        ("HTTP/1.1 530 \r\nServer: cloudflare\r\n\r\nerror code: 1033", "cloudflare 1033"),
        (CLOUDFLARE_PAGE, "cloudflare 1033"),
        ("the tunnel answers HTTP 530", "cloudflare 530"),
        # WebSocket
        ("1006", "websocket 1006"),
        ("1011", "websocket 1011"),
        ("close code 1006", "websocket 1006"),
        ("closed with 1001", "websocket 1001"),
        ("websocket: close 1006 (abnormal closure): unexpected EOF", "websocket 1006"),
        (("websockets.exceptions.ConnectionClosedError: received 1011 (internal error); then sent "
         "1011 (internal error)"), "websocket 1011"),
        ("sent 1011 (internal error) keepalive ping timeout; no close frame received",
         "websocket 1011"),
        ("ConnectionClosedOK: received 1000 (OK); then sent 1000 (OK)", "websocket 1000"),
        ("starlette.websockets.WebSocketDisconnect: (1005, '')", "websocket 1005"),
        ("WebSocketDisconnect(code=1001, reason=None)", "websocket 1001"),
        ("CloseEvent {isTrusted: true, wasClean: false, code: 1006, reason: ''}", "websocket 1006"),
        ("code = 1006 (abnormal closure [internal]), no reason", "websocket 1006"),
        ("Disconnected: 1012 service restart", "websocket 1012"),
        ("the websocket failed with error code 1009", "websocket 1009"),
        # HTTP
        ("403", "http 403"),
        ("HTTP/1.1 502 Bad Gateway", "http 502"),
        ('INFO:     127.0.0.1:51812 - "WebSocket /media" 403', "http 403"),
        ('127.0.0.1 - - [06/Oct/2026 10:11:12] "GET /media HTTP/1.1" 404 -', "http 404"),
        ("Error: Unexpected server response: 502", "http 502"),
        ("InvalidStatus: server rejected WebSocket connection: HTTP 403", "http 403"),
        ("urllib.error.HTTPError: HTTP Error 426: Upgrade Required", "http 426"),
        ('{"status": 503, "error": "x"}', "http 503"),
        ("status_code=307", "http 307"),
        ("error code: 502", "http 502"),
        ("curl: (22) The requested URL returned error: 502", "http 502"),
        ("WSServerHandshakeError: 404, message='Invalid response status'", "http 404"),
        ("Error code 521", "cloudflare 521"),
        ("Error 522 Ray ID: 8f1c2d3e4f5a6b7c", "cloudflare 522"),
        ("524: A timeout occurred", "cloudflare 524"),
        ('10.0.0.1 - - [x] "GET /media HTTP/1.1" 499 0 "-"', "http 499"),
        ("StreamEvent=stream-error&StreamError=31920%20handshake", "twilio 31920"),
        ("2026-11-28 21:08:02,12100,CA00000000000000000000000000000000", "twilio 12100"),
        ("31951 and nothing is heard", "twilio 31951"),
        (r'lvl=eror err="authentication failed: x\r\n\r\nERR_NGROK_107\r\n"', "ngrok 107"),
        (r'{"err":"failed to start tunnel\r\n\r\nERR_NGROK_334\r\n","lvl":"crit"}', "ngrok 334"),
    ],
)  # fmt: skip
def test_one_code_is_found_and_named(text, expected):
    assert codes_in(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "", "-", "playload", "took 1011 ms", "took 31951 ms", "port 1006", "PORT=31900",
        "+15550131951", "call +1 555 013 1951 now", "2026-10-06", "on 2026-10-06 at 10:11:12",
        "1006 frames in 1011 messages", "http://localhost:1011/media", "[::1]:31951",
        "connect ECONNREFUSED 127.0.0.1:11200", "listening on 0.0.0.0:12100", "pid 31902 started",
        "sequenceNumber 31951", '"sequenceNumber": "31951"', '"timestamp":"31920"', "chunk=31951",
        "INFO:     Started server process [31951]", "Finished server process [31951]",
        "[2026-11-28 21:08:02 +0000] [31920] [INFO] Booting worker with pid: 31920",
        "nginx[31921]: start", "Killed process 31920 (python)", "[error] 29#29: *31921 upstream",
        '"GET /media HTTP/1.1" 101 31920 "-"', "Connect call failed ('127.0.0.1', 31920)",
        "Client disconnected: ('34.203.250.135', 31902)", "listen EADDRINUSE 31920",
        "NodePort: http 31920/TCP", "user id 31951", "job 31951 error", "zip code 31921", "$31920",
        "+31 920 31951", "SIP/2.0 404 Not Found", "Received SIP response 403", "SIP/2.0 502 x",
        "v1.31951.2", "CA00000000000000000000000000031951", "3.1951", "31,951 calls",
        "an error after 1006 seconds", "error in line 12100", "error at 1011",
        '"POST /voice HTTP/1.1" 200 OK', "HTTP/1.1 101 Switching Protocols", "room 404",
        "we sold 403 of 500 tickets", "404 frames", "500 ms", "a rate of 16000 and 8000 Hz",
        "closed after 1006 ms", "the close took 1011", "in 1015 the town was built", "12300 bytes",
        "year 2026", "9" * 5000, "1e1011", "0x1006", "#1006a", "1006-1011",
    ],
)  # fmt: skip
def test_nothing_is_claimed_of_a_number_that_is_no_code(text):
    with pytest.raises(UnknownCode):
        explain(text)


def test_all_codes_of_a_text_are_given_in_its_order():
    log = """10:11:12 call CA1 to +15550131951 took 1011 ms on port 1006
10:11:13 ERROR 31920 Stream - WebSocket - Handshake Error
10:11:13 server rejected WebSocket connection: HTTP 403
10:11:14 closed with 1006"""
    found = explain(log)
    assert codes_in(log) == ["twilio 31920", "http 403", "websocket 1006"]
    assert repr(found) == "\n\n".join(map(repr, found))
    assert repr(found).startswith("31920 (error): Stream - WebSocket - Handshake Error\n")


def test_a_code_that_stands_twice_is_given_once():
    assert codes_in("error 31951, again error 31951") == ["twilio 31951"]


@pytest.mark.parametrize("text", ["error code: 1015", "1015", 1015])
def test_a_number_of_two_services_is_given_for_both(text):
    assert sorted(codes_in(text)) == ["cloudflare 1015", "websocket 1015"]


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31m31951\x1b[0m",
        "\x1b[1;38;5;196m31951\x1b[m",
        "^[[31m31951^[[0m",
        "\\e[31m31951\\e[0m",
        r'{"msg": "\u001b[31merror 31951\u001b[0m"}',
        "error \x1b[1m31951\x1b[22m on stream",
        "\x1b]8;;https://example.com/12345\x1b\\31951\x1b]8;;\x1b\\",
    ],
)
def test_a_number_that_a_terminal_colours_is_found(text):
    assert explain(text).code == 31951


def test_a_number_alone_is_an_int_or_a_text():
    for number in (31951, 1006, 404, 1033, 4018):
        assert codes_in(number) == codes_in(str(number))


@pytest.mark.parametrize("asked", [99999, "99999", "error 99999", 0, -1, "ErrorCode=13999&x=1"])
def test_an_unknown_number_is_refused_with_the_nearest(asked):
    with pytest.raises(UnknownCode, match=r"is not among the codes known here. Nearest are"):
        explain(asked)


@pytest.mark.parametrize("number", [10**9, 10**5000, -(10**5000)], ids=["10", "5001", "minus"])
def test_a_number_too_long_for_a_code_is_refused_in_words(number):
    with pytest.raises(UnknownCode, match="a number beyond 999999999 is no code"):
        explain(number)


def test_the_page_of_every_code_of_twilios_is_recognised():
    for number, code in TWILIO_CODES.items():
        assert codes_in(f"see {code.url} for more") == [f"twilio {number}"]
        assert codes_in(f"{number} {code.name}")[0] == f"twilio {number}"


HOSTILE = [
    "<", "<script ", " ", "HTTP ", "error ", "1006 ", "'To' number ", "a" * 50 + " ", "ERR_NGROK_",
    "(", "\n", "&#", "<script>", "closed ", "HTTP 401 ", "source phone number provided",
]  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_text_of_any_length_ends_in_an_answer(hostile):
    text = (hostile * MOST_CHARACTERS)[: 2 * MOST_CHARACTERS]
    try:
        explain(text)
    except UnknownCode:
        return
