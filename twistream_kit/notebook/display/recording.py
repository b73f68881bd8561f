"""A recording in a page without a kernel: a small copy of the sound, a picture, and a sentence.

The copy is Opus, 180 kB a minute with two voices.  A notebook keeps two minutes of it, the first
and the last of a longer call.  The picture has few colours and no paper of its own, so it stands in
light and dark pages, and where a site that shows notebooks has removed the sound.
"""

from __future__ import annotations

import io
import struct
import zlib
from base64 import b64encode
from typing import TYPE_CHECKING

import numpy as np

from twistream_kit.notebook.display.html import Html, code, join, paragraph, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twistream_kit.capture.recording import CallEvent, Recording

KEPT_SECONDS = 120.0
"""How much of a call a notebook keeps as sound, in seconds."""

_COLOURS = ("#0072B2", "#D55E00", "#007A5A", "#B83280", "#6B6B6B")
"""The caller, you, a mark, a clear and the axis, as in the figures (`notebook/plots/style.py`)."""

_CALLER, _YOURS, _MARK, _CLEAR, _AXIS = range(1, 6)

_WIDTH, _WAVE, _GAP = 700, 40, 8
"""The size of the picture: its width, the height of a voice, and what lies between, in pixels."""


def show_recording(recording: Recording, *, of: str = "capture.recording") -> Html:
    """A player of two minutes at most, and a picture of the whole call.

    Args:
        recording: The call.
        of: The expression that gives the recording.
    """
    if not recording.n_samples:
        return paragraph("The call has no sound: it ended as it began.")
    return join(_show_sound(recording, of), _show_picture(recording))


def show_long_sound(payload: bytes, name: object) -> Html:
    """Return a player that holds PCMU as Opus, because as WAV it would fill the notebook's file."""
    from twistream_kit.capture.recording import HeardSound, Recording
    from twistream_kit.capture.replay import SentSound

    sound = SentSound()
    sound.append(payload, len(payload))
    recording = Recording(sound, HeardSound(SentSound(), ()), 0.0)
    return _play_opus(recording, [(0.0, recording.seconds)], name)[0]


def _play_opus(
    recording: Recording, parts: Sequence[tuple[float, float]], name: object
) -> tuple[Html, int]:
    """Return a player of parts of a recording, and in how many channels it plays them."""
    file = io.BytesIO()
    n_channels = recording.write_small(file, parts)
    sound = b64encode(file.getvalue()).decode("ascii")
    source = f"data:audio/ogg;base64,{sound}"
    opening = '<audio controls preload="metadata" aria-label="sound"'
    return Html(f'{opening} src="{source}">{text(name)}</audio>'), n_channels


def _show_sound(recording: Recording, of: str) -> Html:
    if not recording.audible:
        return paragraph(f"The recording, {recording.seconds:.1f} s, is silent on both sides.")
    seconds, half = recording.seconds, KEPT_SECONDS / 2
    parts = [(0.0, seconds)]
    if seconds > KEPT_SECONDS:
        parts = [(0.0, half), (seconds - half, seconds)]
    player, n_channels = _play_opus(recording, parts, "The call")
    sides = "the left channel is the caller, the right one what the caller heard"
    if n_channels == 1:
        sides = "the caller" if recording.audible == ("caller",) else "what the caller heard"
        sides = f"only {sides}, since the other side is silent"
    words = [f"The call, {_format_length(seconds)}: {sides}."]
    if seconds > KEPT_SECONDS:
        whole = code(f'{of}.save("call.wav")')
        words += [
            f" The player holds its first {half:.0f} s and its last {half:.0f} s; the whole: ",
            whole,
        ]
    return join(player, paragraph(*words))


def _format_length(seconds: float) -> str:
    # Rounded before it is divided: 179.7 s are 3 minutes, not 2 minutes and 60 seconds.
    if round(seconds, 1) < KEPT_SECONDS:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _show_picture(recording: Recording) -> Html:
    pixels = _draw_waves(recording.measure_peaks(_WIDTH))
    for event in recording.events:
        column = min(pixels.shape[1] - 1, round(event.at / recording.seconds * pixels.shape[1]))
        if event.at < 0:
            continue
        if event.kind == "clear":
            pixels[::4, column] = pixels[1::4, column] = _CLEAR
        elif event.kind == "key":
            pixels[: _WAVE + _GAP, column] = _CALLER
        else:
            pixels[_WAVE:, column] = _MARK if event.kind == "heard" else _CLEAR
    picture = b64encode(_encode_png(pixels)).decode("ascii")
    words = _describe_picture(recording)
    style = f"display:block;width:100%;max-width:{_WIDTH}px;height:{len(pixels)}px"
    image = f'<img style="{style}" alt="{words}" src="data:image/png;base64,{picture}">'
    return join(Html(image), _explain_colours(recording.events))


def _draw_waves(peaks: NDArray[np.int16]) -> NDArray[np.uint8]:
    pixels = np.zeros((2 * _WAVE + _GAP, len(peaks)), np.uint8)
    rows = np.arange(_WAVE)[:, None] - _WAVE / 2
    for side, colour in enumerate((_CALLER, _YOURS)):
        low, high = peaks[:, side, 0], peaks[:, side, 1]
        scale = _WAVE / 2 / 32768
        inside = (rows >= -high * scale - 0.5) & (rows <= -low * scale + 0.5)
        top = side * (_WAVE + _GAP)
        pixels[top : top + _WAVE][inside] = colour
    pixels[_WAVE + _GAP // 2, ::3] = _AXIS
    return pixels


def _describe_picture(recording: Recording) -> str:
    said = ["The caller speaks" if "caller" in recording.audible else "The caller is silent"]
    said.append("hears you" if "heard" in recording.audible else "hears nothing")
    kinds = [event.kind for event in recording.events]
    counts = {"mark": kinds.count("heard") + kinds.count("cleared"), "clear": kinds.count("clear")}
    noted = [
        f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items() if count
    ]
    return (
        f"{' and '.join(said)}; {recording.seconds:.1f} s{', ' if noted else ''}{', '.join(noted)}"
    )


def _explain_colours(events: Sequence[CallEvent]) -> Html:
    kinds = {event.kind for event in events}
    signs = [("caller says (above)", _CALLER), ("caller hears (below)", _YOURS)]
    if "heard" in kinds:
        signs.append(("mark back: heard", _MARK))
    if "cleared" in kinds or "clear" in kinds:
        signs.append(("clear, and marks that it sent back", _CLEAR))
    if "key" in kinds:
        signs.append(("key pressed (line above)", _CALLER))
    shown = (
        join(Html(f'<span style="color:{_COLOURS[colour - 1]}">■</span> '), name, "  ")
        for name, colour in signs
    )
    return join(Html("<small>"), *shown, Html("</small>"))


def _encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a picture of at most 16 colours, the first of them transparent (PNG, ISO 15948)."""
    height, width = pixels.shape
    even = np.pad(pixels, ((0, 0), (0, width % 2)))
    packed = (even[:, ::2] << 4) | even[:, 1::2]
    rows = np.pad(packed, ((0, 0), (1, 0)))  # each row begins with its filter, which is none
    palette = b"\0\0\0" + b"".join(bytes.fromhex(colour[1:]) for colour in _COLOURS)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)),
        (b"PLTE", palette),
        (b"tRNS", b"\0"),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
