"""The pages that show a telephone: their commands, and the sound in both directions.

A page is connected by the direct socket or by the kernel's messages.
"""

from __future__ import annotations

import logging
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from twistream_kit.audio.clip import FRAME_BYTES, Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.errors import CallRefused, TwistreamError, WrongValue
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.display.html import wrap_wav
from twistream_kit.notebook.widgets._comm import PROBE, Tell, read_bytes
from twistream_kit.notebook.widgets._socket import NUMBER, Channel, WidgetPage
from twistream_kit.pending import on_worker
from twistream_kit.simulator.call.call import SimulatedCall
from twistream_kit.simulator.call.handset import KEPT_FRAMES, LiveVoice
from twistream_kit.simulator.phone import Phone

logger = logging.getLogger("twistream_kit.notebook")

BATCH_FRAMES = 5
"""The number of frames in one message of the kernel: 100 ms, 10 messages a second."""

MOST_SENT_SECONDS = 60.0
"""The longest recording that a page plays, 1.3 MB in one message of the kernel."""

KEPT_FRAMES_OVER_THE_KERNEL = 6
"""Over the kernel's messages, the microphone's sound arrives 60 ms at a time, and less evenly."""


class PhonePages:
    """The pages that show one telephone: carries out their commands and sends them its sound.

    All methods may be called from any thread.

    Args:
        phone: The telephone.
        find_stream: Finds the open stream of its call, for *Clear*; None if there is none.
        voices: The functions that load the clips to say in place of a microphone, by name.
        tell: Sends a message to all pages.

    Attributes:
        channel: The connections of the pages that use the socket; None without a socket.
        voice: The microphone of the page that has the sound.
        lost: The number of lost messages of that page's microphone.
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
        self._direct: dict[str, WidgetPage] = {}
        self._of_text: set[str] = set()
        self._speaker = ""
        self._batch = b""
        self._batches = 0
        self._heard_from_page: int | None = None
        self._lock = threading.RLock()

    @property
    def speaker(self) -> str:
        """The name of the page that has the sound; empty if no page has it."""
        return self._speaker

    def attach(self, call: SimulatedCall) -> None:
        """Connect the pages to the ear and the mouth of an answered call."""
        with self._lock:
            if call is self._call:
                return
            self.detach()
            self._call = call
            self._batch = b""
            self.voice.clear()
            call.handset.mouth.live = self.voice
            call.handset.ear.on_frame.append(self._hear)

    def detach(self) -> None:
        """Disconnect the pages from the ear and the mouth of the call."""
        with self._lock:
            call, self._call = self._call, None
            if call is None:
                return
            if call.handset.mouth.live is self.voice:
                call.handset.mouth.live = None
            if self._hear in call.handset.ear.on_frame:
                call.handset.ear.on_frame.remove(self._hear)

    # Messages of pages over the socket

    def add_page(self, page: WidgetPage) -> None:
        """Do nothing until the page sends its name."""

    def remove_page(self, page: WidgetPage) -> None:
        """Take the sound away from a page that has disconnected."""
        with self._lock:
            was_here = self._direct.get(page.name) is page
            if was_here:
                del self._direct[page.name]
        if was_here:
            self._give_sound_to(page.name, wanted=False)

    def handle_text(self, page: WidgetPage, words: str) -> None:
        """Carry out a command of a page."""
        if words.startswith("here "):
            with self._lock:
                self._direct[page.name] = page
        else:
            self.obey(words, page.name)

    def handle_sound(self, page: WidgetPage, sound: bytes) -> None:
        """Take 20 ms of a page's microphone: a number, then int16 in little-endian order."""
        if page.name == self._speaker and len(sound) > NUMBER.size and len(sound) % 2 == 0:
            self.listen(NUMBER.unpack_from(sound)[0], sound[NUMBER.size :])

    # Messages of pages over the kernel

    def handle_message(self, content: Mapping[str, Any], buffers: Sequence[memoryview]) -> None:
        """Take a message of a page: its first one, sound of its microphone, or a command."""
        page = str(content.get("page", ""))
        words = str(content.get("do", ""))
        if "number" in content:
            sound = read_bytes(content, buffers)
            if page == self.speaker and sound and len(sound) % 2 == 0:
                self.listen(int(content["number"]), sound)
        elif words.startswith("here"):
            # A page that is here anew has to find out anew.
            self._of_text.discard(page)
            with self._lock:
                # Its socket has ended, and the loop may see that after the page's next command.
                self._direct.pop(page, None)
            takes = bool(read_bytes({}, buffers))
            self._tell({"type": "welcome", "page": page, "takesBuffers": takes}, [PROBE])
        elif words == "text":
            self._of_text.add(page)
        else:
            self.obey(words, page)

    # Messages of pages over the socket or the kernel

    def obey(self, words: str, page: str) -> None:
        """Carry out a command of a page: a verb, and for some verbs an argument.

        If it fails, the pages get a sentence that says why; an unexpected error is also logged.
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
        """Take int16 samples of a page's microphone, 8000 a second."""
        if self._heard_from_page is not None:
            self.lost += max(0, number - self._heard_from_page - 1)
        self._heard_from_page = number
        if self._call is not None:
            self.voice.push(encode_ulaw(np.frombuffer(sound, "<i2").astype(np.int16)))

    def note(self, text: str) -> None:
        """Show a sentence on all pages."""
        self._tell({"type": "note", "text": text}, [])

    def _do(self, verb: str, rest: str, page: str) -> None:
        match verb:
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
            case "recording":
                self._send_recording(page)
            case "sound":
                self._give_sound_to(page, wanted=rest == "on")
            case _:
                raise WrongValue(f"the page sent {verb!r}, which this version does not know")

    def _clear(self) -> None:
        stream = self._find_stream()
        if stream is None:
            raise CallRefused(
                "There is nothing to clear: this call has no open stream",
                fix="Give the phone its server: PhoneWidget(phone, server=server)",
            )
        stream.clear()

    def _send_recording(self, page: str) -> None:
        """Send a page what the mailbox has recorded, as a WAV file."""
        recorded = self._phone.recorded
        if recorded.seconds > MOST_SENT_SECONDS:
            raise CallRefused(
                f"The recording is {recorded.seconds:.0f} s long, and a page plays"
                f" {MOST_SENT_SECONDS:.0f} s at most",
                fix="In a cell, phone.recorded plays it",
            )
        wav = b64encode(wrap_wav(recorded.samples())).decode("ascii")
        self._tell({"type": "recording", "page": page, "wav": wav}, [])

    def _say(self, name: str) -> None:
        if name not in self._voices:
            raise WrongValue(f"there is no file {name!r} to say")

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
            self.voice.clear()
            is_direct = page in self._direct
            self.voice.kept = KEPT_FRAMES if is_direct else KEPT_FRAMES_OVER_THE_KERNEL
        self._tell({"type": "speaker", "page": self._speaker}, [])

    # Sound for the pages

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
        content = {"type": "sound", "page": speaker, "number": number}
        if speaker in self._of_text:
            self._tell(content | {"data": b64encode(batch).decode("ascii")}, [])
        else:
            self._tell(content, [batch])
