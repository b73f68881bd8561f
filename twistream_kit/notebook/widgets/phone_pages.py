"""The pages that show one telephone: what they say is done to it, what it hears is sent to them.

A telephone may be shown by several pages (the same notebook in two tabs), each over the direct
socket or over the kernel's messages.  All of them show its state and may press its buttons; the
sound, both ways, belongs to the one that asked for it last, so that nobody hears it twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np

from twistream_kit.audio.clip import FRAME_BYTES, Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.errors import CallRefused, TwistreamError
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.widgets.socket import Channel
from twistream_kit.notebook.widgets.widget_page import NUMBER, Page
from twistream_kit.pending import on_worker
from twistream_kit.simulator.call.call import SimulatedCall
from twistream_kit.simulator.call.handset import KEPT_FRAMES, LiveVoice
from twistream_kit.simulator.phone import Phone

logger = logging.getLogger("twistream_kit.notebook")

BATCH_FRAMES = 5
"""How many frames one message of the kernel carries: 100 ms, 10 messages a second."""

KEPT_FRAMES_OVER_THE_KERNEL = 6
"""The microphone comes 60 ms at a time there, and less evenly."""

Tell = Callable[[dict[str, Any], list[bytes]], object]
"""Sends a message to all pages, over the kernel."""


class PhonePages:
    """Carries out what pages say; all methods may be called from any thread.

    Args:
        phone: The telephone.
        find_stream: Finds the open stream of its call, for *Clear*; None if there is none.
        voices: What can be said in place of a microphone, by name; a clip, or how to load it.
        tell: Sends a message to all pages.

    Attributes:
        channel: The way of the pages that are connected directly; None without a socket.
        voice: The microphone of the page that has the sound.
        lost: How many messages of that page's microphone never came.
    """

    def __init__(
        self,
        phone: Phone,
        find_stream: Callable[[], MediaStream | None],
        voices: Mapping[str, Callable[[], Clip]],
        tell: Tell,
    ) -> None:
        self.channel: Channel | None = None
        self.voice = LiveVoice()
        self.lost = 0
        self._phone, self._find_stream = phone, find_stream
        self._voices, self._tell = voices, tell
        self._call: SimulatedCall | None = None
        self._direct: dict[str, Page] = {}
        self._speaker = ""
        self._batch = b""
        self._batches = 0
        self._heard_from_page: int | None = None
        self._lock = threading.RLock()

    @property
    def speaker(self) -> str:
        """The name of the page that has the sound; empty if none has."""
        return self._speaker

    def attach(self, call: SimulatedCall) -> None:
        """Put the ear and the mouth of an answered call through."""
        with self._lock:
            if call is self._call:
                return
            self.detach()
            self._call = call
            self._batch = b""
            self.voice.hush()
            call.handset.mouth.live = self.voice
            call.handset.ear.on_frame.append(self._hear)

    def detach(self) -> None:
        """Hear no more of the call, and say no more in it."""
        with self._lock:
            call, self._call = self._call, None
            if call is None:
                return
            if call.handset.mouth.live is self.voice:
                call.handset.mouth.live = None
            if self._hear in call.handset.ear.on_frame:
                call.handset.ear.on_frame.remove(self._hear)

    # What pages say, directly

    def joined(self, page: Page) -> None:
        """Wait until it says its name."""

    def left(self, page: Page) -> None:
        """Take the sound away from a page that has gone."""
        with self._lock:
            was_here = self._direct.get(page.name) is page
            if was_here:
                del self._direct[page.name]
        if was_here:
            self._give_sound_to(page.name, wanted=False)

    def said(self, page: Page, words: str) -> None:
        """Do what a page says."""
        if words.startswith("here "):
            with self._lock:
                self._direct[page.name] = page
        else:
            self.obey(words, page.name)

    def spoke(self, page: Page, sound: bytes) -> None:
        """Take 20 ms of a page's microphone: a number, and int16 in little-endian order."""
        if page.name == self._speaker and len(sound) > NUMBER.size and len(sound) % 2 == 0:
            self.listen(NUMBER.unpack_from(sound)[0], sound[NUMBER.size :])

    # What pages say, over either way

    def obey(self, words: str, page: str) -> None:
        """Do what a page says: a verb, and for some of them more.

        What cannot be done is told to the pages in a sentence, and logged.
        """
        verb, _, rest = words.partition(" ")
        try:
            self._do(verb, rest, page)
        except (TwistreamError, ValueError) as error:
            self.note(str(error))
        except Exception as error:
            logger.exception("a button of the phone failed")
            self.note(f"That failed: {type(error).__name__}: {error}")

    def listen(self, number: int, sound: bytes) -> None:
        """Take int16 samples, 8000 a second, that a page's microphone picked up."""
        if self._heard_from_page is not None:
            self.lost += max(0, number - self._heard_from_page - 1)
        self._heard_from_page = number
        if self._call is not None:
            self.voice.push(encode_ulaw(np.frombuffer(sound, "<i2").astype(np.int16)))

    def note(self, text: str) -> None:
        """Tell the pages something in a sentence."""
        self._tell({"type": "note", "text": text}, [])

    def _do(self, verb: str, rest: str, page: str) -> None:
        match verb:
            case "here":
                self._tell({"type": "welcome", "page": page}, [])
            case "answer":
                self._phone.answer()
            case "hang_up":
                self._phone.hang_up()
            case "press":
                self._phone.press(rest)
            case "clear":
                self._clear()
            case "say":
                self._say(rest)
            case "sound":
                self._give_sound_to(page, wanted=rest == "on")
            case _:
                raise ValueError(f"the page said {verb!r}, which this version does not know")

    def _clear(self) -> None:
        stream = self._find_stream()
        if stream is None:
            raise CallRefused(
                "There is nothing to clear: this call has no open stream",
                fix="Give the phone its server: PhoneWidget(phone, server=server)",
            )
        stream.clear()

    def _say(self, name: str) -> None:
        if name not in self._voices:
            raise ValueError(f"there is no file {name!r} to be said")

        def say(loading: Future[Clip]) -> None:
            try:
                self._phone.say(loading.result(0))
            except (TwistreamError, OSError) as error:
                self.note(str(error))

        on_worker("twistream_kit voice", self._voices[name]).add_done_callback(say)

    def _give_sound_to(self, page: str, *, wanted: bool) -> None:
        with self._lock:
            if not wanted and page != self._speaker:
                return
            self._speaker = page if wanted else ""
            self._batch, self._heard_from_page = b"", None
            self.voice.hush()
            is_direct = page in self._direct
            self.voice.kept = KEPT_FRAMES if is_direct else KEPT_FRAMES_OVER_THE_KERNEL
        self._tell({"type": "speaker", "page": self._speaker}, [])

    # What the telephone hears

    def _hear(self, frame: bytes, _now: float) -> None:
        with self._lock:
            speaker, page = self._speaker, self._direct.get(self._speaker)
            if page is not None and self.channel is not None:
                self.channel.send_sound(page, frame)
                return
            if not speaker:
                return
            self._batch += frame
            if len(self._batch) < BATCH_FRAMES * FRAME_BYTES:
                return
            batch, self._batch = self._batch, b""
            self._batches += 1
            number = self._batches
        self._tell({"type": "sound", "page": speaker, "number": number}, [batch])
