"""A workbench in a Jupyter notebook for Twilio's bidirectional Media Streams.

    import twistream_kit as kit

Play your own file into a call, see every frame of it, interrupt it with a button, and read the
reason when nothing is heard.  No account is needed, because Twilio's side of the call is simulated
on your machine; for a real account, change one cell.

All public names are here, in the order of use.  They are loaded on first use, so that the import
itself is fast.

Sound files and clips.
    inspect_wav, WavReport, load_clip, Clip, convert_file, convert_files, ConvertedFile,
    examine, Examination, encode_ulaw, decode_ulaw, Resampler, VoiceTrigger, find_tones, Tone,
    ToneDetector

Run things beside the cells, and wait for results.
    start, stop, running, url_of, Pending, allow_nested_asyncio, verbose_errors

Simulated Twilio.
    SimulatedTwilio, SimulatedAccount, Phone, simulate_call, CallReport, simulate_calls, LoadReport,
    run_soak, SoakReport, inject_faults, FaultReport, Behaviour, Line

The server, its streams and its public address.
    StreamServer, StreamApp, MediaStream, Speech, Playing, StreamEnd, PlayOutcome, MarkOutcome,
    ServerProcess, LocalProxy, open_tunnel, Tunnel, Inspector, InspectedStream, InspectedEnd

Real calls, outgoing and incoming.
    settings, Settings, client_from_environment, Secret, preflight, Check, Checks, place_call,
    route_number, NumberRoute, Call, StatusEvent, connect_stream

Widgets and plots.
    Workbench, StreamControls, StreamLog, LiveScope, PhoneWidget, RecordingPlayer, plot_header,
    plot_waveform, plot_companding, plot_frames, plot_examination, plot_spectrogram, plot_timeline,
    plot_turns, plot_load, plot_soak

Captures, conversations, reviews and errors.
    Capture, Recording, turns, Turns, review, review_message, review_twiml, review_sound,
    review_capture, explain, TwilioCode, Objection, TwistreamError, WavError, LocalProtocolError,
    RemoteProtocolError, CallRefused, TunnelError, SettingsError, ServerStopped, WouldDeadlock,
    NoResultYet, NoSuchAttribute, CannotListen, WrongType, WrongValue, WrongState

Modules: the steps of a simulated caller, and the typed messages of a stream.
    caller, from_twilio, to_twilio
"""

# The underscores keep these modules out of completion, which reads this file; so does the absence
# of `from __future__ import annotations`, which is a name as well.
import importlib as _importlib
import sys as _sys
import typing as _typing

if _typing.TYPE_CHECKING:
    from twistream_kit.audio.clip import Clip as Clip
    from twistream_kit.audio.convert import ConvertedFile as ConvertedFile
    from twistream_kit.audio.convert import convert_file as convert_file
    from twistream_kit.audio.convert import convert_files as convert_files
    from twistream_kit.audio.examination import Examination as Examination
    from twistream_kit.audio.examine import examine as examine
    from twistream_kit.audio.g711 import decode_ulaw as decode_ulaw
    from twistream_kit.audio.g711 import encode_ulaw as encode_ulaw
    from twistream_kit.audio.load import load_clip as load_clip
    from twistream_kit.audio.resample import Resampler as Resampler
    from twistream_kit.audio.tone_detector import Tone as Tone
    from twistream_kit.audio.tone_detector import ToneDetector as ToneDetector
    from twistream_kit.audio.tones import find_tones as find_tones
    from twistream_kit.audio.voice_trigger import VoiceTrigger as VoiceTrigger
    from twistream_kit.audio.wav_report import WavReport as WavReport
    from twistream_kit.audio.wav_report import inspect_wav as inspect_wav
    from twistream_kit.capture.capture import Capture as Capture
    from twistream_kit.capture.recording import Recording as Recording
    from twistream_kit.diagnosis.explain import explain as explain
    from twistream_kit.diagnosis.files import review_capture as review_capture
    from twistream_kit.diagnosis.load import LoadReport as LoadReport
    from twistream_kit.diagnosis.message import review_message as review_message
    from twistream_kit.diagnosis.review import review as review
    from twistream_kit.diagnosis.soak import SoakReport as SoakReport
    from twistream_kit.diagnosis.sound import review_sound as review_sound
    from twistream_kit.diagnosis.turns import Turns as Turns
    from twistream_kit.diagnosis.turns import turns as turns
    from twistream_kit.diagnosis.twiml import review_twiml as review_twiml
    from twistream_kit.errors import CallRefused as CallRefused
    from twistream_kit.errors import CannotListen as CannotListen
    from twistream_kit.errors import LocalProtocolError as LocalProtocolError
    from twistream_kit.errors import NoResultYet as NoResultYet
    from twistream_kit.errors import NoSuchAttribute as NoSuchAttribute
    from twistream_kit.errors import Objection as Objection
    from twistream_kit.errors import RemoteProtocolError as RemoteProtocolError
    from twistream_kit.errors import ServerStopped as ServerStopped
    from twistream_kit.errors import SettingsError as SettingsError
    from twistream_kit.errors import TunnelError as TunnelError
    from twistream_kit.errors import TwistreamError as TwistreamError
    from twistream_kit.errors import WavError as WavError
    from twistream_kit.errors import WouldDeadlock as WouldDeadlock
    from twistream_kit.errors import WrongState as WrongState
    from twistream_kit.errors import WrongType as WrongType
    from twistream_kit.errors import WrongValue as WrongValue
    from twistream_kit.live.calls.call import Call as Call
    from twistream_kit.live.calls.status import StatusEvent as StatusEvent
    from twistream_kit.live.dialling.number_route import NumberRoute as NumberRoute
    from twistream_kit.live.dialling.number_route import route_number as route_number
    from twistream_kit.live.dialling.place import place_call as place_call
    from twistream_kit.live.inspector.inspector import Inspector as Inspector
    from twistream_kit.live.inspector.stream import InspectedEnd as InspectedEnd
    from twistream_kit.live.inspector.stream import InspectedStream as InspectedStream
    from twistream_kit.live.preflight.check import Check as Check
    from twistream_kit.live.preflight.check import Checks as Checks
    from twistream_kit.live.preflight.preflight import preflight as preflight
    from twistream_kit.live.process.server_process import ServerProcess as ServerProcess
    from twistream_kit.live.server.local_proxy import LocalProxy as LocalProxy
    from twistream_kit.live.server.server import StreamServer as StreamServer
    from twistream_kit.live.server.stream_app import StreamApp as StreamApp
    from twistream_kit.live.settings.secret import Secret as Secret
    from twistream_kit.live.settings.settings import Settings as Settings
    from twistream_kit.live.settings.settings import (
        client_from_environment as client_from_environment,
    )
    from twistream_kit.live.stream.state import Playing as Playing
    from twistream_kit.live.stream.stream import MediaStream as MediaStream
    from twistream_kit.live.stream.stream import Speech as Speech
    from twistream_kit.live.tunnel.tunnel import Tunnel as Tunnel
    from twistream_kit.live.tunnel.tunnel import open_tunnel as open_tunnel
    from twistream_kit.notebook.plots.call import plot_timeline as plot_timeline
    from twistream_kit.notebook.plots.clip import plot_companding as plot_companding
    from twistream_kit.notebook.plots.clip import plot_frames as plot_frames
    from twistream_kit.notebook.plots.clip import plot_header as plot_header
    from twistream_kit.notebook.plots.clip import plot_waveform as plot_waveform
    from twistream_kit.notebook.plots.examine import plot_examination as plot_examination
    from twistream_kit.notebook.plots.examine import plot_spectrogram as plot_spectrogram
    from twistream_kit.notebook.plots.load import plot_load as plot_load
    from twistream_kit.notebook.plots.soak import plot_soak as plot_soak
    from twistream_kit.notebook.plots.turns import plot_turns as plot_turns
    from twistream_kit.notebook.runtime.background import running as running
    from twistream_kit.notebook.runtime.background import start as start
    from twistream_kit.notebook.runtime.background import stop as stop
    from twistream_kit.notebook.runtime.background import url_of as url_of
    from twistream_kit.notebook.runtime.loop import allow_nested_asyncio as allow_nested_asyncio
    from twistream_kit.notebook.widgets.controls import StreamControls as StreamControls
    from twistream_kit.notebook.widgets.phone import PhoneWidget as PhoneWidget
    from twistream_kit.notebook.widgets.recording_player import RecordingPlayer as RecordingPlayer
    from twistream_kit.notebook.widgets.scope import LiveScope as LiveScope
    from twistream_kit.notebook.widgets.settings_form import settings as settings
    from twistream_kit.notebook.widgets.stream_log import StreamLog as StreamLog
    from twistream_kit.notebook.widgets.workbench import Workbench as Workbench
    from twistream_kit.pending import Pending as Pending
    from twistream_kit.protocol import from_twilio as from_twilio
    from twistream_kit.protocol import to_twilio as to_twilio
    from twistream_kit.protocol.codes import TwilioCode as TwilioCode
    from twistream_kit.protocol.ending import StreamEnd as StreamEnd
    from twistream_kit.protocol.marks import MarkOutcome as MarkOutcome
    from twistream_kit.protocol.marks import PlayOutcome as PlayOutcome
    from twistream_kit.protocol.twiml import connect_stream as connect_stream
    from twistream_kit.simulator import caller as caller
    from twistream_kit.simulator.fault_report import FaultReport as FaultReport
    from twistream_kit.simulator.faults import inject_faults as inject_faults
    from twistream_kit.simulator.line.line import Line as Line
    from twistream_kit.simulator.load import simulate_calls as simulate_calls
    from twistream_kit.simulator.model.assumptions import Behaviour as Behaviour
    from twistream_kit.simulator.phone import Phone as Phone
    from twistream_kit.simulator.report import CallReport as CallReport
    from twistream_kit.simulator.rest.account import SimulatedAccount as SimulatedAccount
    from twistream_kit.simulator.simulate_call import simulate_call as simulate_call
    from twistream_kit.simulator.soak import run_soak as run_soak
    from twistream_kit.simulator.twilio import SimulatedTwilio as SimulatedTwilio
    from twistream_kit.user_frames import verbose_errors as verbose_errors

__version__ = "0.2.0"
"""The version; here alone: the build and `twistream --version` read it."""

_HOMES = {
    # Sound files and clips.
    "twistream_kit.audio.wav_report": "inspect_wav WavReport",
    "twistream_kit.audio.load": "load_clip",
    "twistream_kit.audio.clip": "Clip",
    "twistream_kit.audio.convert": "convert_file convert_files ConvertedFile",
    "twistream_kit.audio.examine": "examine",
    "twistream_kit.audio.examination": "Examination",
    "twistream_kit.audio.g711": "encode_ulaw decode_ulaw",
    "twistream_kit.audio.resample": "Resampler",
    "twistream_kit.audio.voice_trigger": "VoiceTrigger",
    "twistream_kit.audio.tones": "find_tones",
    "twistream_kit.audio.tone_detector": "Tone ToneDetector",
    # Run things beside the cells, and wait for results.
    "twistream_kit.notebook.runtime.background": "start stop running url_of",
    "twistream_kit.pending": "Pending",
    "twistream_kit.notebook.runtime.loop": "allow_nested_asyncio",
    "twistream_kit.user_frames": "verbose_errors",
    # Simulated Twilio.
    "twistream_kit.simulator.twilio": "SimulatedTwilio",
    "twistream_kit.simulator.rest.account": "SimulatedAccount",
    "twistream_kit.simulator.phone": "Phone",
    "twistream_kit.simulator.simulate_call": "simulate_call",
    "twistream_kit.simulator.report": "CallReport",
    "twistream_kit.simulator.load": "simulate_calls",
    "twistream_kit.diagnosis.load": "LoadReport",
    "twistream_kit.simulator.soak": "run_soak",
    "twistream_kit.diagnosis.soak": "SoakReport",
    "twistream_kit.simulator.faults": "inject_faults",
    "twistream_kit.simulator.fault_report": "FaultReport",
    "twistream_kit.simulator.model.assumptions": "Behaviour",
    "twistream_kit.simulator.line.line": "Line",
    # The server, its streams and its public address.
    "twistream_kit.live.server.server": "StreamServer",
    "twistream_kit.live.server.stream_app": "StreamApp",
    "twistream_kit.live.stream.stream": "MediaStream Speech",
    "twistream_kit.live.stream.state": "Playing",
    "twistream_kit.protocol.ending": "StreamEnd",
    "twistream_kit.protocol.marks": "PlayOutcome MarkOutcome",
    "twistream_kit.live.process.server_process": "ServerProcess",
    "twistream_kit.live.server.local_proxy": "LocalProxy",
    "twistream_kit.live.tunnel.tunnel": "open_tunnel Tunnel",
    "twistream_kit.live.inspector.inspector": "Inspector",
    "twistream_kit.live.inspector.stream": "InspectedStream InspectedEnd",
    # Real calls, outgoing and incoming.
    "twistream_kit.notebook.widgets.settings_form": "settings",
    "twistream_kit.live.settings.settings": "Settings client_from_environment",
    "twistream_kit.live.settings.secret": "Secret",
    "twistream_kit.live.preflight.preflight": "preflight",
    "twistream_kit.live.preflight.check": "Check Checks",
    "twistream_kit.live.dialling.place": "place_call",
    "twistream_kit.live.dialling.number_route": "route_number NumberRoute",
    "twistream_kit.live.calls.call": "Call",
    "twistream_kit.live.calls.status": "StatusEvent",
    "twistream_kit.protocol.twiml": "connect_stream",
    # Widgets and plots.
    "twistream_kit.notebook.widgets.workbench": "Workbench",
    "twistream_kit.notebook.widgets.controls": "StreamControls",
    "twistream_kit.notebook.widgets.stream_log": "StreamLog",
    "twistream_kit.notebook.widgets.scope": "LiveScope",
    "twistream_kit.notebook.widgets.phone": "PhoneWidget",
    "twistream_kit.notebook.widgets.recording_player": "RecordingPlayer",
    "twistream_kit.notebook.plots.clip": "plot_header plot_waveform plot_companding plot_frames",
    "twistream_kit.notebook.plots.examine": "plot_examination plot_spectrogram",
    "twistream_kit.notebook.plots.call": "plot_timeline",
    "twistream_kit.notebook.plots.turns": "plot_turns",
    "twistream_kit.notebook.plots.load": "plot_load",
    "twistream_kit.notebook.plots.soak": "plot_soak",
    # Captures, conversations, reviews and errors.
    "twistream_kit.capture.capture": "Capture",
    "twistream_kit.capture.recording": "Recording",
    "twistream_kit.diagnosis.turns": "turns Turns",
    "twistream_kit.diagnosis.review": "review",
    "twistream_kit.diagnosis.message": "review_message",
    "twistream_kit.diagnosis.twiml": "review_twiml",
    "twistream_kit.diagnosis.sound": "review_sound",
    "twistream_kit.diagnosis.files": "review_capture",
    "twistream_kit.diagnosis.explain": "explain",
    "twistream_kit.protocol.codes": "TwilioCode",
    "twistream_kit.errors": (
        "Objection TwistreamError WavError LocalProtocolError RemoteProtocolError CallRefused "
        "TunnelError SettingsError ServerStopped WouldDeadlock NoResultYet NoSuchAttribute "
        "CannotListen WrongType WrongValue WrongState"
    ),
}
"""Where each public name is defined, by topic and in the order of use."""

_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

_SUBMODULES = {
    "caller": "twistream_kit.simulator.caller",
    "from_twilio": "twistream_kit.protocol.from_twilio",
    "to_twilio": "twistream_kit.protocol.to_twilio",
}
"""The public names that are modules: what a simulated caller does; typed messages of a stream."""

__all__ = [*_HOME_OF, *_SUBMODULES]  # noqa: PLE0604 - the names are strings above
"""The public names, in the order of use."""

_SHOWN = {
    "twistream_kit.audio.wav_report": "Field WavReport",
    "twistream_kit.audio.clip": "Clip",
    "twistream_kit.audio.convert": "ConvertedFile",
    "twistream_kit.audio.examination": "Examination Figures Finding",
    "twistream_kit.audio.resample": "Resampler",
    "twistream_kit.audio.tone_detector": "Tone ToneDetector",
    "twistream_kit.audio.voice_trigger": "VoiceTrigger",
    "twistream_kit.notebook.runtime.background": "RunningThings",
    "twistream_kit.pending": "Pending",
    "twistream_kit.simulator.twilio": "SimulatedTwilio",
    "twistream_kit.simulator.rest.account": "SimulatedAccount",
    "twistream_kit.simulator.phone": "Phone",
    "twistream_kit.simulator.report": "CallReport",
    "twistream_kit.simulator.fault_report": "FaultReport FaultRow",
    "twistream_kit.simulator.caller": "CallerAct Script Step",
    "twistream_kit.simulator.model.assumptions": "Behaviour",
    "twistream_kit.simulator.line.line": "Line",
    "twistream_kit.live.server.server": "StreamServer",
    "twistream_kit.live.server.stream_app": "StreamApp",
    "twistream_kit.live.stream.stream": "MediaStream Speech",
    "twistream_kit.live.stream.state": "Playing",
    "twistream_kit.protocol.ending": "EndCause StreamEnd",
    "twistream_kit.protocol.marks": "MarkOutcome PlayOutcome",
    "twistream_kit.live.process.server_process": "ServerProcess",
    "twistream_kit.live.server.local_proxy": "LocalProxy",
    "twistream_kit.live.tunnel.tunnel": "Tunnel",
    "twistream_kit.live.inspector.inspector": "Inspector",
    "twistream_kit.live.inspector.stream": "InspectedEnd InspectedStream Violation",
    "twistream_kit.live.settings.settings": "Settings",
    "twistream_kit.live.settings.secret": "Secret",
    "twistream_kit.live.preflight.check": "Check Checks",
    "twistream_kit.live.dialling.number_route": "NumberRoute",
    "twistream_kit.live.calls.call": "Call",
    "twistream_kit.live.calls.status": "StatusEvent",
    "twistream_kit.capture.capture": "Capture",
    "twistream_kit.capture.recording": "Recording",
    "twistream_kit.diagnosis.files": "Mistake Mistakes",
    "twistream_kit.diagnosis.explain": "Explanations",
    "twistream_kit.diagnosis.histogram": "Histogram",
    "twistream_kit.diagnosis.failure_reasons": "FailureReason",
    "twistream_kit.diagnosis.growth": "Growth UsageReading",
    "twistream_kit.diagnosis.load": "LoadCall LoadReport LoadShare",
    "twistream_kit.diagnosis.load_figure": "LoadFigure",
    "twistream_kit.diagnosis.slope": "Slope",
    "twistream_kit.diagnosis.soak": "SoakFault SoakReport SoakWave",
    "twistream_kit.diagnosis.speech": "SpeechDetector",
    "twistream_kit.diagnosis.turn": "Turn",
    "twistream_kit.diagnosis.turns": "Turns",
    "twistream_kit.diagnosis.turn_figures": "TurnFigure",
    "twistream_kit.protocol.codes": "TwilioCode _CodesOfFile",
    "twistream_kit.protocol.service_codes": "ServiceCode",
    "twistream_kit.errors": "Objection Objections",
    "twistream_kit.audio._wav_format": "Format",
    "twistream_kit.audio.measure": "Spectrum",
    "twistream_kit.capture.entry": "Entry OddText StatusReport",
    "twistream_kit.capture.replay": "Playback",
    "twistream_kit.capture.summary": "CaptureSummary Figure Gap LateMark MarkEnding",
    "twistream_kit.listing": "Listing Series",
    "twistream_kit.live.stream._reader": "Reader",
    "twistream_kit.protocol.from_twilio": (
        "Connected Dtmf Mark Media MediaFormat Start Stop Unknown"
    ),
    "twistream_kit.protocol.to_twilio": "Clear Mark Media",
    "twistream_kit.simulator.call.call": "Calls SimulatedCall",
    "twistream_kit.simulator.model.debugger": "Debugger DebuggerEntry Unlogged",
    "twistream_kit.simulator.stream.pacer": "Lateness LatenessReport Pacer",
}
"""The classes that have a display in a notebook, made by `notebook.display.display`; by the module
that defines each, which is how IPython looks for them."""

_PLAYED = {
    "twistream_kit.capture.capture": "Capture",
    "twistream_kit.capture.recording": "Recording",
    "twistream_kit.simulator.report": "CallReport",
}
"""The classes whose display begins with a player of the call, where a kernel runs."""


def __getattr__(name: str) -> _typing.Any:
    if name in _HOME_OF:
        value = getattr(_importlib.import_module(_HOME_OF[name]), name)
    elif name in _SUBMODULES:
        value = _importlib.import_module(_SUBMODULES[name])
    else:
        raise _build_name_error(name)
    globals()[name] = value
    return value


def _build_name_error(name: str) -> AttributeError:
    message = f"module 'twistream_kit' has no attribute {name!r}"
    if name.startswith("_"):  # asked by Python and its tools, and read by nobody
        return AttributeError(message)
    from difflib import get_close_matches

    from twistream_kit.errors import NoSuchAttribute

    close = get_close_matches(name, __all__, n=3, cutoff=0.6)
    return NoSuchAttribute(message, fix=f"Nearest: {', '.join(close)}" if close else "")


def __dir__() -> list[str]:
    # Not the sub-packages that happen to be loaded: a dot and a tab give what one may use.
    return __all__.copy()


def _show_richly() -> None:
    """Register our HTML displays with IPython, if it runs; by name, so that nothing is imported."""
    ipython = _sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return
    formatter = shell.display_formatter.formatters["text/html"]
    for module, names in _SHOWN.items():
        for name in names.split():
            formatter.for_type_by_name(module, name, _make_html)
    if getattr(shell, "kernel", None) is not None:  # a page that can play it
        player = shell.display_formatter.ipython_display_formatter
        for module, name in _PLAYED.items():
            player.for_type_by_name(module, name, _show_player)
    # A Figure displays itself only after pyplot was imported; its own formatter then takes over.
    pictures = shell.display_formatter.formatters["image/png"]
    pictures.for_type_by_name("matplotlib.figure", "Figure", _make_png)


def _make_html(result: _typing.Any) -> str:
    from twistream_kit.notebook.display.display import render_html

    return render_html(result)


def _show_player(result: _typing.Any) -> None:
    from twistream_kit.notebook.widgets.recording_player import show_player

    show_player(result)


def _make_png(figure: _typing.Any) -> bytes:
    from twistream_kit.notebook.display.display import render_png

    return render_png(figure)


_show_richly()
