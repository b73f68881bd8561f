"""How results look, as text and in a notebook, and what the plots hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from common import (
    CALL,
    SAMPLES,
    STREAM,
    TOKEN,
    Pages,
    fields_of,
    html_lines,
    listed,
    outcome,
    shown,
)
from notebook_shell import render_html
from sounds import ODD_WAVS, pcm
from wire import a_capture

import twistream_kit as kit
from twistream_kit import from_twilio, to_twilio
from twistream_kit.protocol.ending import EndCause


def record() -> dict[str, str]:
    """One page for each kind of result, and one for each plot."""
    pages = Pages()
    for name, source in _wav_sources():
        report = outcome(lambda source=source: kit.inspect_wav(source), shown)
        pages.add("inspect_wav", name, report)
        found = outcome(lambda source=source: kit.examine(source), shown)
        pages.add("examine", name, found)
    for name, clip in _clips():
        pages.add("examine", f"clip: {name}", outcome(lambda clip=clip: kit.examine(clip), shown))
    _audio(pages)
    _messages(pages)
    _settings(pages)
    _capture(pages)
    _html(pages)
    _voice_trigger(pages)
    for name, figure in _figures():
        pages.add("plots", name, _drawn(figure))
    return pages.texts()


def _wav_sources() -> Iterator[tuple[str, object]]:
    for path in sorted(SAMPLES.glob("*.wav")):
        yield path.name, path
    yield from ODD_WAVS.items()
    yield "missing.wav", "missing.wav"
    yield "a folder", SAMPLES


def _clips() -> Iterator[tuple[str, kit.Clip]]:
    yield "tone", kit.Clip.tone(440, 0.5)
    yield "silence", kit.Clip.silence(0.5)
    yield "empty", kit.Clip(b"")
    yield "loud", kit.Clip.from_samples(np.tile([32767, -32768], 4000).astype(np.int16), 8000)
    yield "named", kit.Clip(kit.Clip.tone(1000, 0.2).payload, "<named>", clipped=3)


def _audio(pages: Pages) -> None:
    wrong = {
        "tone(0, 1)": lambda: kit.Clip.tone(0, 1),
        "tone(440, -1)": lambda: kit.Clip.tone(440, -1),
        "tone(5000, 1)": lambda: kit.Clip.tone(5000, 1),
        "dtmf('x')": lambda: kit.Clip.dtmf("x"),
        "silence(-1)": lambda: kit.Clip.silence(-1),
        "from_samples of floats": lambda: kit.Clip.from_samples(np.array([0.5]), 8000),
        "from_samples of text": lambda: kit.Clip.from_samples("text", 8000),
        "from_samples at rate 0": lambda: kit.Clip.from_samples(pcm(440, 0.1, 8000), 0),
        "encode_ulaw of floats": lambda: kit.encode_ulaw(np.array([0.5])),
        "decode_ulaw of text": lambda: kit.decode_ulaw("text"),
        "Resampler(0)": lambda: kit.Resampler(0),
        "Resampler(7)": lambda: kit.Resampler(7),
        "load_clip(raw, sample_rate=0)": lambda: kit.load_clip(
            b"\0\0", sample_rate=0, encoding="PCM_S16"
        ),
        "load_clip(raw, encoding='x')": lambda: kit.load_clip(
            b"\0\0", sample_rate=8000, encoding="x"
        ),
        "load_clip(raw, sample_rate=8000)": lambda: kit.load_clip(b"\0\0", sample_rate=8000),
        "load_clip(7)": lambda: kit.load_clip(7),
        "Clip('text')": lambda: kit.Clip("text"),
        "tone + 5": lambda: kit.Clip.tone(440, 0.1) + 5,
        "save in no folder": lambda: kit.Clip.tone(440, 0.1).save("none/x.wav"),
        "save as a folder": lambda: kit.Clip.tone(440, 0.1).save(SAMPLES),
        "convert_file, missing": lambda: kit.convert_file("missing.wav", "out.wav"),
        "convert_file onto itself": lambda: kit.convert_file(
            SAMPLES / "question.wav", SAMPLES / "question.wav"
        ),
        "convert_file onto another": lambda: kit.convert_file(
            SAMPLES / "question.wav", SAMPLES / "reply.wav"
        ),
        "convert_files, one path": lambda: kit.convert_files("a.wav", "out"),
        "convert_files onto a source": lambda: kit.convert_files(
            [SAMPLES / "question.wav"], SAMPLES, overwrite=True
        ),
        "convert_files into a file": lambda: kit.convert_files([], SAMPLES / "question.wav"),
        "VoiceTrigger(debounce_ms=-1)": lambda: kit.VoiceTrigger(debounce_ms=-1),
        "VoiceTrigger(threshold_db=5)": lambda: kit.VoiceTrigger(threshold_db=5),
    }
    for name, do in wrong.items():
        pages.add("audio", name, outcome(do, shown))
    results = kit.convert_files(
        [SAMPLES / "question.wav", "missing.wav", SAMPLES / "speech_float.wav"],
        "out",
        progress=None,
    )
    pages.add("audio", "convert_files", "\n\n".join(map(fields_of, results)))
    for name, clip in _clips():
        pages.add(
            "audio",
            f"clip: {name}",
            f"{clip!r}, {clip.seconds} s, {len(list(clip.frames()))} frames",
        )


def _messages(pages: Pages) -> None:
    results = [
        kit.PlayOutcome("heard", 4210, 4210),
        kit.PlayOutcome("cleared", 420, 4210),
        kit.PlayOutcome("lost", 0, 100, "greeting#1"),
        kit.MarkOutcome("heard", "greeting", 1200),
        kit.MarkOutcome("lost", "<b>", 5, "x#2"),
        kit.Objection(31951, "media", "<script>", "Twilio would drop it", "Mend it"),
        kit.Objection(None, "", "is odd", "", "", "note", 0.8),
        kit.Objection(None, "x", "is odd.", "", "", "warning"),
        kit.Check("to", False, "<script>", "Nobody is called", "Mend it"),
        kit.Check("from", None, "unknown"),
        kit.Checks([kit.Check("to", False, "a", "b", "c"), kit.Check("from", True, "fine")]),
        kit.Checks([kit.Check("from", True, "fine")]),
        kit.Checks(),
        kit.StreamEnd("stop", EndCause("twilio-stopped")),
        kit.Behaviour(),
        kit.SimulatedAccount(type="Trial"),
        from_twilio.Media(STREAM, b"\xff" * 160),
        to_twilio.Media(STREAM, b"\xff" * 160),
        kit.StatusEvent.of({"CallSid": CALL, "CallStatus": "ringing", "SequenceNumber": "1"}, 5.0),
        kit.StatusEvent.of(
            {
                "CallSid": CALL,
                "StreamSid": STREAM,
                "StreamEvent": "stream-error",
                "StreamError": "refused",
                "Timestamp": "x",
            },
            5.0,
        ),
        kit.InspectedEnd("server", 1000, 1000, False, "it closed", EndCause("server-closed", 1000)),
        kit.Secret("hidden"),
        kit.PlayOutcome("lost", 900, 1200, gaps=2, gap_ms=70, remark="<b> is linear"),
    ]
    for number, result in enumerate(results, start=1):
        name = f"{number}: {type(result).__name__}"
        pages.add("results", name, f"{shown(result)}\n--- HTML\n{html_lines(render_html(result))}")
    for name, options in {
        "playout_delay_ms": {"playout_delay_ms": -1},
        "trial": {"trial": "x"},
        "latency_ms": {"latency_ms": "x"},
        "extra_fields": {"extra_fields": "x"},
    }.items():
        pages.add(
            "results",
            f"Behaviour: {name}",
            outcome(lambda options=options: kit.Behaviour(**options)),
        )
    for options in (
        {"type": "x"},
        {"status": "x"},
        {"verified": ("x",)},
        {"blocked_countries": {"x"}},
        {"calls_at_once": -1},
        {"verified": "+15550100001"},
    ):
        pages.add(
            "results",
            f"SimulatedAccount({options})",
            outcome(lambda options=options: kit.SimulatedAccount(**options)),
        )


def _settings(pages: Pages) -> None:
    given = {
        "nothing": {},
        "an edge": {"edge": "dublin"},
        "token": {"auth_token": TOKEN},
        "all": {
            "account_sid": "AC" + "0" * 32,
            "auth_token": TOKEN,
            "phone_number": "+15550100001",
            "public_url": "https://example.com",
            "call_to": "+15550100002",
        },
        "wrong SID": {"account_sid": "AC1"},
        "wrong token": {"auth_token": "x"},
        "wrong number": {"phone_number": "0555"},
        "wrong url": {"public_url": "example"},
        "wrong name": {"colour": "blue"},
        "API key": {"api_key": "SK" + "0" * 32, "api_secret": "s" * 32},
        "a secret": {"auth_token": kit.Secret(TOKEN)},
        "SID for token": {"auth_token": "AC" + "0" * 32},
        "blank": {"auth_token": " "},
        "not text": {"auth_token": 7},
    }
    for name, values in given.items():
        found = outcome(
            lambda values=values: kit.settings(ask=False, **values),
            lambda found: (
                f"{shown(found)}\n--- missing {found.missing}, ready {found.ready}\n"
                f"--- rows {found.rows()}\n--- HTML\n{html_lines(render_html(found))}"
            ),
        )
        assert TOKEN not in found
        pages.add("settings", name, found)
    pages.add("settings", "client_from_environment", outcome(kit.client_from_environment))


def _capture(pages: Pages) -> None:
    for name, capture in _captures():
        pages.add("capture", f"{name}: repr", repr(capture))
        summary = capture.summary()
        pages.add("capture", f"{name}: summary", f"{summary}\n--- report\n{summary.report()}")
        pages.add(
            "capture",
            f"{name}: playbacks",
            listed(fields_of(each).replace("\n", ", ")[:300] for each in capture.playbacks()),
        )
        pages.add("capture", f"{name}: HTML", html_lines(render_html(capture)))
        log = kit.StreamLog(capture)
        pages.add("capture", f"{name}: StreamLog.lines", listed(log.lines))
        log.close()
    few = [entry for entry in a_capture().entries if "media" not in repr(entry.message).lower()]
    pages.add(
        "capture",
        "entries that are no media",
        listed(f"{each.at:.3f} {each.sender} {each.size} {each.message}" for each in few),
    )
    pages.add("capture", "statuses", a_capture().statuses)


def _captures() -> Iterator[tuple[str, kit.Capture]]:
    yield "a call", a_capture()
    yield "empty", kit.Capture()
    kept = kit.Capture(STREAM, CALL, keep_seconds=0.1)
    kept.append(from_twilio.Start(STREAM), 0.0)
    for number in range(10):
        kept.append(to_twilio.Media(STREAM, b"\x20" * 800), number * 0.3)
    yield "not kept, with gaps", kept


def _html(pages: Pages) -> None:
    results = {
        "inspect_wav": kit.inspect_wav(SAMPLES / "question.wav"),
        "inspect_wav, not ready": kit.inspect_wav(SAMPLES / "tone_440.wav"),
        "examine": kit.examine(SAMPLES / "greeting.wav"),
        "clip": kit.Clip.tone(440, 0.1),
        "clip, long": kit.Clip.silence(61),
        "clip, named": kit.Clip(b"\x20" * 80, "<script>", clipped=2),
        "clip, empty": kit.Clip(b""),
        "simulator": kit.SimulatedTwilio().debugger,
    }
    for name, result in results.items():
        pages.add("html", name, html_lines(render_html(result)))


def _voice_trigger(pages: Pages) -> None:
    trigger = kit.VoiceTrigger()
    clip = kit.Clip.silence(0.3) + kit.load_clip(SAMPLES / "reply.wav") + kit.Clip.silence(1)
    said = []
    for number, frame in enumerate(clip.frames()):
        found = trigger.push(kit.decode_ulaw(frame))
        if found:
            said.append(f"frame {number}: {found!r}")
    pages.add("audio", "VoiceTrigger", listed(said))


def _figures() -> Iterator[tuple[str, Any]]:
    clip = kit.load_clip(SAMPLES / "question.wav")
    yield "plot_waveform", kit.plot_waveform(clip)
    yield "plot_waveform inbound", kit.plot_waveform(kit.Clip.tone(440, 0.1), track="inbound")
    yield "plot_companding", kit.plot_companding(clip)
    yield "plot_frames", kit.plot_frames(clip)
    yield "plot_header", kit.plot_header(kit.inspect_wav(SAMPLES / "speech_24bit_extensible.wav"))
    yield "plot_header, ready", kit.plot_header(kit.inspect_wav(SAMPLES / "question.wav"))
    yield "plot_spectrogram", kit.plot_spectrogram(SAMPLES / "greeting.wav")
    yield "plot_examination", kit.plot_examination(kit.examine(SAMPLES / "greeting.wav"))
    for name, capture in _captures():
        yield f"plot_timeline, {name}", kit.plot_timeline(capture)


def _drawn(figure: Any) -> str:
    """Return the texts of a figure and figures about its lines, boxes and pictures."""
    width, height = figure.get_size_inches()
    lines = [f"{width:.2f} × {height:.2f} inches", *map(_text, figure.texts)]
    for number, axes in enumerate(figure.axes, start=1):
        titles = [axes.get_title(where) for where in ("left", "center", "right")]
        lines.append(
            f"axes {number}: {titles} x {axes.get_xlabel()!r} {_limits(axes.get_xlim())} "
            f"y {axes.get_ylabel()!r} {_limits(axes.get_ylim())}"
        )
        legend = axes.get_legend()
        if legend is not None:
            lines.append(f"  legend {[text.get_text() for text in legend.get_texts()]}")
        lines += [f"  text {_text(text)}" for text in axes.texts]
        lines += [
            f"  line {line.get_label()!r} {_colour(line.get_color())} {_numbers(line.get_xydata())}"
            for line in axes.lines
        ]
        lines += [
            f"  patches {kind} × {len(patches)}: {_numbers(patches)}"
            for kind, patches in _patches(axes).items()
        ]
        lines += [
            f"  area {each.get_label()!r} × {len(each.get_paths())}: "
            f"{_numbers([path.vertices.mean(axis=0) for path in each.get_paths()])}"
            for each in axes.collections
            if not hasattr(each, "get_coordinates")
        ]
        pictures = [
            *axes.images,
            *(each for each in axes.collections if hasattr(each, "get_coordinates")),
        ]
        lines += [f"  picture {np.shape(each.get_array())} {each.get_clim()}" for each in pictures]
    return "\n".join(lines)


def _patches(axes: Any) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = {}
    for patch in axes.patches:
        box = patch.get_path().get_extents(patch.get_patch_transform())
        found.setdefault(type(patch).__name__, []).append([*box.min, *box.max])
    return found


def _text(text: Any) -> str:
    x, y = text.get_position()
    return f"{text.get_text()!r} at {_short(x)}, {_short(y)}"


def _colour(colour: Any) -> str:
    from matplotlib.colors import to_hex

    return to_hex(colour)


def _limits(limits: tuple[float, float]) -> str:
    return "…".join(map(_short, limits))


def _short(number: Any) -> str:
    return f"{number:.4g}" if isinstance(number, int | float | np.number) else str(number)


def _numbers(values: Any) -> str:
    """How many, and their least, greatest and mean by column: enough to see a change."""
    table = np.asarray(values, dtype=float)
    if table.size == 0:
        return "none"
    table = table.reshape(len(table), -1)
    with np.errstate(all="ignore"):
        figures = zip(np.nanmin(table, 0), np.nanmax(table, 0), np.nanmean(table, 0), strict=True)
    columns = "; ".join(" ".join(map(_short, column)) for column in figures)
    return f"{len(table)} rows, least greatest mean: {columns}"
