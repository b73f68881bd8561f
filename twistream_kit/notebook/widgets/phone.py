"""A telephone on the screen: hear the call, speak into it, press keys.

Several pages may show a telephone (the same notebook in two tabs), each connected by the direct
socket or by the kernel's messages.  All of them show its state and may press its buttons; the
sound, in both directions, goes to the page that requested it last, so that it is not heard twice.
Where no kernel runs, on a web page or before the cell was run, a drawing is shown instead.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import traitlets

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.load import load_clip
from twistream_kit.errors import WrongType
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.display.html import Html, image, join, pairs
from twistream_kit.notebook.plots.style import CALLER_COLOUR, QUIET_COLOUR, YOUR_COLOUR
from twistream_kit.notebook.runtime.activity_log import WidgetGuard
from twistream_kit.notebook.runtime.kernel import answer_on_subshell
from twistream_kit.notebook.widgets._clip_list import refuse_item
from twistream_kit.notebook.widgets._javascript import join_modules
from twistream_kit.notebook.widgets._socket import start_widget_socket
from twistream_kit.notebook.widgets.file_field import CSS, FILE_LIMIT, FileReceiver
from twistream_kit.notebook.widgets.hearing import HearingWidget
from twistream_kit.notebook.widgets.last_picture import KeepsLastPicture
from twistream_kit.notebook.widgets.phone_pages import MOST_SENT_SECONDS, PhonePages
from twistream_kit.pending import on_worker
from twistream_kit.simulator.call.call import SimulatedCall
from twistream_kit.simulator.call.endpoint import EndpointState
from twistream_kit.simulator.call.mailbox import MailboxState
from twistream_kit.simulator.phone import Phone

KEYS = "123456789*0#"

_SAMPLES = (Path("sample_audio"), Path("..", "sample_audio"))
"""The folders that are searched for sound files to say."""

_MOST_VOICES = 12
"""The largest number of these files that is offered."""

_STATIC = Path(__file__).parents[1] / "static"

_PLACE = hashlib.sha256(
    (os.environ.get("JPY_SESSION_NAME") or secrets.token_hex()).encode()
).hexdigest()[:16]
"""Stands for this notebook, in any kernel of it: a page has the sound of the same telephone again.

Jupyter's server tells the path of the notebook; it is hashed, since the widget may be saved.
"""

_SHOWN_BY: weakref.WeakKeyDictionary[Phone, PhoneWidget] = weakref.WeakKeyDictionary()
"""The widget that shows a telephone, until it is closed: it refers to its telephone."""

_ADDED_TO: weakref.WeakKeyDictionary[Phone, dict[str, Clip]] = weakref.WeakKeyDictionary()
"""The files that were added to the newest widget of a telephone, closed or not."""

_SHOWN_LOCK = threading.Lock()


class PhoneWidget(KeepsLastPicture, HearingWidget):
    """A simulated telephone in the notebook, with sound, a microphone, keys, and files to say.

    It rings, and a click on *Answer* also allows the browser to play sound.  The loudspeaker plays
    what the caller hears; the microphone is the caller's voice, and so is a file that is said.  If
    a telephone is shown again, in the same cell or another, the earlier widget is retired; the new
    one has its files, and in a page that had the sound it has the sound.

    It shows the keys that it was sent (`Phone.keys_heard`), and of a mailbox what it does; after
    the call it plays what was recorded.  Nobody speaks or presses keys at a mailbox.

    A key of the keyboard presses the telephone's while the focus is in it; chords, such as
    Shift+Enter, are always Jupyter's.

    Args:
        phone: From ``twilio.phone(number)``; best with ``answer="manual"``.
        server: Your server, for the button *Clear*: it clears the stream of the phone's call.
        stream: One stream that *Clear* clears, instead of `server`.
        voices: The clips, or paths of sound files, that can be said.  By default the WAV files in
            ``sample_audio`` beside the notebook, or above it.  More can be chosen in the page.
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
        >>> "greeting.wav" in widget.voices
        True
        >>> widget.close()
    """

    _esm = join_modules(_STATIC / "phone" / "phone.js")
    _css = (_STATIC / "phone.css").read_text(encoding="utf-8") + CSS

    number = traitlets.Unicode().tag(sync=True)
    call = traitlets.Dict().tag(sync=True)
    can_clear = traitlets.Bool(False).tag(sync=True)
    voices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    colours = traitlets.Dict().tag(sync=True)
    is_retired = traitlets.Bool(False).tag(sync=True)
    _file_limit = traitlets.Int(FILE_LIMIT).tag(sync=True)
    _place = traitlets.Unicode().tag(sync=True)
    # The page empties these as soon as it has read them: they are not saved with the notebook.
    _address = traitlets.Unicode().tag(sync=True)
    _files_address = traitlets.Unicode().tag(sync=True)

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
        self._added: dict[str, Clip] = dict(_ADDED_TO.get(phone, {}))
        found.update({name: partial(_return_clip, clip) for name, clip in self._added.items()})
        self._phone, self._server, self._stream = phone, server, stream
        self._voices = found
        self._files = FileReceiver(self.add_voice, self._tell)
        self.pages = PhonePages(phone, self._find_stream, found, self._tell)
        if direct:
            self.pages.channel = start_widget_socket().open(self.pages)
        super().__init__(
            number=phone.number,
            call=_describe_call(phone, phone.state),
            can_clear=server is not None or stream is not None,
            voices=list(found),
            colours={"caller": CALLER_COLOUR, "you": YOUR_COLOUR},
            _place=_PLACE,
            _address=self.pages.channel.address if self.pages.channel is not None else "",
            _files_address=self._files.listen() if direct else "",
        )
        answer_on_subshell(self)
        self.on_msg(self._take_message)
        self._in_call: SimulatedCall | None = None
        self._end_following: Callable[[], None] = phone.follow(self._follow)
        phone.on_news.append(self._show_news)
        if phone.state == "in-call":
            self._follow("in-call")
        _take_over(phone, self)

    def __repr__(self) -> str:
        return f"<PhoneWidget of {self._phone!r}>"

    @property
    def added(self) -> dict[str, Clip]:
        """The clips that were added after the widget was made, by their names in the list."""
        return self._added

    def add_voice(self, clip: Clip) -> str:
        """Offer one more clip to say; from any thread.

        Returns:
            The name in the list: that of the clip, or if there is such a one, with a number.

        Raises:
            TypeError: If `clip` is none.
        """
        if not isinstance(clip, Clip):
            raise WrongType(
                f"add_voice() takes a Clip, not {type(clip).__name__}; "
                "kit.load_clip(path) gives one"
            )
        with _SHOWN_LOCK:
            name = wanted = clip.name or "clip"
            number = 1
            while name in self._voices:
                number += 1
                name = f"{wanted} ({number})"
            self._added[name] = clip
            self._voices[name] = partial(_return_clip, clip)
            self.voices = list(self._voices)
        return name

    def retire(self) -> None:
        """Stop the sound for good and show that: the telephone is shown elsewhere or not at all."""
        if self.is_retired:
            return
        self._end_following()
        if self._show_news in self._phone.on_news:
            self._phone.on_news.remove(self._show_news)
        self.pages.detach()
        self._files.close()
        if self.pages.channel is not None:
            self.pages.channel.close()
        self.is_retired = True

    def close(self) -> None:
        """Close the widget; the telephone stays and its call continues."""
        if hasattr(self, "_end_following"):  # ipywidgets also closes after a failed constructor
            self.retire()
            with _SHOWN_LOCK:
                if _SHOWN_BY.get(self._phone) is self:
                    del _SHOWN_BY[self._phone]
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
            self._forget_last_picture()
            self._in_call = call
        elif state == "idle":
            self.pages.detach()
        self.call = _describe_call(self._phone, state)
        if state == "idle" and self._in_call is not None:
            # Drawing takes a while, and this is the kit's loop.
            on_worker("twistream_kit last picture", self._keep_last_picture)

    def _show_news(self) -> None:
        self.call = {**self.call, **_describe_news(self._phone)}

    def _draw_last_picture(self) -> Html | None:
        call = self._in_call
        return None if call is None else draw_last_call(self._phone, call)

    def _find_stream(self) -> MediaStream | None:
        call = self._phone.call
        streams = [self._stream] if self._stream is not None else []
        if self._server is not None and call is not None:
            streams += [s for s in self._server.streams if s.call_sid == call.sid]
        return next((stream for stream in reversed(streams) if stream.is_open), None)

    def _take_message(
        self, _widget: object, content: Mapping[str, Any], buffers: Sequence[memoryview]
    ) -> None:
        if "file" in content:
            self._files.handle_message(content, buffers)
        else:
            self.pages.handle_message(content, buffers)

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
    for number, voice in enumerate(voices):
        if isinstance(voice, Clip):
            name = voice.name or f"clip {len(found) + 1}"
            found[name] = partial(_return_clip, voice)
        elif isinstance(voice, str | Path):
            found[Path(voice).name] = partial(load_clip, voice)
        else:
            refuse_item("voices", number, voice)
    return found


def _return_clip(clip: Clip) -> Clip:
    return clip


def _describe_call(phone: Phone, state: EndpointState) -> dict[str, Any]:
    """Return the state, the other number, the time of the answer in ms since 1970, and the rest.

    The rest is how the call ended, the keys that were heard, and what the mailbox does.
    """
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
        **_describe_news(phone),
    }


def _describe_news(phone: Phone) -> dict[str, Any]:
    """Return the keys that the telephone has heard, and what its mailbox does, in words.

    Also whether the mailbox has the call, in which nobody speaks or presses keys, and how many
    seconds there are of a recording that the page may ask for.
    """
    state, recorded = phone.mailbox, 0.0
    mailbox = "" if state is None else _MAILBOX_IN_WORDS[state]
    if state == "done":
        recorded = phone.recorded.seconds
        mailbox = f"The mailbox has recorded {recorded:.1f} s"
    elif state is None and phone.answers == "mailbox" and phone.state != "in-call":
        mailbox = "A mailbox: it answers calls by itself, with its greeting"
    return {
        "keys": phone.keys_heard,
        "mailbox": mailbox,
        "of_machine": state not in (None, "done"),
        "recorded": recorded if recorded <= MOST_SENT_SECONDS else 0.0,
    }


_MAILBOX_IN_WORDS: dict[MailboxState, str] = {
    "greeting": "The mailbox says its greeting",
    "beep": "The mailbox beeps",
    "recording": "The mailbox records",
    "done": "",
}


def _take_over(phone: Phone, widget: PhoneWidget) -> None:
    with _SHOWN_LOCK:
        earlier = _SHOWN_BY.get(phone)
        _SHOWN_BY[phone] = widget
        _ADDED_TO[phone] = widget.added
    if earlier is not None:
        with WidgetGuard("an earlier telephone could not be retired"):  # observers may raise
            earlier.retire()


def draw_last_call(phone: Phone, call: SimulatedCall) -> Html:
    """Return the figures of a telephone's call that has ended, and what it heard, as HTML."""
    heard = phone.heard
    end = call.describe_end()
    outgoing = call.direction == "inbound"
    figures = {
        "Number": phone.number,
        "Called" if outgoing else "Called by": call.to if outgoing else call.from_,
        "Began": "" if call.started is None else f"{call.started:%Y-%m-%d %H:%M:%S} UTC",
        "Lasted": f"{call.seconds or 0} s",
        "Heard": f"{heard.seconds:.1f} s",
        "Keys heard": phone.keys_heard,
        "Recorded": "" if phone.mailbox is None else f"{phone.recorded.seconds:.1f} s",
        "Ended": f"{end[:1].upper()}{end[1:]}" if end else call.status,
    }
    table = pairs(
        {name: value for name, value in figures.items() if value}, caption="The last call"
    )
    return join(table, _draw_heard(heard))


def _draw_heard(heard: Clip) -> Html:
    """Return a drawing of sound, one bar for each piece of it, or nothing if there is none."""
    samples = heard.samples()
    if not samples.size:
        return Html("")
    columns = min(150, samples.size)
    loudest = [
        int(np.abs(part.astype(np.int32)).max()) for part in np.array_split(samples, columns)
    ]
    path = "".join(
        f"M{2 * column + 1} {30 - height:.1f}V{30 + height:.1f}"
        for column, level in enumerate(loudest)
        if (height := max(0.5, 28 * level / 32768))
    )
    words = f"What the telephone heard: {heard.seconds:.1f} s, from left to right."
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="300" height="60" viewBox="0 0 300 60">'
        f'<rect width="300" height="60" fill="#ffffff"/>'
        f'<path d="{path}" stroke="{YOUR_COLOUR}" stroke-width="1.5"/></svg>'
    )
    caption = f'<p style="margin:0"><small>{escape(words)}</small></p>'
    return Html(f"{image(drawing, words)}{caption}")


def _draw_still(number: str) -> str:
    """Return a drawing of the telephone as HTML, with a sentence that says how to use it."""
    words = f"A telephone, {number}. Run the cell to hear it, speak and press its keys."
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="200" height="254" '
        f'viewBox="0 0 200 254" font-family="system-ui, sans-serif">'
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
    drawing = image(f"{opening}{''.join(parts)}</svg>", words)
    return f"<div>{drawing}<p><small>{escape(words)}</small></p></div>"


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
