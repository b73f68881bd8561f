"""Assumptions about undocumented behaviour of Twilio: one constant for each open question.

The numbers are those of the table of open questions (PROTOCOL.md §10).  ``[OBS]`` was observed by
users, ``[ASM]`` is our assumption.  The ones that a user of the simulator may want to change are
fields of `Behaviour`; the others are constants here.  `live`, the server's half, never reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

from twistream_kit.errors import WrongType, WrongValue
from twistream_kit.listing import describe_changes
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS
from twistream_kit.protocol.playout import BYTES_PER_SECOND, CAPACITY_SECONDS, MEDIA_DISCARDED
from twistream_kit.protocol.rest import PROGRESS_EVENTS
from twistream_kit.protocol.to_twilio import INVALID_MESSAGE, MALFORMED_MESSAGE
from twistream_kit.simulator.line.line import Line, check_line

HANDSHAKE_SECONDS = 10.0
"""1 [ASM]: if the server has not answered the upgrade by then, 31901 is logged."""

CONNECTED_AFTER_SECONDS = 0.05
"""The time from the server's 101 to *connected*; 90 ms were [OBS] in one capture (§2.3).

[ASM]: about half of that.  A server that closes at once has closed before the start message."""

FAILED_STREAM_HANGS_UP_AFTER_SECONDS = 1.0
"""2 [OBS]: if no verb is left, the call ends about a second after a stream failed."""

SENDS_PINGS = False
"""3 [ASM]: Twilio never pings; it answers pings."""

CLOSE_WAIT_SECONDS = 5.0
"""4 [ASM]: how long Twilio waits for the answer to its Close before it drops the TCP connection."""

SILENT_END_SECONDS = 240.0
"""4 [OBS]: how long a socket stays open if neither Close nor FIN follows `stop`."""

NORMAL_CLOSE = 1000
"""5 [DOC]: the close code of a server that ends the stream intentionally."""

RECONNECTS = False
"""6 [ASM]: a lost stream is never resumed."""

ONCE_PER_STREAM = frozenset({MEDIA_DISCARDED, MALFORMED_MESSAGE, INVALID_MESSAGE})
"""7, 9, 17 [DOC]: warnings that are logged once per stream only (§5.1)."""

PROTOCOL_ERROR_CLOSE = 1002
"""10 [ASM]: the close code after a violation of the WebSocket protocol, logged as 31924."""

HALF_OPEN_SECONDS = 40.0
"""10 [OBS]: how long a socket stays half-open after it, if it does; 30 to 45 s were observed."""

SILENCE = 0xFF
"""13, 21 [ASM]: the PCMU byte that pads a partial frame and that a silent caller sends."""

SILENT_FRAME = bytes([SILENCE]) * FRAME_BYTES
"""20 ms of it."""

PLAYOUT_CAPACITY = round(CAPACITY_SECONDS * BYTES_PER_SECOND)
"""17 [DOC]: ten minutes of audio in bytes; any excess is discarded, with one 31931."""

MESSAGE_LIMIT: int | None = None
"""18 [ASM]: no limit to the size of a message from the server, in bytes."""

FIRST_TIMESTAMPS_MS = range(50, 181)
"""19 [OBS]: the first timestamp of a stream; captures show 57 to 171."""

TIMESTAMP_JITTER_MS = (0, 1, -1, 0, 2, 0, -2, 1, 0, -1, 0)
"""19 [OBS]: the deviations of timestamps from multiples of 20 ms; here in a fixed cycle."""

CHUNKS_PER_TRACK = True
"""19 [OBS]: each track counts its own chunks, without gaps."""

INITIAL_BURST_FRAMES = 3
"""20 [OBS]: the frames that arrive together at the start of a stream, before the 20 ms interval.

Later gaps in arrival, up to 233 ms when the TwiML continues with another verb, lose no sound."""

SLOW_READER_SECONDS = 5.0
"""22 [ASM]: the limit of unsent audio of the caller; further frames are dropped, with 31930."""

APPENDS_SLASH_TO_BARE_HOST = True
"""25 [OBS]: a URL without a path is signed with a slash at its end."""

CALLBACK_ORDER = PROGRESS_EVENTS
"""30 [OBS]: call progress in order; *answered* is sent before the stream connects."""

TRIAL_ANNOUNCEMENT = (
    "You have a trial account. You can remove this message at any time by upgrading to a full "
    "account. Press any key to execute your code."
)
"""32 [OBS]: the announcement that either party of a call hears first under the older regime."""

TRIAL_KEY_SECONDS = 5.0
"""32 [ASM]: the wait for a key after that; one user counted 13 s from the answer to the drop."""

TRIAL_BLOCKED = frozenset(
    {
        "ConversationRelay", "Pay", "Record", "Recording", "Refer", "Siprec", "Stream",
        "VirtualAgent",
    }
)  # fmt: skip
"""32 [DOC]: verbs and nouns that are removed from a trial account's TwiML since 2026.

[OBS]: in September 2026 one trial account could record nevertheless.
"""

TRIAL_BLOCKED_IN_DIAL = frozenset({"Application", "Client", "Number", "Sip", "WhatsApp"})
"""32 [DOC]: nouns that are removed from `<Dial>`; a bare number in it is not mentioned."""

TRIAL_REFUSAL = "The {verb} verb is not available on trial accounts."
"""32 [DOC]: the sentence spoken instead of a removed verb.  [ASM]: nothing is logged."""

TRIAL_FETCH_SECONDS = 5.0
"""32 [DOC]: the timeout for TwiML.  [ASM]: status callbacks too, and under the older regime."""

TRIAL_HOPS = 10
"""32 [DOC]: the number of redirects and `action`s that ends the call.  [ASM]: older regime too."""

TRIAL_LAST_HOP = "This call has been redirected too many times."
"""32 [ASM]: the text of the last sentence; that there is a sentence is documented."""

TRIAL_PLAY_LOOPS = 10
"""32 [DOC]: the largest `loop` of `<Play>` since 2026.  [ASM]: 0, which repeats for ever, stays."""

TRIAL_CALL_SECONDS = 600.0
"""32 [DOC]: the longest call, with 13805 at its end.  [ASM]: counted from the answer."""

ECHO_DELAY_MS = 200
"""34 [ASM]: the delay of the echo from the ear to the mouth, within 150 to 300 ms."""

ECHO_GAIN = 0.1
"""34 [ASM]: the amplitude of the echo, -20 dB."""

FAX_HZ = 2100
"""41 [ASM]: the tone by which a fax machine that answers is known (ITU-T T.30: 2100 Hz, CED)."""

FAX_SECONDS = 0.5
"""41 [ASM]: how long that tone has to last; a fax machine sends it for 2.6 to 4 s (T.30)."""

SENT_KEY_MS, SENT_GAP_MS = 100, 100
"""46 [ASM]: the length of each key of SendDigits and ``<Play digits>``, and of the gap after it."""


ExtraFields = Literal["drop", "execute"]
EndedCallUpdate = Literal[404, 400]
Trial = Literal["off", "announcement", "blocked"]
CloseAtEnd = Literal["no status", "1000", "nothing"]
NormalClose = Literal["31921", "silent"]
AfterProtocolError = Literal["close", "half-open"]

_CHOICES = {
    "close_at_end": CloseAtEnd,
    "normal_close": NormalClose,
    "extra_fields": ExtraFields,
    "after_protocol_error": AfterProtocolError,
    "ended_call_update": EndedCallUpdate,
    "trial": Trial,
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Switches for behaviour of Twilio that is not known, or differs from account to account.

    Attributes:
        continues_after_failure: 2 [ASM]: after a failed stream the TwiML continues with its next
            verb; False: the call is hung up.
        close_at_end: 4 [OBS], sources differ: what follows `stop` at the end of a call.
            ``no status`` is a Close without one (the server sees 1005), ``1000`` a Close with that
            code, ``nothing`` neither Close nor FIN for four minutes.
        normal_close: 5 [DOC]: what is logged when the server closes with 1000.  ``31921`` is
            logged for every close by the server, here as a note; ``silent`` logs nothing.
        strict: 26 [ASM]: False follows the observations of users: a query string on the stream's
            URL is silently dropped.  True follows the wording of Twilio's pages: 31920.
        extra_fields: 7 and 8 [ASM]: whether a message with an unexpected field is dropped or
            executed nevertheless.  The warning 31951 is logged either way.
        after_protocol_error: 10 [ASM, OBS]: what follows a violation of the WebSocket protocol, in
            addition to 31924: ``close`` is a Close with 1002, ``half-open`` a socket that sends
            nothing more for 40 s and is then dropped (1006).
        playout_delay_ms: 14 [ASM]: how long audio waits in an empty playout buffer before it
            begins to play, rounded up to frames; 40 to 100 would be usual.
        ended_call_update: 29 [OBS]: the HTTP status of an update to a call that has ended: 404
            (code 20404) or 400 (code 21220).
        trial: 32 [DOC, OBS]: ``off`` is an upgraded account.  ``announcement`` is the older trial:
            a sentence that asks for any key, and without a key the call ends before its TwiML.
            ``blocked`` is the trial of 2026: `<Stream>` becomes a spoken refusal, and TwiML is
            requested without a signature [OBS].  Some users saw both in one call [OBS].  Either
            way a call lasts ten minutes at most.
        latency_ms: 33 [ASM]: the additional one-way latency of the sound, in each direction,
            rounded to frames; a carrier adds 100 to 250.
        echo: 34 [ASM]: the caller's microphone picks up the sound of its loudspeaker.
        plays_after_close: 37 [ASM]: whether the buffered sound is still heard after the server
            closes, which is not known.  False: it is lost, and with it the last words of a call.
        line: What the caller's line does to what the caller says, on its way to the server: a
            `Line`, the name of a profile, or None.
        line_back: What it does to what the caller hears; None for `Line.way_back` of `line`: the
            same losses, delay and jitter, without what the microphone does.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer(lambda stream: stream.close()))
        >>> report = kit.simulate_call(server.url).result(10)
        >>> [entry.code for entry in report.debugger]
        [31921]
        >>> silent = kit.Behaviour(normal_close="silent")
        >>> report = kit.simulate_call(server.url, behaviour=silent).result(10)
        >>> [entry.code for entry in report.debugger]
        []
    """

    continues_after_failure: bool = True
    close_at_end: CloseAtEnd = "no status"
    normal_close: NormalClose = "31921"
    strict: bool = False
    extra_fields: ExtraFields = "drop"
    after_protocol_error: AfterProtocolError = "close"
    playout_delay_ms: int = 0
    ended_call_update: EndedCallUpdate = 404
    trial: Trial = "off"
    latency_ms: int = 0
    echo: bool = False
    plays_after_close: bool = False
    line: Line | str | None = None
    line_back: Line | str | None = None

    def __post_init__(self) -> None:
        for name in ("playout_delay_ms", "latency_ms"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= 10_000:
                raise WrongValue(f"{name} is {value!r}; it must lie between 0 and 10000 ms")
            if 0 < value < 1:
                raise WrongValue(
                    f"{name} is {value!r}, and less than one of its milliseconds is as good as "
                    f"none; if {value:g} s are meant, give {name}={round(1000 * value)}"
                )
        for name, legal in _CHOICES.items():
            if (value := getattr(self, name)) not in get_args(legal):
                choices = ", ".join(map(repr, get_args(legal)))
                raise WrongValue(f"{name} is {value!r}; it must be one of {choices}")
        for name in ("line", "line_back"):
            line = check_line(getattr(self, name), name)
            object.__setattr__(self, name, line)
            if line is not None:
                line.prepare()  # not on the loop of the calls

    def __repr__(self) -> str:
        return describe_changes(self)

    @property
    def way_there(self) -> Line | None:
        """The line for what the caller says; None if it passes unchanged."""
        return _leave_clean_out(find_lines(self)[0])

    @property
    def way_back(self) -> Line | None:
        """The line for what the caller hears; None if it passes unchanged."""
        return _leave_clean_out(find_lines(self)[1])


def find_lines(behaviour: Behaviour) -> tuple[Line | None, Line | None]:
    """Return the lines that were given, for what the caller says and for what the caller hears."""
    there = behaviour.line if isinstance(behaviour.line, Line) else None
    back = behaviour.line_back if isinstance(behaviour.line_back, Line) else None
    if back is None and there is not None:
        back = there.way_back
    return there, back


def _leave_clean_out(line: Line | None) -> Line | None:
    return None if line is None or line.is_clean else line


def check_behaviour(behaviour: object) -> Behaviour:
    """Return a behaviour, by default all assumptions.

    Raises:
        WrongType: If it is something else, such as a dict of its names.
    """
    if behaviour is None:
        return Behaviour()
    if isinstance(behaviour, Behaviour):
        return behaviour
    if not isinstance(behaviour, Mapping):
        kind = type(behaviour).__name__
        raise WrongType(f"behaviour is {kind}; give a kit.Behaviour, such as kit.Behaviour()")
    names = [each.name for each in fields(Behaviour)]
    if strange := [name for name in behaviour if name not in names]:
        raise WrongType(
            f"behaviour is a dict, and {strange[0]!r} is no name of a Behaviour; give a "
            f"kit.Behaviour(…) with some of {', '.join(names)}"
        )
    meant = ", ".join(f"{name}={value!r}" for name, value in behaviour.items())
    raise WrongType(f"behaviour is a dict; give a Behaviour: behaviour=kit.Behaviour({meant})")


def count_frames(duration_ms: float) -> int:
    """Return the number of frames that cover `duration_ms`, rounded up."""
    return -int(-duration_ms // PTIME_MS)
