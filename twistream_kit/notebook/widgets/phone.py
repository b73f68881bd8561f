"""A telephone on the screen: hear the call, speak into it, press keys.

Several pages may show a telephone (the same notebook in two tabs), each connected by the direct
socket or by the kernel's messages.  All of them show its state and may press its buttons; the
sound, in both directions, goes to the page that requested it last, so that it is not heard twice.
Where no kernel runs, on a web page or before the cell was run, a drawing is shown instead.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from twistream_kit.audio.clip import FRAME_BYTES, Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.audio.load import load_clip
from twistream_kit.errors import CallRefused, TwistreamError, WrongType
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.plots.style import CALLER_COLOUR, QUIET_COLOUR, YOUR_COLOUR
from twistream_kit.notebook.runtime.kernel import answer_on_subshell
from twistream_kit.notebook.widgets._javascript import join_modules
from twistream_kit.notebook.widgets._socket import NUMBER, Channel, WidgetPage, start_widget_socket
from twistream_kit.pending import on_worker
from twistream_kit.simulator.call.call import SimulatedCall
from twistream_kit.simulator.call.endpoint import EndpointState
from twistream_kit.simulator.call.handset import KEPT_FRAMES, LiveVoice
from twistream_kit.simulator.phone import Phone

logger = logging.getLogger("twistream_kit.notebook")

BATCH_FRAMES = 5
"""The number of frames in one message of the kernel: 100 ms, 10 messages a second."""

KEPT_FRAMES_OVER_THE_KERNEL = 6
"""Over the kernel's messages, the microphone's sound arrives 60 ms at a time, and less evenly."""

KEYS = "123456789*0#"

_SAMPLES = (Path("sample_audio"), Path("..", "sample_audio"))
"""The folders that are searched for sound files to say."""

_MOST_VOICES = 12
"""The largest number of these files that is offered."""

_STATIC = Path(__file__).parents[1] / "static"

_SHOWN_BY: weakref.WeakKeyDictionary[Phone, PhoneWidget] = weakref.WeakKeyDictionary()

_SHOWN_LOCK = threading.Lock()


class PhoneWidget(anywidget.AnyWidget):
    """A simulated telephone in the notebook, with sound, a microphone and keys.

    It rings, and a click on *Answer* also allows the browser to play sound.  The loudspeaker plays
    what the caller hears; the microphone is the caller's voice.  If a telephone is shown again, in
    the same cell or another, the earlier widget is retired.

    Args:
        phone: From ``twilio.phone(number)``; best with ``answer="manual"``.
        server: Your server, for the button *Clear*: it clears the stream of the phone's call.
        stream: One stream that *Clear* clears, instead of `server`.
        voices: The clips, or paths of sound files, that can be said without a microphone.  By
            default the WAV files in ``sample_audio`` beside the notebook, or above it.
        direct: Whether a page on this machine may use the direct socket.

    Raises:
        TypeError: If an argument has another type.
        WouldDeadlock: If called on the kit's own loop.

    Example:
        >>> import twistream_kit as kit
        >>> twilio = kit.start(kit.SimulatedTwilio())
        >>> phone = twilio.phone("+15550100001", answer="manual")
        >>> widget = kit.PhoneWidget(phone)
        >>> widget.number, widget.call["state"]
        ('+15550100001', 'idle')
        >>> widget.voices[:2]
        ['dtmf_123.wav', 'greeting.wav']
        >>> widget.close()
    """

    _esm = join_modules(_STATIC / "phone" / "phone.js")
    _css = _STATIC / "phone.css"

    number = traitlets.Unicode().tag(sync=True)
    call = traitlets.Dict().tag(sync=True)
    can_clear = traitlets.Bool(False).tag(sync=True)
    voices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    colours = traitlets.Dict().tag(sync=True)
    is_retired = traitlets.Bool(False).tag(sync=True)
    # The page empties it as soon as it has read it, so that it is not saved with the notebook.
    _address = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        phone: Phone,
        *,
        server: StreamServer | None = None,
        stream: MediaStream | None = None,
        voices: Sequence[Clip | str | Path] | None = None,
        direct: bool = True,
    ) -> None:
        _check(phone, server, stream)
        found = _find_voices(_find_samples() if voices is None else voices)
        self._phone, self._server, self._stream = phone, server, stream
        self.pages = PhonePages(phone, self._find_stream, found, self._tell)
        if direct:
            self.pages.channel = start_widget_socket().open(self.pages)
        super().__init__(
            number=phone.number,
            call=_describe_call(phone, phone.state),
            can_clear=server is not None or stream is not None,
            voices=list(found),
            colours={"caller": CALLER_COLOUR, "you": YOUR_COLOUR},
            _address=self.pages.channel.address if self.pages.channel is not None else "",
        )
        answer_on_subshell(self)
        self.on_msg(self._take_message)
        self._end_following: Callable[[], None] = phone.follow(self._follow)
        if phone.state == "in-call":
            self._follow("in-call")
        _take_over(phone, self)

    def __repr__(self) -> str:
        return f"<PhoneWidget of {self._phone!r}>"

    def retire(self) -> None:
        """Stop the sound for good and show that: the telephone is shown elsewhere or not at all."""
        if self.is_retired:
            return
        self._end_following()
        self.pages.detach()
        if self.pages.channel is not None:
            self.pages.channel.close()
        self.is_retired = True

    def close(self) -> None:
        """Close the widget; the telephone stays and its call continues."""
        if hasattr(self, "_end_following"):  # ipywidgets also closes after a failed constructor
            self.retire()
        super().close()

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**options)
        if bundle is not None:
            bundle[0]["text/html"] = _draw_still(self.number)
        return bundle

    def _follow(self, state: EndpointState) -> None:
        call = self._phone.call
        if state == "in-call" and call is not None:
            self.pages.attach(call)
        elif state == "idle":
            self.pages.detach()
        self.call = _describe_call(self._phone, state)

    def _find_stream(self) -> MediaStream | None:
        call = self._phone.call
        streams = [self._stream] if self._stream is not None else []
        if self._server is not None and call is not None:
            streams += [s for s in self._server.streams if s.call_sid == call.sid]
        return next((stream for stream in reversed(streams) if stream.is_open), None)

    def _take_message(
        self, _widget: object, content: Mapping[str, Any], buffers: Sequence[memoryview]
    ) -> None:
        page = str(content.get("page", ""))
        if "number" in content and buffers:
            if page == self.pages.speaker:
                self.pages.listen(int(content["number"]), bytes(buffers[0]))
        else:
            self.pages.obey(str(content.get("do", "")), page)

    def _tell(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        self.send(content, buffers=buffers)


def _check(phone: object, server: object, stream: object) -> None:
    if not isinstance(phone, Phone):
        raise WrongType(
            f"PhoneWidget takes a Phone, not {type(phone).__name__}; "
            'twilio.phone("+15550100001", answer="manual") gives one'
        )
    if server is not None and not isinstance(server, StreamServer):
        raise WrongType(f"server is a {type(server).__name__}; it must be a StreamServer")
    if stream is not None and not isinstance(stream, MediaStream):
        raise WrongType(
            f"stream is a {type(stream).__name__}; server.next_stream().result(10) gives one"
        )


def _find_samples() -> list[Path]:
    folder = next((each for each in _SAMPLES if each.is_dir()), None)
    return [] if folder is None else sorted(folder.glob("*.wav"))[:_MOST_VOICES]


def _find_voices(voices: Sequence[Clip | str | Path]) -> dict[str, Callable[[], Clip]]:
    found: dict[str, Callable[[], Clip]] = {}
    for voice in voices:
        if isinstance(voice, Clip):
            name = voice.name or f"clip {len(found) + 1}"
            found[name] = partial(_return_clip, voice)
        elif isinstance(voice, str | Path):
            found[Path(voice).name] = partial(load_clip, voice)
        else:
            raise WrongType(
                f"voices holds a {type(voice).__name__}; it is a list of clips, or of paths of "
                "sound files"
            )
    return found


def _return_clip(clip: Clip) -> Clip:
    return clip


def _describe_call(phone: Phone, state: EndpointState) -> dict[str, Any]:
    """Return the state, the other number, the time of the answer in ms since 1970, and the end."""
    call = phone.call
    other = ""
    since = None
    if call is not None:
        other = call.to if call.direction == "inbound" else call.from_
        since = None if call.started is None else round(1000 * call.started.timestamp())
    ended = phone.last_end if call is None else ""
    return {
        "state": state,
        "other": other,
        "since": since,
        "at": round(1000 * time.time()),
        "ended": f"{ended[:1].upper()}{ended[1:]}." if ended else "",
    }


def _take_over(phone: Phone, widget: PhoneWidget) -> None:
    with _SHOWN_LOCK:
        earlier = _SHOWN_BY.get(phone)
        _SHOWN_BY[phone] = widget
    if earlier is not None:
        earlier.retire()


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
                raise ValueError(f"the page sent {verb!r}, which this version does not know")

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
            raise ValueError(f"there is no file {name!r} to say")

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
        self._tell({"type": "sound", "page": speaker, "number": number}, [batch])


Tell = Callable[[dict[str, Any], list[bytes]], object]
"""Sends a message to all pages, over the kernel."""


def _draw_still(number: str) -> str:
    """Return a drawing of the telephone as HTML, with a sentence that says how to use it."""
    words = escape(f"A telephone, {number}. Run the cell to hear it, speak and press its keys.")
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="200" height="254" role="img" '
        f'viewBox="0 0 200 254" aria-label="{words}" font-family="system-ui, sans-serif">'
        f'<rect x="1" y="1" width="198" height="252" rx="14" fill="#ffffff" '
        f'stroke="{QUIET_COLOUR}"/>'
    )
    parts = [
        _draw_text(100, 30, escape(number), 15, "#212121"),
        _draw_text(100, 48, "not running", 11, QUIET_COLOUR),
        _draw_meter(60, 0.55, YOUR_COLOUR),
        _draw_meter(70, 0.35, CALLER_COLOUR),
        *(_draw_key(index, key) for index, key in enumerate(KEYS)),
    ]
    drawing = f"{opening}{''.join(parts)}</svg>"
    return f"<div>{drawing}<p><small>{words}</small></p></div>"


def _draw_text(x: int, y: int, text: str, size: int, colour: str) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="middle" '
        f'fill="{colour}">{text}</text>'
    )


def _draw_meter(y: int, share: float, colour: str) -> str:
    return (
        f'<rect x="20" y="{y}" width="160" height="5" rx="2" fill="#e0e0e0"/>'
        f'<rect x="20" y="{y}" width="{160 * share:g}" height="5" rx="2" fill="{colour}"/>'
    )


def _draw_key(index: int, key: str) -> str:
    x, y = 20 + 55 * (index % 3), 88 + 40 * (index // 3)
    return (
        f'<rect x="{x}" y="{y}" width="50" height="34" rx="6" fill="#f2f2f2" stroke="#bdbdbd"/>'
        + _draw_text(x + 25, y + 22, key, 15, "#212121")
    )
