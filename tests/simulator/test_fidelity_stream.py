"""The simulator does on the wire what Twilio documents: PROTOCOL.md §2, §3, §4 and §8.

One test for each behaviour, its section in the docstring.  Texts are written out by hand from the
documented shapes; the servers are raw sockets of websockets, so nothing of ours agrees with itself.
"""

import asyncio
import contextlib
import json
from base64 import b64decode, b64encode
from itertools import pairwise

import pytest
from websockets.asyncio.server import serve

from support.waiting import LIMIT_SECONDS, soon
from twistream_kit.simulator.model.assumptions import SILENT_FRAME
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.stream.client import StreamClient
from twistream_kit.simulator.stream.leg import StreamLeg
from twistream_kit.simulator.stream.refusal import StreamFailed

SID = "MZ0123456789abcdef0123456789abcdef"
CALL = "CA0123456789abcdef0123456789abcdef"
ACCOUNT = "AC0123456789abcdef0123456789abcdef"
SOUND = bytes(range(0x10, 0x60)) * 2


class Server:
    """A raw WebSocket server: what it was sent, as text, and what it is to send on *start*."""

    def __init__(self, *answers):
        self.answers = answers
        self.texts = []
        self.headers = []
        self.request = None
        self.connection = None
        self.close_code = None
        self.started = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self, connection):
        self.connection, self.request = connection, connection.request
        with contextlib.suppress(Exception):
            async for text in connection:
                self.texts.append(text)
                if '"event":"start"' in text:
                    self.started.set()
                    for answer in self.answers:
                        await connection.send(answer)
        self.close_code = connection.protocol.close_code
        self.ended.set()

    @property
    def messages(self):
        return [json.loads(text) for text in self.texts]

    def events(self):
        return [message["event"] for message in self.messages]


@contextlib.asynccontextmanager
async def call(server, *, path="/media", debugger=None, auth_token="12345", frames=0, **options):
    """A connected stream; `frames` frames of silence pass before the body runs."""
    leg = StreamLeg(stream_sid=SID, call_sid=CALL, account_sid=ACCOUNT, **options)
    async with serve(server, "127.0.0.1", 0) as running:
        url = f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}{path}"
        client = StreamClient(
            leg,
            url=url,
            auth_token=auth_token,
            debugger=Debugger() if debugger is None else debugger,
        )
        await client.connect()
        async with asyncio.timeout(LIMIT_SECONDS):
            await server.started.wait()
            for _ in range(frames):
                client.tick(0.0, SILENT_FRAME)
            yield client
            await client.stop()
            await server.ended.wait()


def cranked(**options):
    """A leg without a socket, past its opening and its first burst."""
    leg = StreamLeg(stream_sid=SID, call_sid=CALL, account_sid=ACCOUNT, **options)
    leg.begin()
    leg.advance(SILENT_FRAME, 0.0)
    return leg


def media(payload=SOUND, sid=SID):
    return json.dumps(
        {"event": "media", "streamSid": sid, "media": {"payload": b64encode(payload).decode()}}
    )


def mark(name):
    return json.dumps({"event": "mark", "streamSid": SID, "mark": {"name": name}})


CLEAR = json.dumps({"event": "clear", "streamSid": SID})


def sent(messages):
    return [json.loads(message.to_json()) for message in messages]


def returned(messages):
    return [message["mark"]["name"] for message in sent(messages) if message["event"] == "mark"]


def heard(leg, frames):
    return b"".join(leg.advance(SILENT_FRAME, 0.0)[0] for _ in range(frames))


def codes(leg):
    return [warned.code for warned in leg.take_warnings()]


# §2 Handshake and transport ------------------------------------------------------------------


async def test_the_handshake_has_twilios_headers_and_no_others():
    """§2.1"""
    server = Server()
    async with call(server):
        names = sorted(name.lower() for name, _ in server.request.headers.raw_items())
    assert names == [
        "connection",
        "host",
        "sec-websocket-key",
        "sec-websocket-version",
        "upgrade",
        "user-agent",
        "x-twilio-signature",
    ]
    assert server.request.headers["User-Agent"] == "Twilio.TmeWs/1.0"


async def test_the_signature_header_is_written_in_lower_case():
    """§2.1"""
    server = Server()
    async with call(server):
        written = [name for name, _ in server.request.headers.raw_items()]
    assert "x-twilio-signature" in written


async def test_no_extension_is_offered_so_nothing_is_compressed():
    """§2.1, §2.3"""
    server = Server()
    async with call(server):
        assert server.connection.protocol.extensions == []


async def test_the_signature_is_hmac_sha1_over_the_url():
    """§2.2: the vector of the protocol notes for wss://example.com/media-stream."""
    from twistream_kit.protocol.signature import sign
    from twistream_kit.simulator.model.assumptions import Behaviour
    from twistream_kit.simulator.stream.handshake import read_url

    def signature(url):
        return sign("12345", read_url(url, Behaviour()).signed)

    assert signature("wss://example.com/media-stream") == "XFfwGS2Ev7f9qAP9MmRoMS7C724="
    assert signature("wss://example.com/media-stream/") == "7J0iz81itFhCXVuZK8EmM4YZwLA="


def test_user_and_port_are_not_signed_and_a_bare_host_gets_a_slash():
    """§2.2, §10.25"""
    from twistream_kit.simulator.model.assumptions import Behaviour
    from twistream_kit.simulator.stream.handshake import read_url

    def signed(url):
        return read_url(url, Behaviour()).signed

    assert signed("wss://user:word@example.com:443/a") == "wss://example.com/a"
    assert signed("wss://example.com") == "wss://example.com/"


async def test_the_query_string_vanishes_before_the_connection_is_made():
    """§0.2: [OBS], ten threads."""
    server = Server()
    async with call(server, path="/media?token=secret"):
        assert server.request.path == "/media"


async def test_without_a_token_there_is_no_signature():
    """Not Twilio's: for servers that do not check."""
    server = Server()
    async with call(server, auth_token=None):
        assert "x-twilio-signature" not in server.request.headers


async def test_pings_are_answered_and_never_sent():
    """§2.3"""
    server = Server()
    async with call(server) as client:
        pong = await server.connection.ping()
        await soon(pong)
        assert client._connection.ping_interval is None


async def test_after_the_call_the_server_sees_1005():
    """§2.3: a Close frame without status."""
    server = Server()
    async with call(server):
        pass
    assert server.close_code == 1005
    assert server.events()[-1] == "stop"


async def test_no_stop_is_sent_when_the_server_closes_first():
    """§3, §10.35; §10.5: the close is logged all the same."""
    server = Server()
    async with call(server, frames=3) as client:
        await server.connection.close()
        ending = await client.wait_closed()
    assert ending.reason == "server-closed"
    assert ending.error_code == 31921
    assert not ending.failed
    assert "stop" not in server.events()


async def test_an_answer_other_than_101_is_31920():
    """§2.3, §5.1"""

    def refuse(connection, request):
        return connection.respond(403, "no\n")

    debugger = Debugger()
    leg = StreamLeg(stream_sid=SID, call_sid=CALL, account_sid=ACCOUNT)
    async with serve(Server(), "127.0.0.1", 0, process_request=refuse) as running:
        url = f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/"
        client = StreamClient(leg, url=url, auth_token=None, debugger=debugger)
        with pytest.raises(StreamFailed):
            await client.connect()
    assert debugger.codes == [31920]
    assert "Handshake" in debugger[0].name


# §3 Messages from Twilio ---------------------------------------------------------------------


async def test_connected_is_written_as_documented_and_has_no_number():
    """§3"""
    server = Server()
    async with call(server):
        pass
    assert server.texts[0] == '{"event":"connected","protocol":"Call","version":"1.0.0"}'


async def test_start_is_written_as_documented():
    """§3: sampleRate and channels are numbers, sequenceNumber is a string."""
    server = Server()
    async with call(server, parameters={"name": "Ada"}):
        pass
    assert server.texts[1] == (
        '{"event":"start","sequenceNumber":"1","start":{"accountSid":"' + ACCOUNT + '",'
        '"streamSid":"' + SID + '","callSid":"' + CALL + '","tracks":["inbound"],'
        '"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},'
        '"customParameters":{"name":"Ada"}},"streamSid":"' + SID + '"}'
    )


async def test_custom_parameters_are_an_empty_object_when_there_are_none():
    """§1.4: present, not absent [OBS]."""
    server = Server()
    async with call(server):
        pass
    assert server.messages[1]["start"]["customParameters"] == {}


async def test_media_is_written_as_documented_and_all_its_numbers_are_strings():
    """§3"""
    server = Server()
    async with call(server, frames=1, first_timestamp_ms=155):
        pass
    payload = b64encode(SILENT_FRAME).decode()
    assert server.texts[2] == (
        '{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1",'
        '"timestamp":"155","payload":"' + payload + '"},"streamSid":"' + SID + '"}'
    )


def test_dtmf_is_written_as_documented():
    """§3: its track has the suffix that the track of media lacks."""
    leg = StreamLeg(stream_sid=SID, call_sid=CALL, account_sid=ACCOUNT)
    leg.begin()
    (message,) = leg.press("#")
    assert message.to_json() == (
        '{"event":"dtmf","streamSid":"' + SID + '","sequenceNumber":"2",'
        '"dtmf":{"track":"inbound_track","digit":"#"}}'
    )


def test_mark_is_written_as_documented():
    """§3"""
    leg = StreamLeg(stream_sid=SID, call_sid=CALL, account_sid=ACCOUNT)
    leg.begin()
    (message,) = leg.receive(mark("chorus"), 0.0)
    assert message.to_json() == (
        '{"event":"mark","sequenceNumber":"2","streamSid":"' + SID + '","mark":{"name":"chorus"}}'
    )


def test_stop_is_written_as_documented():
    """§3"""
    leg = StreamLeg(stream_sid=SID, call_sid=CALL, account_sid=ACCOUNT)
    leg.begin()
    (message,) = leg.stop()
    assert message.to_json() == (
        '{"event":"stop","sequenceNumber":"2","streamSid":"' + SID + '",'
        '"stop":{"accountSid":"' + ACCOUNT + '","callSid":"' + CALL + '"}}'
    )


async def test_the_order_is_connected_start_media_stop():
    """§3"""
    server = Server()
    async with call(server, frames=2):
        pass
    assert server.events() == ["connected", "start", *["media"] * 4, "stop"]


async def test_sequence_numbers_count_every_message_from_start_on(eventually):
    """§3: connected has none; first media is 2 with chunk 1."""
    server = Server(mark("a"))
    async with call(server, frames=3) as client:
        client.press("1")
        await eventually(lambda: "mark" in server.events())
    numbers = [message.get("sequenceNumber") for message in server.messages]
    assert numbers == [None, *(str(number) for number in range(1, len(numbers)))]


def test_chunks_count_the_media_from_one():
    """§3: chunk 73 is sequence 74 when nothing else was sent (CAP-B)."""
    leg = StreamLeg(stream_sid=SID, call_sid=CALL, account_sid=ACCOUNT)
    out = leg.begin()
    while len(out) < 75:
        out += leg.advance(SILENT_FRAME, 0.0)[1]
    last = sent(out)[74]
    assert (last["media"]["chunk"], last["sequenceNumber"]) == ("73", "74")


def test_each_track_counts_its_own_chunks_without_gaps():
    """§10.19: [OBS, live], 2,338 inbound and 2,336 outbound frames."""
    leg = cranked(tracks=("inbound", "outbound"), bidirectional=False)
    _, out = leg.advance(b"\x01" * 160, 0.0, b"\x02" * 160)
    first, second = sent(out)
    assert (first["media"]["track"], second["media"]["track"]) == ("inbound", "outbound")
    assert first["media"]["chunk"] == second["media"]["chunk"]
    _, out = leg.advance(SILENT_FRAME, 0.02, SILENT_FRAME)
    assert [int(m["media"]["chunk"]) for m in sent(out)] == [int(first["media"]["chunk"]) + 1] * 2
    assert [b64decode(m["media"]["payload"])[0] for m in (first, second)] == [1, 2]


def test_timestamps_begin_between_50_and_180_and_rise_by_20_ms_with_a_little_jitter():
    """§3: [OBS], CAP-B rose by 1438 ms over 72 chunks."""
    leg = StreamLeg(stream_sid=SID, call_sid=CALL, account_sid=ACCOUNT)
    leg.begin()
    out = []
    while len(out) < 73:
        out += leg.advance(SILENT_FRAME, 0.0)[1]
    times = [int(message["media"]["timestamp"]) for message in sent(out)][:73]
    assert 50 <= times[0] <= 180
    assert times == sorted(times)
    assert 1436 <= times[72] - times[0] <= 1444
    assert any((later - earlier) % 20 for earlier, later in pairwise(times))


def test_every_payload_is_160_bytes_also_in_silence():
    """§3: [OBS], idle payload is bytes near 0xFF and 0x7F."""
    _, out = cranked().advance(SILENT_FRAME, 0.0)
    assert b64decode(sent(out)[0]["media"]["payload"]) == b"\xff" * 160


async def test_fifty_frames_come_in_a_second_after_a_small_burst(eventually):
    """§3: CAP-A, 350 frames in 6.96 s."""
    server = Server()
    async with call(server) as client:
        for beat in range(348):
            client.tick(beat * 0.02, SILENT_FRAME)
        await eventually(lambda: len(server.texts) >= 2 + 350)
        assert server.events() == ["connected", "start", *["media"] * 350]


def test_dtmf_is_not_delivered_on_a_stream_that_only_listens():
    """§1.1, §1.2"""
    assert cranked(bidirectional=False).press("1") == []


# §4 Messages to Twilio -----------------------------------------------------------------------


def test_audio_is_buffered_and_played_in_the_order_received():
    """§4"""
    leg = cranked()
    leg.receive(media(b"\x01" * 160), 0.0)
    leg.receive(media(b"\x02" * 320), 0.0)
    assert heard(leg, 4) == b"\x01" * 160 + b"\x02" * 320 + b"\xff" * 160


@pytest.mark.parametrize("size", [1, 159, 161, 1000, 40_000])
def test_a_payload_may_have_any_size_and_the_last_frame_is_padded_with_silence(size):
    """§4"""
    leg = cranked()
    leg.receive(media(b"\x21" * size), 0.0)
    assert heard(leg, size // 160 + 1).rstrip(b"\xff") == b"\x21" * size


def test_no_pacing_is_required():
    """§4: ten seconds at once play for ten seconds."""
    leg = cranked()
    leg.receive(media(b"\x21" * 80_000), 0.0)
    assert heard(leg, 500) == b"\x21" * 80_000
    assert heard(leg, 1) == SILENT_FRAME


def test_silence_is_played_when_there_is_nothing_and_playback_resumes_at_once():
    """§4"""
    leg = cranked()
    assert heard(leg, 3) == SILENT_FRAME * 3
    leg.receive(media(), 0.0)
    assert heard(leg, 1) == SOUND


def test_audio_beyond_ten_minutes_is_discarded_with_one_31931():
    """§4"""
    leg = cranked()
    minute = media(b"\x21" * 480_000)
    for _ in range(10):
        leg.receive(minute, 0.0)
    assert codes(leg) == []
    leg.receive(media(), 0.0)
    leg.receive(media(), 0.0)
    assert codes(leg) == [31931]
    assert len(leg.playout) == 4_800_000


def test_a_mark_comes_back_when_all_audio_before_it_was_played():
    """§4"""
    leg = cranked()
    leg.receive(media(b"\x21" * 320), 0.0)
    assert leg.receive(mark("end"), 0.0) == []
    leg.receive(media(b"\x22" * 320), 0.0)
    assert [returned(leg.advance(SILENT_FRAME, 0.0)[1]) for _ in range(4)] == [[], ["end"], [], []]


def test_a_mark_comes_back_at_once_when_nothing_is_buffered():
    """§4"""
    assert returned(cranked().receive(mark("now"), 0.0)) == ["now"]


def test_equal_names_are_accepted_and_seventy_marks_may_wait():
    """§4: [OBS]"""
    leg = cranked()
    leg.receive(media(), 0.0)
    for _ in range(70):
        assert leg.receive(mark("responsePart"), 0.0) == []
    assert returned(leg.advance(SILENT_FRAME, 0.0)[1]) == ["responsePart"] * 70


def test_clear_empties_the_buffer_and_returns_the_waiting_marks_in_order():
    """§4"""
    leg = cranked()
    leg.receive(media(b"\x21" * 1600), 0.0)
    leg.receive(mark("one"), 0.0)
    leg.receive(media(b"\x21" * 1600), 0.0)
    leg.receive(mark("two"), 0.0)
    assert heard(leg, 1) == b"\x21" * 160
    assert returned(leg.receive(CLEAR, 0.0)) == ["one", "two"]
    assert heard(leg, 1) == SILENT_FRAME


def test_nothing_acknowledges_a_clear_when_no_marks_wait():
    """§4: [ASM]"""
    leg = cranked()
    leg.receive(media(), 0.0)
    assert leg.receive(CLEAR, 0.0) == []


def test_audio_sent_after_a_clear_plays_normally():
    """§4"""
    leg = cranked()
    leg.receive(media(b"\x21" * 1600), 0.0)
    leg.receive(CLEAR, 0.0)
    leg.receive(media(b"\x22" * 160), 0.0)
    assert heard(leg, 2) == b"\x22" * 160 + SILENT_FRAME


INVALID = {
    "text that is not JSON": "media",
    "JSON that is not an object": "[1]",
    "an unknown event": json.dumps({"event": "say", "streamSid": SID}),
    "the server's own connected": json.dumps({"event": "connected", "protocol": "Call"}),
    "no event": json.dumps({"streamSid": SID, "media": {"payload": ""}}),
    "no streamSid": json.dumps({"event": "media", "media": {"payload": "/w=="}}),
    "stream_sid for streamSid": json.dumps({"event": "clear", "stream_sid": SID}),
    "another stream's SID": media(sid="MZ" + "f" * 32),
    "no media": json.dumps({"event": "media", "streamSid": SID}),
    "playload for payload": json.dumps(
        {"event": "media", "streamSid": SID, "media": {"playload": "/w=="}}
    ),
    "a payload that is not base64": json.dumps(
        {"event": "media", "streamSid": SID, "media": {"payload": "not base64!"}}
    ),
    "a mark without a name": json.dumps({"event": "mark", "streamSid": SID, "mark": {}}),
    "an extra field": json.dumps({"event": "clear", "streamSid": SID, "sequenceNumber": "1"}),
    "an extra field inside": json.dumps(
        {"event": "media", "streamSid": SID, "media": {"payload": "/w==", "track": "outbound"}}
    ),
}


@pytest.mark.parametrize("message", INVALID.values(), ids=INVALID.keys())
def test_an_invalid_message_is_dropped_with_31951_and_the_stream_goes_on(message):
    """§4"""
    leg = cranked()
    leg.receive(media(b"\x21" * 320), 0.0)
    leg.receive(message, 0.0)
    assert codes(leg) == [31951]
    assert len(leg.playout) == 320
    assert returned(leg.receive(CLEAR, 0.0) + leg.receive(mark("alive"), 0.0)) == ["alive"]


def test_a_binary_message_is_dropped_with_31950():
    """§4"""
    leg = cranked()
    leg.receive(media().encode(), 0.0)
    leg.receive(SOUND, 0.0)
    assert codes(leg) == [31950]
    assert len(leg.playout) == 0


async def test_31951_is_logged_once_per_stream(eventually):
    """§4, §5.1"""
    debugger = Debugger()
    async with call(Server("one", "two", "three", mark("end")), debugger=debugger) as client:
        await eventually(lambda: client.sent["mark"])
    assert debugger.codes == [31951]


def test_a_wav_header_is_played_as_noise_and_nothing_is_logged():
    """§4"""
    leg = cranked()
    wav = b"RIFF\x24\x00\x00\x00WAVEfmt " + b"\x21" * 144
    leg.receive(media(wav), 0.0)
    assert heard(leg, 1) == wav
    assert codes(leg) == []


async def test_a_fragmented_control_frame_ends_the_stream_with_31924():
    """§4"""
    server, debugger = Server(), Debugger()
    async with call(server, debugger=debugger) as client:
        server.connection.transport.write(b"\x09\x00")
        ending = await client.wait_closed()
    assert (ending.reason, ending.error_code) == ("protocol-error", 31924)
    assert debugger.codes == [31924]


async def test_any_message_on_a_unidirectional_stream_is_31924():
    """§1.2, §4"""
    debugger = Debugger()
    server = Server(media())
    async with call(server, debugger=debugger, bidirectional=False) as client:
        ending = await client.wait_closed()
    assert ending.error_code == 31924
    assert debugger.codes == [31924]


# §8 The names in a stream's status -----------------------------------------------------------


def test_the_text_of_a_stream_error_is_twilios_title():
    """§8: [OBS] "Stream - Websocket - Protocol Error"."""
    assert StreamFailed(31920, "it refused").text.startswith("Stream - ")
