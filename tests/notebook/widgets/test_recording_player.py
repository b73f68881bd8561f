"""The player of a call: which pieces its pages get, over the socket and over the kernel."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import numpy as np
import pytest
from websockets.asyncio.client import connect

import twistream_kit as kit
from support.captures import capture_of
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.notebook.widgets.recording_player import PIECE_SECONDS, RecordingPlayer
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ" + "0" * 32
TONE = kit.Clip.tone(440, 2.0)


@pytest.fixture
def capture():
    """A call of 70 s: nothing but a tone of yours at 31 s."""
    rows = [(0.0, from_twilio.Start(SID)), (31.0, to_twilio.Media(SID, TONE.payload))]
    return capture_of(SID, *rows, (70.0, from_twilio.Stop(SID)))


@pytest.fixture
def player(capture):
    player = RecordingPlayer(capture, direct=False)
    yield player
    player.close()


def samples_of(piece):
    number, payload = struct.unpack_from("<I", piece)[0], piece[4:]
    both = np.frombuffer(payload, np.uint8).reshape(-1, 2)
    return number, np.stack([decode_ulaw(side.tobytes()) for side in both.T], axis=1)


def test_the_pieces_are_the_recording(player, capture):
    whole = capture.recording.samples()
    assert player.seconds == 70.0
    number, samples = samples_of(player.read_piece(1))
    assert number == 1
    first = PIECE_SECONDS * 8000
    assert (samples == whole[first : 2 * first]).all()
    assert samples[8000:24_000, 1].any()


def test_a_silent_piece_and_one_beyond_the_end_take_no_room(player):
    assert player.read_piece(0) == struct.pack("<I", 0)
    assert player.read_piece(2) == struct.pack("<I", 2)
    assert player.read_piece(900) == struct.pack("<I", 900)


def test_no_piece_breaks_the_connection_of_a_page():
    loud = kit.Clip(b"\x20" * 8000 * PIECE_SECONDS)
    capture = capture_of(
        SID, (0.0, to_twilio.Media(SID, loud.payload)), (60.0, from_twilio.Stop(SID))
    )
    player = RecordingPlayer(capture, direct=False)
    assert 4 + 2 * 8000 * PIECE_SECONDS == len(player.read_piece(0)) <= 2**20
    player.close()


@pytest.mark.parametrize("wanted", ["1", 1])
def test_a_page_without_a_socket_gets_its_piece_over_the_kernel(player, monkeypatch, wanted):
    sent = []
    monkeypatch.setattr(player, "send", lambda content, buffers: sent.append((content, buffers)))
    player._take_message(player, {"piece": wanted, "page": "p"}, [])
    [(content, [piece])] = sent
    assert content == {"type": "piece", "page": "p"}
    assert piece == player.read_piece(1)


@pytest.mark.parametrize("wanted", ["", None, -1, "x", [], {}, float("nan"), "9" * 5000])
def test_a_page_that_asks_for_nonsense_breaks_nothing(player, monkeypatch, wanted):
    sent = []
    monkeypatch.setattr(player, "send", lambda _content, buffers: sent.append(buffers))
    player._take_message(player, {"piece": wanted, "page": "p"}, [])
    assert all(len(piece) == 4 for [piece] in sent)


async def test_a_page_on_this_machine_gets_its_pieces_over_the_socket(capture):
    player = RecordingPlayer(capture)
    headers = {"Origin": "http://localhost:8888"}
    async with connect(player._address, additional_headers=headers, proxy=None) as page:
        for number in (1, 0):
            await page.send(f"piece {number}")
            message = await page.recv()
            await page.send(f"got {struct.unpack_from('<I', message)[0]}")
            assert message[4:] == player.read_piece(number)
        await page.send("piece of cake")
        await page.send(b"\x00" * 8)
        await page.send("piece 1")
        assert (await page.recv())[4:8] == struct.pack("<I", 1), "what it does not know it ignores"
    player.close()


def test_it_takes_what_has_a_capture_and_a_recording(capture):
    for thing in (capture, SimpleNamespace(capture=capture), capture.recording):
        player = RecordingPlayer(thing, direct=False)
        assert player.seconds == 70.0
        player.close()
    with pytest.raises(TypeError, match=r"takes a Capture, .* not str; stream\.capture is one"):
        RecordingPlayer("call.jsonl")


def test_a_player_shows_the_marks_and_clears_of_whatever_it_was_made_of(capture):
    capture.append(to_twilio.Clear(SID), 31.5)
    capture.append(to_twilio.Mark(SID, "said"), 32.0)
    capture.append(from_twilio.Mark(SID, "said"), 32.1)
    for thing in (capture, SimpleNamespace(capture=capture), capture.recording):
        player = RecordingPlayer(thing, direct=False)
        assert player.events == [[31.5, "clear", ""], [32.1, "heard", "said"]]
        player.close()


def test_the_name_of_the_download_cannot_leave_its_folder(capture):
    capture.stream_sid = "../../evil"
    player = RecordingPlayer(capture, direct=False)
    assert player.file_name == "call.wav"
    player.close()


def test_a_page_gets_the_picture_in_columns_and_no_more_events_than_it_can_show(capture):
    for n in range(2000):
        capture.append(from_twilio.Dtmf(SID, "1"), 70 + n / 1000)
    player = RecordingPlayer(capture, direct=False)
    peaks = np.frombuffer(player.peaks, np.int8).reshape(-1, 2, 2)
    assert len(peaks) <= 1400
    assert not peaks[:, 0].any()
    seconds = np.flatnonzero(peaks[:, 1, 1]) * player.seconds / len(peaks)
    assert (seconds[0], seconds[-1]) == (pytest.approx(31, abs=0.1), pytest.approx(33, abs=0.1))
    assert len(player.events) == 500
    player.close()
