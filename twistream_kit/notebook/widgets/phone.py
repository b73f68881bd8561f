"""A telephone on the screen: hear the call, speak into it, press keys."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.load import load_clip
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.plots.colours import CALLER_COLOUR, YOUR_COLOUR
from twistream_kit.notebook.runtime.kernel import answer_on_subshell
from twistream_kit.notebook.widgets.phone_pages import PhonePages
from twistream_kit.notebook.widgets.phone_picture import picture_of_phone
from twistream_kit.notebook.widgets.socket import widget_socket
from twistream_kit.simulator.call.endpoint import LineState
from twistream_kit.simulator.phone import Phone

logger = logging.getLogger("twistream_kit.notebook")

_HERE = Path(__file__).parents[1] / "static"
_SAMPLES = (Path("sample_audio"), Path("..", "sample_audio"))
_MOST_VOICES = 12


class PhoneWidget(anywidget.AnyWidget):
    """A telephone of the simulated world as something to be heard and touched.

    It rings, and its *Answer* is also what allows the browser to make sound.  What the call's ear
    hears comes out of the loudspeaker; the microphone is the caller's voice.  Showing a telephone
    anew, in the same cell or another, takes it away from where it was shown before.

    Args:
        phone: From ``twilio.phone(number)``; best with ``answer="manual"``.
        server: Your server, for the button *Clear*: it clears the stream of the phone's call.
        stream: Or one stream to be cleared.
        voices: What can be said without a microphone: clips, or paths of sound files.  The WAV
            files in ``sample_audio`` beside the notebook, or above it, if not given.
        direct: Whether a page on this machine may connect past the kernel's messages.

    Raises:
        TypeError: If an argument is of another kind.
        WouldDeadlock: If made on the kit's own loop.
    """

    _esm = _HERE / "phone.js"
    _css = _HERE / "phone.css"

    number = traitlets.Unicode().tag(sync=True)
    call = traitlets.Dict().tag(sync=True)
    can_clear = traitlets.Bool(False).tag(sync=True)
    voices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    colours = traitlets.Dict().tag(sync=True)
    is_retired = traitlets.Bool(False).tag(sync=True)
    # The page forgets it as soon as it has read it, so that it is not saved with the notebook.
    _way = traitlets.Unicode().tag(sync=True)

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
        sources = _sources_of(_samples() if voices is None else voices)
        self._phone, self._server, self._stream = phone, server, stream
        self.pages = PhonePages(phone, self._find_stream, sources, self._tell)
        if direct:
            self.pages.channel = widget_socket().open(self.pages)
        super().__init__(
            number=phone.number,
            call=_state_of(phone, phone.state),
            can_clear=server is not None or stream is not None,
            voices=list(sources),
            colours={"caller": CALLER_COLOUR, "you": YOUR_COLOUR},
            _way=self.pages.channel.address if self.pages.channel is not None else "",
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
        """Be silent from now on, and say so: the telephone is shown elsewhere, or not at all."""
        if self.is_retired:
            return
        self._end_following()
        self.pages.detach()
        if self.pages.channel is not None:
            self.pages.channel.close()
        self.is_retired = True

    def close(self) -> None:
        """Take the widget away; the telephone stays and its call goes on."""
        if hasattr(self, "_end_following"):  # ipywidgets closes what failed in its constructor too
            self.retire()
        super().close()

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**options)
        if bundle is not None:
            bundle[0]["text/html"] = picture_of_phone(self.number)
        return bundle

    def _follow(self, state: LineState) -> None:
        call = self._phone.call
        if state == "in-call" and call is not None:
            self.pages.attach(call)
        elif state == "idle":
            self.pages.detach()
        self.call = _state_of(self._phone, state)

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


_SHOWN: weakref.WeakKeyDictionary[Phone, PhoneWidget] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()


def _take_over(phone: Phone, widget: PhoneWidget) -> None:
    with _LOCK:
        earlier = _SHOWN.get(phone)
        _SHOWN[phone] = widget
    if earlier is not None:
        earlier.retire()


def _state_of(phone: Phone, state: LineState) -> dict[str, Any]:
    """Return what pages show: the state, the other number, and since when, in ms since 1970."""
    call = phone.call
    other = ""
    since = None
    if call is not None:
        other = call.to if call.direction == "inbound" else call.from_
        since = None if call.started is None else round(1000 * call.started.timestamp())
    return {"state": state, "other": other, "since": since, "at": round(1000 * time.time())}


def _samples() -> list[Path]:
    folder = next((each for each in _SAMPLES if each.is_dir()), None)
    return [] if folder is None else sorted(folder.glob("*.wav"))[:_MOST_VOICES]


def _sources_of(voices: Sequence[Clip | str | Path]) -> dict[str, Callable[[], Clip]]:
    sources: dict[str, Callable[[], Clip]] = {}
    for voice in voices:
        if isinstance(voice, Clip):
            name = voice.name or f"clip {len(sources) + 1}"
            sources[name] = partial(_itself, voice)
        elif isinstance(voice, str | Path):
            sources[Path(voice).name] = partial(load_clip, voice)
        else:
            raise TypeError(
                f"voices holds a {type(voice).__name__}; it is a list of clips, or of paths of "
                "sound files"
            )
    return sources


def _itself(clip: Clip) -> Clip:
    return clip


def _check(phone: object, server: object, stream: object) -> None:
    if not isinstance(phone, Phone):
        raise TypeError(
            f"PhoneWidget takes a Phone, not {type(phone).__name__}; "
            'twilio.phone("+15550100001", answer="manual") gives one'
        )
    if server is not None and not isinstance(server, StreamServer):
        raise TypeError(f"server is a {type(server).__name__}; it must be a StreamServer")
    if stream is not None and not isinstance(stream, MediaStream):
        raise TypeError(
            f"stream is a {type(stream).__name__}; server.next_stream().result(10) gives one"
        )
