"""Results that are a table of names and values: messages, figures, an account, a behaviour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from twistream_kit.notebook.display.html import (
    Html,
    bullets,
    code,
    join,
    pairs,
    player,
    table,
)
from twistream_kit.notebook.display.rows import show_text

if TYPE_CHECKING:
    from twistream_kit.audio.measure import Spectrum
    from twistream_kit.audio.resample import Resampler
    from twistream_kit.audio.voice_trigger import VoiceTrigger
    from twistream_kit.diagnosis.histogram import Histogram
    from twistream_kit.diagnosis.speech import SpeechDetector
    from twistream_kit.live.settings.secret import Secret
    from twistream_kit.protocol import from_twilio, to_twilio
    from twistream_kit.simulator.line.line import Line
    from twistream_kit.simulator.stream.pacer import Lateness, LatenessReport

_BANDS = ((0, 300), (300, 1000), (1000, 2000), (2000, 3400), (3400, 8000), (8000, 24000))
"""In Hz; the telephone carries 300 to 3400."""


def show_attributes(names: str, caption: str, value: object) -> Html:
    """The attributes `names` of a value, each in a row."""
    found = {name.replace("_", " "): _show(getattr(value, name)) for name in names.split()}
    return pairs(found, caption=caption)


def show_fields(caption: str, value: Any) -> Html:
    """All fields of a dataclass instance, and which of them are not as usual."""
    rows = [
        (code(each.name), code(repr(getattr(value, each.name))), _show_default(each, value))
        for each in fields(value)
    ]
    return table(("field", "value", "otherwise"), rows, caption=caption)


def _show_default(field: Any, value: Any) -> object:
    is_usual = field.default is MISSING or getattr(value, field.name) == field.default
    return "" if is_usual else code(repr(field.default))


_UNITS = {"ms": "ms", "db": "dB"}
"""The units of a parameter, by the end of its name."""


def show_line(line: Line) -> Html:
    """What a line does, in words; then its profile, and each parameter that is on, with a unit."""
    values: dict[str, object] = {"what it does": line.description, "preset": code(line.preset)}
    if line.seed:
        values["seed"] = line.seed
    for name, value in line.list_set():
        share = name in ("loss", "bunching")
        unit = "dBFS" if name == "clipping_db" else _UNITS.get(name.rpartition("_")[2], "")
        unit = "frames" if name in ("burst", "bunch") else unit
        if isinstance(value, str):
            values[name] = value
        else:
            values[name] = f"{100 * value:g} %" if share else f"{value:g} {unit}".strip()
    return pairs(values, caption="A line")


def show_spectrum(spectrum: Spectrum) -> Html:
    """Which part of the power lies in which band."""
    rows = [(f"{low} to {high}", f"{spectrum.share(low, high):.1%}") for low, high in _BANDS]
    return table(("band (Hz)", "part of the power"), rows, caption="A spectrum")


def show_media(message: from_twilio.Media | to_twilio.Media) -> Html:
    """A message with sound, and a player of it."""
    sid = code(message.stream_sid)
    values: dict[str, object] = {"stream sid": sid, "payload": _show(message.payload)}
    for name in ("sequence_number", "track", "chunk", "timestamp_ms"):
        if hasattr(message, name):
            values[name.replace("_", " ")] = getattr(message, name)
    shown = pairs(values, caption=f"Media {_describe_direction(message)}")
    if not message.payload:
        return shown
    from twistream_kit.audio.g711 import decode_ulaw

    return join(shown, player(decode_ulaw(message.payload[:_MOST_BYTES]), 8000, "media"))


_MOST_BYTES = 8000 * 60
"""A player holds its sound, and stays in the notebook's file."""


def show_lateness(lateness: Lateness) -> Html:
    """The figures so far."""
    return show_lateness_report(lateness.report())


def show_lateness_report(report: LatenessReport) -> Html:
    """How late the simulator was, and whether its timings can be believed."""
    return pairs(
        {
            "frames": report.frames,
            "median (ms)": f"{report.p50_ms:.1f}",
            "95th percentile (ms)": f"{report.p95_ms:.1f}",
            "99th percentile (ms)": f"{report.p99_ms:.1f}",
            "worst (ms)": f"{report.max_ms:.1f}",
            "late": report.late,
            "timings can be believed": "yes" if report.believable else "no",
        },
        caption="How late the simulator was",
    )


def show_histogram(histogram: Histogram) -> Html:
    """How many times were counted, and their percentiles."""
    if not len(histogram):
        return pairs({"times": 0}, caption="Times")
    shares = {"median (ms)": 0.5, "95th percentile (ms)": 0.95, "99th percentile (ms)": 0.99}
    found = {name: f"{histogram.find(share):.1f}" for name, share in shares.items()}
    return pairs(
        {"times": len(histogram), **found, "greatest (ms)": f"{histogram.max:.1f}"}, caption="Times"
    )


def show_secret(_: Secret) -> Html:
    """That it is one, and nothing else."""
    return pairs({"value": "hidden; reveal() gives it"}, caption="A secret")


def show_resampler(resampler: Resampler) -> Html:
    """Its rates, and what it had to cut."""
    return show_attributes("rate_in rate_out clipped", "A resampler", resampler)


def show_voice_trigger(trigger: VoiceTrigger) -> Html:
    """Whether a voice is there, and how loud it is."""
    level = f"{trigger.level_db:.0f} dB"
    values = {"state": "speaking" if trigger.speaking else "quiet", "level": level}
    return pairs(values, caption="A voice trigger")


def show_speech_detector(detector: SpeechDetector) -> Html:
    """Whether somebody speaks, and how loud sound and noise are."""
    values = {
        "state": "speech" if detector.speaking else "no speech",
        "frames": detector.frames,
        "level": f"{detector.level_db:.0f} dBFS",
        "noise": f"{detector.noise_db:.0f} dBFS",
    }
    return pairs(values, caption="A speech detector")


def _describe_direction(message: object) -> str:
    return "to Twilio" if type(message).__module__.endswith("to_twilio") else "from Twilio"


def _show(value: object) -> object:
    if isinstance(value, bytes):
        return f"{len(value)} bytes, {len(value) / 8:.1f} ms of PCMU"
    if isinstance(value, str):
        return show_text(value)
    if hasattr(value, "items"):
        return bullets(f"{name}: {each}" for name, each in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return value


def show_message(caption: str, message: Any) -> Html:
    """All fields of a message, so that a new one is shown as well."""
    return show_attributes(" ".join(each.name for each in fields(message)), caption, message)


def _make_show(names: str, caption: str) -> Callable[[Any], Html]:
    return partial(show_attributes, names, caption)


_FIGURES: Sequence[str] = (
    *("form", "sample_rate", "channels", "seconds", "missing_seconds", "rms_db", "peak_db"),
    *("speech_db", "active", "noise_db", "silence_before", "silence_after", "quantisation_db"),
    *("clipped_by_mixing", "file_peak_db", "clipped_samples", "clipped_runs", "first_clipped_at"),
    *("offset", "above_3400", "below_300", "channels_db", "mix_db", "header_bytes"),
    *("header_peak_db", "trailing_bytes"),
)

_FROM, _TO = "twistream_kit.protocol.from_twilio", "twistream_kit.protocol.to_twilio"

VALUES: dict[tuple[str, str], Callable[[Any], Html]] = {
    ("twistream_kit.audio._wav_format", "Format"): _make_show(
        "encoding channels sample_rate bits_per_sample block_align byte_rate byte_order",
        "The format of a WAV file",
    ),
    ("twistream_kit.audio.examination", "Figures"): _make_show(
        " ".join(_FIGURES), "What was measured"
    ),
    ("twistream_kit.audio.measure", "Spectrum"): show_spectrum,
    ("twistream_kit.audio.resample", "Resampler"): show_resampler,
    ("twistream_kit.audio.tone_detector", "Tone"): _make_show(
        "kind key hz begin end level_db twist_db", "A tone"
    ),
    ("twistream_kit.audio.tone_detector", "ToneDetector"): _make_show("seconds", "A tone detector"),
    ("twistream_kit.audio.voice_trigger", "VoiceTrigger"): show_voice_trigger,
    ("twistream_kit.diagnosis.speech", "SpeechDetector"): show_speech_detector,
    ("twistream_kit.live.settings.secret", "Secret"): show_secret,
    ("twistream_kit.simulator.stream.pacer", "Lateness"): show_lateness,
    ("twistream_kit.simulator.stream.pacer", "LatenessReport"): show_lateness_report,
    ("twistream_kit.diagnosis.histogram", "Histogram"): show_histogram,
    ("twistream_kit.simulator.rest.account", "SimulatedAccount"): partial(
        show_fields, "A simulated account"
    ),
    ("twistream_kit.simulator.model.assumptions", "Behaviour"): partial(
        show_fields, "How simulated Twilio behaves"
    ),
    ("twistream_kit.simulator.line.line", "Line"): show_line,
    (_FROM, "Connected"): partial(show_message, "Connected, from Twilio"),
    (_FROM, "MediaFormat"): partial(show_message, "What the payloads hold"),
    (_FROM, "Start"): partial(show_message, "Start, from Twilio"),
    (_FROM, "Media"): show_media,
    (_FROM, "Dtmf"): partial(show_message, "A key, from Twilio"),
    (_FROM, "Mark"): partial(show_message, "Mark, from Twilio"),
    (_FROM, "Stop"): partial(show_message, "Stop, from Twilio"),
    (_FROM, "Unknown"): partial(show_message, "A message that is not known here, from Twilio"),
    (_TO, "Media"): show_media,
    (_TO, "Mark"): partial(show_message, "Mark, to Twilio"),
    (_TO, "Clear"): partial(show_message, "Clear, to Twilio"),
}
"""Where each class is defined, under what name, and what shows it."""
