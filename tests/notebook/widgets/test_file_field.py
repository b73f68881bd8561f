"""Sound files from a page: what becomes of each, over the kernel's messages and over the socket."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
import threading
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import connect

from support.waiting import soon
from twistream_kit.audio.load import load_clip
from twistream_kit.errors import CallRefused, WavError
from twistream_kit.notebook.widgets import file_field
from twistream_kit.notebook.widgets.file_field import (
    FILE_LIMIT,
    MOST_AT_ONCE,
    FileField,
    clean_name,
)

GREETING = Path("sample_audio/greeting.wav")
ORIGIN = "http://localhost:8888"
PIECE = 16_384


class Uploads:
    """A field, the clips that came of it, and what it told its pages."""

    def __init__(self, direct=False, refuse=None):
        self.clips, self.threads, self.sent = [], [], []
        self.refuse = refuse
        self.field = FileField(self.take, label="Add a file", direct=direct)
        self.field.send = lambda content, buffers=None: self.sent.append(content)

    def take(self, clip):
        self.threads.append(threading.current_thread())
        if self.refuse is not None:
            raise self.refuse
        self.clips.append(clip)

    def page_says(self, piece=None, **message):
        buffers = [] if piece is None else [memoryview(piece)]
        self.field._handle_custom_msg({"file": message}, buffers)

    def begin(self, name, size, ident="a"):
        self.page_says(b"\1\2\3\4", id=ident, do="begin", name=name, size=size)

    def send_all(self, name, raw, ident="a"):
        self.begin(name, len(raw), ident)
        for at in range(0, len(raw), PIECE):
            self.page_says(raw[at : at + PIECE], id=ident, do="piece")

    def said(self, key, ident="a"):
        return [each[key] for each in self.sent if each["id"] == ident and key in each]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of temporary files; it must be empty at the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def uploads(kept, background_loop, until):
    made = []

    def make(**options):
        made.append(Uploads(**options))
        return made[-1]

    yield make
    for each in made:
        each.field.close()
        until(lambda each=each: each.field.files.running == 0)


def encode(form, subtype=None):
    samples = (0.3 * np.sin(np.arange(8000) * 2 * np.pi / 20)).astype("float32")
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format=form, subtype=subtype)
    return file.getvalue()


def test_a_file_becomes_the_clip_that_load_clip_makes_on_a_worker_thread(uploads, until):
    sent = uploads()
    raw = GREETING.read_bytes()
    sent.send_all("greeting.wav", raw)
    (done,) = until(lambda: sent.said("done"))
    assert sent.clips == [load_clip(GREETING)]
    assert sent.clips[0].name == "greeting"
    assert done == "greeting.wav, 4.21 s"
    assert sent.threads[0] is not threading.current_thread()
    ends = [min(at + PIECE, len(raw)) for at in range(0, len(raw), PIECE)]
    assert sent.said("got") == ends, "each piece is acknowledged once it is written"
    assert sent.said("mayGo") == [True]


@pytest.mark.parametrize("form", ["FLAC", "OGG", "MP3", "AIFF", "AU"])
def test_every_kind_that_load_clip_reads_is_read(uploads, until, form):
    raw = encode(form)
    sent = uploads()
    sent.send_all(f"tone.{form.lower()}", raw)
    until(lambda: sent.said("done"))
    (clip,) = sent.clips
    assert clip.payload == load_clip(io.BytesIO(raw)).payload
    assert clip.name == "tone"


M4A = b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + bytes(600)


NO_SOUND = {
    "voice.m4a": M4A,
    "page.html": b"<!DOCTYPE html><html><body>404</body></html>",
    "empty.wav": b"",
    "noise.bin": bytes(range(256)) * 40,
}


def refusal_of(name, folder):
    """Return what `load_clip` says of a file with that name."""
    path = folder / name
    path.write_bytes(NO_SOUND[name])
    with pytest.raises(WavError) as caught:
        load_clip(path)
    path.unlink()
    return str(caught.value).replace(f"{folder}/", "")  # the page knows no folder


@pytest.mark.parametrize("name", NO_SOUND)
def test_a_file_that_is_no_sound_ends_in_the_librarys_own_sentence(uploads, until, kept, name):
    sent = uploads()
    sent.send_all(name, NO_SOUND[name])
    assert until(lambda: sent.said("failed")) == [refusal_of(name, kept)]
    assert name in sent.said("failed")[0]
    assert sent.clips == []


def test_what_the_taker_of_the_clip_raises_is_shown(uploads, until, caplog):
    refusal = CallRefused("there is no call", fix="Place one")
    sent = uploads(refuse=refusal)
    sent.send_all("greeting.wav", GREETING.read_bytes())
    assert until(lambda: sent.said("failed")) == ["there is no call. Place one."]
    sent.refuse = RuntimeError("oops")
    sent.send_all("greeting.wav", GREETING.read_bytes(), "b")
    assert until(lambda: sent.said("failed", "b")) == [
        "greeting.wav cannot be used: RuntimeError: oops"
    ]
    until(lambda: "RuntimeError: oops" in caplog.text)


def test_several_files_at_once_do_not_mix(uploads, until):
    sent = uploads()
    first, second = GREETING.read_bytes(), Path("sample_audio/reply.wav").read_bytes()
    sent.begin("one.wav", len(first), "a")
    sent.begin("two.wav", len(second), "b")
    for at in range(0, max(len(first), len(second)), PIECE):
        for ident, raw in (("a", first), ("b", second)):
            if at < len(raw):
                sent.page_says(raw[at : at + PIECE], id=ident, do="piece")
    until(lambda: len(sent.clips) == 2)
    assert {clip.name: clip.payload for clip in sent.clips} == {
        "one": load_clip(first).payload,
        "two": load_clip(second).payload,
    }


def test_without_buffers_the_pieces_come_as_text(uploads, until):
    sent = uploads()
    raw = GREETING.read_bytes()
    sent.page_says(id="a", do="begin", name="greeting.wav", size=len(raw))
    assert sent.said("takesBuffers") == [False]
    for at in range(0, len(raw), PIECE):
        data = b64encode(raw[at : at + PIECE]).decode()
        sent.page_says(id="a", do="piece", data=data)
    until(lambda: sent.said("done"))
    assert sent.clips == [load_clip(GREETING)]


def test_cancelled_while_the_whole_file_is_being_read_nobody_is_called(uploads, until, monkeypatch):
    reads, may_go_on = threading.Event(), threading.Event()

    def load(file):
        reads.set()
        assert may_go_on.wait(20)
        return load_clip(file)

    monkeypatch.setattr(file_field, "load_clip", load)
    sent = uploads()
    sent.send_all("long.wav", GREETING.read_bytes())
    assert reads.wait(20)
    sent.page_says(id="a", do="cancel")
    may_go_on.set()
    assert until(lambda: sent.said("failed")) == ["long.wav was not sent: cancelled"]
    assert sent.clips == []


def test_cancelled_or_closed_nothing_is_left_and_nobody_is_called(uploads, until):
    sent = uploads()
    for ident in "ab":
        sent.begin("long.wav", 1_000_000, ident)
        sent.page_says(bytes(PIECE), id=ident, do="piece")
    until(lambda: sent.said("got", "a") and sent.said("got", "b"))
    sent.page_says(id="a", do="cancel")
    assert until(lambda: sent.said("failed")) == ["long.wav was not sent: cancelled"]
    sent.field.close()
    (closed,) = until(lambda: sent.said("failed", "b"))
    assert closed.startswith("long.wav was not sent: the widget was closed or shown anew")
    sent.field.files.handle_message(
        {"file": {"id": "c", "do": "begin", "name": "late.wav", "size": 5}}, []
    )
    assert until(lambda: sent.said("failed", "c"))[0].startswith(
        "late.wav was not sent: the widget"
    )
    assert sent.clips == []


def test_a_page_that_is_gone_is_given_up_in_the_end(uploads, until, monkeypatch):
    monkeypatch.setattr(file_field, "IDLE_SECONDS", 0.05)
    sent = uploads()
    sent.begin("long.wav", 1_000_000)
    assert until(lambda: sent.said("failed")) == [
        "long.wav was not sent: the page has sent nothing more for 15 minutes"
    ]


@pytest.mark.parametrize("size", [FILE_LIMIT + 1, -1, "many", None])
def test_more_than_the_limit_is_refused_before_anything_is_kept(uploads, until, size):
    sent = uploads()
    sent.begin("huge.wav", size)
    assert until(lambda: sent.said("failed")) == ["huge.wav was not sent: it is larger than 200 MB"]


def test_more_bytes_than_were_said_are_refused(uploads, until):
    sent = uploads()
    sent.begin("changed.wav", 10)
    sent.page_says(bytes(11), id="a", do="piece")
    assert until(lambda: sent.said("failed")) == [
        "changed.wav was not sent: it was changed on its way"
    ]


def test_more_transfers_than_there_may_be_at_once_are_refused(uploads, until):
    sent = uploads()
    names = [str(number) for number in range(MOST_AT_ONCE + 20)]
    for name in names:
        sent.begin(f"{name}.wav", 100, name)
    files = sent.field.files
    assert files.running == MOST_AT_ONCE

    def count_threads():
        return sum(each.name == "twistream_kit file" for each in threading.enumerate())

    until(lambda: count_threads() == MOST_AT_ONCE)  # one of another test may just be ending
    for name in names[MOST_AT_ONCE:]:
        assert sent.said("failed", name) == [
            (
                f"{name}.wav was not sent: {MOST_AT_ONCE} files are on their way; choose it again "
                "when one has arrived"
            )
        ]
        assert sent.said("mayGo", name) == []
    sent.page_says(id="0", do="cancel")
    until(lambda: files.running == MOST_AT_ONCE - 1)
    raw = GREETING.read_bytes()
    sent.send_all("greeting.wav", raw, "again")
    until(lambda: sent.said("done", "again"))


def test_the_same_file_begun_anew_counts_once(uploads):
    sent = uploads()
    for _ in range(MOST_AT_ONCE + 1):
        sent.begin("a.wav", 100)
    assert len(sent.said("mayGo")) == MOST_AT_ONCE + 1


def test_messages_that_are_of_no_file_do_nothing(uploads):
    sent = uploads()
    sent.page_says(bytes(5), id="x", do="piece")
    sent.page_says(id="x", do="cancel")
    sent.field._handle_custom_msg({"file": "text"}, [])
    sent.field._handle_custom_msg({"event": "click"}, [])
    assert sent.sent == []


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\sounds\\a.wav", "a.wav"),
        ("a\x1b[31m.wav", "a\\x1b[31m.wav"),
        ("", "file"),
        (None, "file"),
        ("x" * 200 + ".wav", "x" * 116 + ".wav"),
    ],
)
def test_a_name_has_no_folder_and_nothing_that_a_terminal_obeys(name, cleaned):
    assert clean_name(name) == cleaned


def test_a_taker_that_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="on_clip is a list; it is a function that takes a Clip"):
        FileField([])


async def send_directly(address, name, raw):
    """Send a file as a page does; return all that the kernel said."""
    said = []
    async with connect(address, origin=ORIGIN, proxy=None) as page:
        await page.send(f"begin {len(raw)} {name}")
        at = got = 0
        while not said or ("done" not in said[-1] and "failed" not in said[-1]):
            while at < len(raw) and at - got < 1_200_000:
                await page.send(raw[at : at + 60_000])
                at += 60_000
            said.append(json.loads(await soon(page.recv())))
            got = max(got, said[-1].get("got", 0))
    return said


async def test_over_the_socket_it_is_the_same(uploads, kept):
    sent = await asyncio.to_thread(uploads, direct=True)
    raw = await asyncio.to_thread(GREETING.read_bytes)
    said = await send_directly(sent.field._files_address, "greeting.wav", raw)
    assert said[0] == {"mayGo": True}
    assert said[-1] == {"done": "greeting.wav, 4.21 s"}
    assert sent.clips == [load_clip(GREETING)]
    said = await send_directly(sent.field._files_address, "voice.m4a", M4A)
    assert said[-1] == {"failed": refusal_of("voice.m4a", kept)}


async def test_a_page_that_disconnects_leaves_nothing(uploads, until):
    sent = await asyncio.to_thread(uploads, direct=True)
    async with connect(sent.field._files_address, origin=ORIGIN, proxy=None) as page:
        await page.send("begin 100000 a.wav")
        await page.send(bytes(50_000))
        while "got" not in json.loads(await soon(page.recv())):
            pass
        assert sent.field.files.running == 1
    await asyncio.to_thread(until, lambda: sent.field.files.running == 0)
    assert sent.clips == []


async def test_text_that_is_no_message_cancels_or_does_nothing(uploads, until):
    sent = await asyncio.to_thread(uploads, direct=True)
    async with connect(sent.field._files_address, origin=ORIGIN, proxy=None) as page:
        for words in ("", "begin", "begin many a.wav", "here a", "cancel"):
            await page.send(words)
        await page.send("begin 100 a.wav")
        assert json.loads(await soon(page.recv())) == {"mayGo": True}
        await page.send("cancel")
        assert json.loads(await soon(page.recv())) == {"failed": "a.wav was not sent: cancelled"}


def make_wav(size):
    """Return a WAV file of `size` bytes, of 48 kHz in 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros((size - 44) // 2, "int16"), 48_000, format="WAV")
    return file.getvalue()


@pytest.mark.slow
async def test_forty_megabytes_over_the_socket(uploads):
    raw = await asyncio.to_thread(make_wav, 40_000_000)
    sent = await asyncio.to_thread(uploads, direct=True)
    said = await send_directly(sent.field._files_address, "long.wav", raw)
    assert said[-1]["done"].startswith("long.wav, 416.6")
    assert sent.clips[0].seconds == pytest.approx(40_000_000 / 96_000, abs=0.01)


IN_THE_KERNEL = """
from twistream_kit.notebook.widgets.file_field import FileField
clips = []
field = FileField(clips.append, label="Add a file", direct=False)
"""


@pytest.mark.slow
@pytest.mark.notebook
def test_forty_megabytes_in_the_messages_of_a_real_kernel(kernel):
    kernel.run(IN_THE_KERNEL)
    model = kernel.value("field.model_id")
    raw, piece = make_wav(40_000_000), 524_288
    message = {"id": "a", "do": "begin", "name": "long.wav", "size": len(raw)}
    kernel.send(model, {"file": message}, [b"\1\2\3\4"])
    for at in range(0, len(raw), piece):
        kernel.send(model, {"file": {"id": "a", "do": "piece"}}, [raw[at : at + piece]])
    seconds = "print(clips[0].seconds if clips else 0)"
    kernel.wait(lambda: float(kernel.run(seconds)) > 416, "the clip")
    kernel.run("field.close()")
