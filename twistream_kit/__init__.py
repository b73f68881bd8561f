"""A workbench in a Jupyter notebook for Twilio's bidirectional Media Streams.

    import twistream_kit as kit

Hear your own file on a call, see every frame of it, interrupt it with a button, and be told why
when nothing is heard; without an account, because Twilio's side of the call is simulated on your
machine, and with one by changing one cell.

All public names are here.  They are loaded when first used, so that the import itself is light.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "twistream_kit.audio.clip": "Clip",
    "twistream_kit.audio.convert": "ConvertedFile convert_file convert_files",
    "twistream_kit.audio.load": "load_clip",
    "twistream_kit.audio.resample": "Resampler",
    "twistream_kit.audio.ulaw": "decode_ulaw encode_ulaw",
    "twistream_kit.audio.wav": "WavReport inspect_wav",
    "twistream_kit.errors": (
        "CallRefused LocalProtocolError RemoteProtocolError ServerStopped SettingsError "
        "TunnelError TwistreamError WavError WouldDeadlock"
    ),
    "twistream_kit.live.dialling": "Call place_call",
    "twistream_kit.live.environment": "client_from_environment",
    "twistream_kit.live.local_proxy": "LocalProxy",
    "twistream_kit.live.playing": "Playing",
    "twistream_kit.live.server": "StreamServer",
    "twistream_kit.live.stream": "MediaStream StreamEnd",
    "twistream_kit.live.tunnel": "Tunnel open_tunnel",
    "twistream_kit.notebook.background": "running start stop url_of",
    "twistream_kit.notebook.controls": "StreamControls",
    "twistream_kit.notebook.nesting": "allow_nested_asyncio",
    "twistream_kit.notebook.plots_call": "plot_timeline",
    "twistream_kit.notebook.plots_clip": "plot_companding plot_frames plot_waveform",
    "twistream_kit.notebook.plots_header": "plot_header",
    "twistream_kit.notebook.plots_spectrogram": "plot_spectrogram",
    "twistream_kit.pending": "Pending",
    "twistream_kit.protocol.capture": "Capture",
    "twistream_kit.protocol.codes": "TwilioCode explain",
    "twistream_kit.protocol.objection": "Objection",
    "twistream_kit.protocol.outcomes": "MarkOutcome PlayOutcome",
    "twistream_kit.protocol.review": "review",
    "twistream_kit.protocol.twiml": "connect_stream",
    "twistream_kit.protocol.twiml_review": "review_twiml",
    "twistream_kit.simulator.phone": "Phone",
    "twistream_kit.simulator.report": "CallReport",
    "twistream_kit.simulator.simulate_call": "simulate_call",
    "twistream_kit.simulator.twilio": "SimulatedTwilio",
}

_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

_SUBMODULES = {
    "from_twilio": "twistream_kit.protocol.from_twilio",
    "to_twilio": "twistream_kit.protocol.to_twilio",
}

__all__ = sorted([*_HOME_OF, *_SUBMODULES])  # noqa: PLE0605 - the names are strings above


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(_SUBMODULES[name])
    else:
        message = f"module 'twistream_kit' has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _show_richly() -> None:
    """Tell IPython, where it runs, which classes have a display, by name and without importing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return
    formatter = shell.display_formatter.formatters["text/html"]
    for module, names in _SHOWN.items():
        for name in names.split():
            formatter.for_type_by_name(module, name, _html_of)


def _html_of(result: Any) -> str:
    from twistream_kit.notebook.display import html_of

    return html_of(result)


_SHOWN: dict[str, str] = {}

_show_richly()
