"""The errors of this package, and the objections of a review.

    TwistreamError
    ├── WavError             a sound file cannot be read
    ├── LocalProtocolError   you are about to break a rule of Media Streams
    ├── RemoteProtocolError  the far end broke a rule of Media Streams
    ├── CallRefused          Twilio (or its simulator) refused to place or change a call
    ├── TunnelError          the public address could not be opened, or does not lead here
    ├── SettingsError        an account, a number or an option is missing or malformed
    ├── ServerStopped        the server stopped before the result arrived
    ├── WouldDeadlock        waiting here would block the event loop that brings the result
    ├── NoResultYet          a wait ended before its result arrived; also a TimeoutError
    ├── NoSuchAttribute         something was asked of a Pending that its result has; AttributeError
    ├── CannotListen         a server's port cannot be opened; also an OSError
    ├── WrongType            an argument is of a type that is not taken; also a TypeError
    ├── WrongValue           an argument has a value that is not taken; also a ValueError
    └── WrongState           it cannot be done at this time; also a RuntimeError

Each error holds the problem, its consequence and the fix as attributes.  The text is built from
them, so a program and a person read the same thing.

An `Objection` holds the same parts, but is returned by a review and never raised.
"""

from __future__ import annotations

import math
import numbers
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from dataclasses import field as field_of_class
from typing import Any, Literal, Self

from twistream_kit.cell_errors import shorten_in_cells
from twistream_kit.user_frames import render


class Explained:
    """The base of errors, objections, findings and checks: problem, consequence and fix.

    Errors are raised; the others are returned.  The text of all of them is built from the same
    three parts.
    """

    __slots__ = ()

    problem: str
    consequence: str
    fix: str

    @property
    def statement(self) -> str:
        """The problem and its subject, without the consequence."""
        return self.problem

    def __str__(self) -> str:
        return join_sentences(self.statement, self.consequence, self.fix)


class TwistreamError(Explained, Exception):
    """The base class of all errors of this package.

    Attributes:
        problem: What is wrong.
        consequence: What follows from it; may be empty.
        fix: What to do about it; may be empty.

    Example:
        >>> import twistream_kit as kit
        >>> try:
        ...     kit.load_clip("sample_audio/README.md")
        ... except kit.TwistreamError as error:
        ...     print(error.problem)
        ...     print(error.fix)
        this is not a WAV file; it looks like a text file
        Look at it in an editor; a download may have brought an error page instead of the sound
    """

    def __init__(self, problem: str, *, consequence: str = "", fix: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.consequence = consequence
        self.fix = fix
        shorten_in_cells()  # it may lead to an error of the user's

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own pickling loses keyword arguments, and a process pool pickles errors.
        return (_rebuild, (type(self), self.args, self.__dict__))

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows of the error: the user's line and the text."""
        return render(self)


def _rebuild(cls: type[TwistreamError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = cls.__new__(cls, *args)
    error.args = args
    for name, value in state.items():
        setattr(error, name, value)
    return error


class WavError(TwistreamError, ValueError):
    """A sound file cannot be read.

    Attributes:
        source: The name of the file; a substitute such as ``bytes`` where it has none.
        offset: The position of the fault in the file, in bytes, or None.

    Example:
        >>> import twistream_kit as kit
        >>> try:
        ...     kit.inspect_wav("sample_audio/README.md")
        ... except kit.WavError as error:
        ...     print(f"{error.source}, at {error.offset}: {error.problem}")
        README.md, at 0: this is not a WAV file; it looks like a text file
    """

    def __init__(
        self,
        problem: str,
        *,
        source: str = "",
        offset: int | None = None,
        consequence: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(problem, consequence=consequence, fix=fix)
        self.source = source
        self.offset = offset

    @property
    def statement(self) -> str:
        """What is wrong, and where in which file."""
        where = self.source
        if self.offset is not None:
            where = f"{where}, byte {self.offset}" if where else f"byte {self.offset}"
        return f"{where}: {self.problem}" if where else self.problem


class _ProtocolError(TwistreamError):
    """A field breaks a rule of Media Streams.

    Attributes:
        field: The name of the field, as on the wire (``media.payload``), or empty.
        twilio_code: The code that Twilio logs for it, or None where Twilio logs nothing.
    """

    def __init__(
        self,
        problem: str,
        *,
        field: str = "",
        twilio_code: int | None = None,
        consequence: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(problem, consequence=consequence, fix=fix)
        self.field = field
        self.twilio_code = twilio_code

    @classmethod
    def from_objection(cls, objection: Objection) -> Self:
        """Build the error with the texts of `objection`."""
        return cls(
            objection.problem,
            field=objection.field,
            twilio_code=objection.code,
            consequence=objection.consequence,
            fix=objection.fix,
        )

    @property
    def statement(self) -> str:
        """The field and the problem."""
        return f"{self.field} {self.problem}".lstrip()


class LocalProtocolError(_ProtocolError, ValueError):
    """You are about to break a rule of Media Streams (PROTOCOL.md §1 and §4); nothing was sent.

    Attributes:
        field: The name of the field, as on the wire (``media.payload``), or empty.
        twilio_code: The code that Twilio would log for it (§5), or None where Twilio logs nothing.

    Example:
        >>> import twistream_kit as kit
        >>> from pathlib import Path
        >>> whole_file = Path("sample_audio/greeting.wav").read_bytes()
        >>> try:
        ...     kit.to_twilio.Media("MZ0", whole_file)
        ... except kit.LocalProtocolError as error:
        ...     print(error.field, error.problem)
        media.payload starts with RIFF: it is a whole WAV file, not bare PCMU
    """


class RemoteProtocolError(_ProtocolError):
    """The far end broke a rule of Media Streams (PROTOCOL.md §3 and §4).

    Attributes:
        field: The name of the field, as on the wire (``media.payload``), or empty.
        twilio_code: The code that Twilio logs for it (§5), or None where Twilio logs nothing.

    Example:
        >>> import twistream_kit as kit
        >>> try:
        ...     kit.to_twilio.parse('{"event": "clear", "stream_sid": "MZ0"}')
        ... except kit.RemoteProtocolError as error:
        ...     print(error.twilio_code, error)
        31951 streamSid is missing.
    """


class CallRefused(TwistreamError):
    """A call could not be placed or changed.

    Attributes:
        code: Twilio's error code (PROTOCOL.md §5.3), or None when the request never reached Twilio.
        status: The HTTP status of the refusal (§5.4), or None.

    Example:
        >>> import twistream_kit as kit
        >>> twilio = kit.start(kit.SimulatedTwilio())
        >>> numbers = {"to": "555-0100", "from_": twilio.numbers[0]}
        >>> call = kit.place_call(twilio.client, **numbers, stream_url="wss://example.com/media")
        >>> error = call.exception(10)
        >>> error.status, error.code, error.consequence
        (400, 21211, 'The number to call is not a valid telephone number.')
    """

    def __init__(
        self,
        problem: str,
        *,
        code: int | None = None,
        status: int | None = None,
        consequence: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(problem, consequence=consequence, fix=fix)
        self.code = code
        self.status = status


class TunnelError(TwistreamError):
    """The public address could not be opened, or does not lead to this process.

    Example:
        >>> import twistream_kit as kit
        >>> try:
        ...     kit.open_tunnel(kit.StreamServer())
        ... except kit.TunnelError as error:
        ...     print(error.problem)
        ...     print(error.fix)
        this server checks no signatures
        Make it with StreamServer(auth_token=…), or say unsigned=True
    """


class SettingsError(TwistreamError, ValueError):
    """A setting is missing or malformed; the text never contains its value.

    Example:
        >>> import twistream_kit as kit
        >>> try:
        ...     kit.client_from_environment()
        ... except kit.SettingsError as error:
        ...     print(error.problem)
        TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not set
    """


class ServerStopped(TwistreamError):
    """The server stopped before the result arrived.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> arriving = server.next_stream()
        >>> kit.stop(server)
        >>> try:
        ...     arriving.result(5)
        ... except kit.ServerStopped as error:
        ...     print(error.problem)
        the server stopped before a stream started
    """

    @classmethod
    def before(cls, what: str) -> Self:
        """Build the error for a wait that ended because the server stopped.

        Args:
            what: The event that was waited for, as a clause: ``"a stream started"``.
        """
        return cls(
            f"the server stopped before {what}",
            fix="Start it again with kit.start(server) and wait anew",
        )


class WouldDeadlock(TwistreamError, RuntimeError):
    """Waiting here would block the event loop that has to bring the result.

    Example:
        >>> import twistream_kit as kit
        >>> import asyncio
        >>> async def wait_for_a_stream():
        ...     async with kit.StreamServer() as server:
        ...         server.next_stream().result(5)
        >>> try:
        ...     asyncio.run(wait_for_a_stream())
        ... except kit.WouldDeadlock as error:
        ...     print(error.fix)
        Say `await` instead, or call it from an ordinary function on another thread
    """


class NoResultYet(TwistreamError, TimeoutError):
    """A wait ended before its result arrived; what was waited for goes on.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> try:
        ...     server.next_stream().result(0.1)
        ... except TimeoutError as error:
        ...     print(type(error).__name__, "|", error.problem)
        NoResultYet | no call came within 0.1 s
    """


class NoSuchAttribute(TwistreamError, AttributeError):
    """There is no such name; mostly, a `Pending` was used like its result.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> try:
        ...     server.next_stream().play(kit.Clip.tone(440, 1))
        ... except kit.NoSuchAttribute as error:
        ...     print(error.problem)
        this is a Pending of a MediaStream, and has no 'play'
    """


def hides_frames(failure: Any) -> bool:
    """Whether pytest is not to show a frame of ours, which ``__tracebackhide__`` asks.

    It shows the line of the test instead.  A mistake of this package keeps its frames.

    Args:
        failure: The ``ExceptionInfo`` of pytest.
    """
    return isinstance(failure.value, TwistreamError)


def build_unknown_name(
    problem: str, name: str, known: Iterable[str], *, fix: str = ""
) -> AttributeError:
    """Return the error for a name that something does not have.

    Args:
        problem: What is wrong, with the name.
        name: The name.
        known: The names that it has, of which the nearest is given.
        fix: What to do, if that is known better.
    """
    if name.startswith("_"):  # asked by Python and its tools, and read by nobody
        return AttributeError(problem)
    from difflib import get_close_matches

    known = list(known)
    close = get_close_matches(name, known, n=1)
    nearest = f"Nearest: {close[0]}" if close else f"There are {', '.join(known)}"
    return NoSuchAttribute(problem, fix=fix or nearest)


class CannotListen(TwistreamError, OSError):
    """A server cannot listen on its port.

    Attributes:
        errno: The number of the system's error, as of any OSError, or None.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> try:
        ...     kit.start(kit.StreamServer(port=server.port), name="another")
        ... except kit.CannotListen as error:
        ...     print(error.fix)
        Say port=0 for a free one, or stop the other
    """

    def __init__(
        self, problem: str, *, errno: int | None = None, consequence: str = "", fix: str = ""
    ) -> None:
        super().__init__(problem, consequence=consequence, fix=fix)
        self.errno = errno

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError keeps its number beside the dictionary.
        rebuild, (cls, args, state) = super().__reduce__()
        return (rebuild, (cls, args, {**state, "errno": self.errno}))


class WrongType(TwistreamError, TypeError):
    """An argument is of a type that is not taken.

    Example:
        >>> import twistream_kit as kit
        >>> try:
        ...     kit.start(kit.StreamServer)
        ... except kit.WrongType as error:
        ...     print(error)
        start() takes an async context manager, ... not the class StreamServer; for example ...
    """


class WrongValue(TwistreamError, ValueError):
    """An argument has a value that is not taken.

    Example:
        >>> import twistream_kit as kit
        >>> try:
        ...     kit.Clip.tone(440, -1)
        ... except kit.WrongValue as error:
        ...     print(error)
        seconds is -1; a tone cannot last less than nothing.
    """


class WrongState(TwistreamError, RuntimeError):
    """Something cannot be done at this time.

    Example:
        >>> import twistream_kit as kit
        >>> import asyncio
        >>> async def enter_twice():
        ...     async with kit.StreamServer() as server:
        ...         async with server:
        ...             pass
        >>> try:
        ...     asyncio.run(enter_twice())
        ... except kit.WrongState as error:
        ...     print(error)
        the stream server is running already; stop it before entering it.
    """


Severity = Literal["error", "warning", "note"]
"""How serious an objection is.

``error``: it will not do what you want.  ``warning``: it may not, or Twilio obeys and logs a
warning.  ``note``: it is valid, but often a mistake.
"""

_RANK: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Objection(Explained):
    """What is wrong, what follows from it, and what to do.

    Attributes:
        code: The code that Twilio's console would show (31951, ...; PROTOCOL.md §5), or None where
            Twilio logs nothing.
        field: The name of the field, as on the wire (``media.payload``), or empty for the whole.
        problem: What is wrong; continues the sentence that `field` begins.
        consequence: What Twilio does about it; may be empty.
        fix: What to do, in this package's names; may be empty.
        severity: ``error``, ``warning`` or ``note``.
        confidence: The probability that it is right, 0 to 1, where it was estimated from the
            sound; None where a rule was broken, which is certain, or where it is not known.
        sound: Where a listener has to decide: the PCMU in which it was found, about 3 s of it.
        sample_rates: The rates in Hz at which `sound` may have been made, if not at 8000.

    Example:
        >>> import twistream_kit as kit
        >>> [objection] = kit.review({"event": "clear"})
        >>> objection.code, objection.field, objection.problem
        (31951, 'streamSid', 'is missing')
        >>> objection.consequence
        'Twilio would drop it with warning 31951, logged once per stream'
        >>> objection.fix
        'Add streamSid; Twilio reads no other name'
    """

    code: int | None
    field: str
    problem: str
    consequence: str = ""
    fix: str = ""
    severity: Severity = "error"
    confidence: float | None = None
    sound: bytes = field_of_class(default=b"", compare=False, repr=False)
    sample_rates: tuple[int, ...] = ()

    @property
    def statement(self) -> str:
        """What is wrong, with what, and how sure that is."""
        statement = f"{self.field} {self.problem}".lstrip()
        if self.confidence is not None:
            # Never 100 %: what is certain carries no confidence.
            statement += f" ({min(99, round(100 * self.confidence))} % sure)"
        return statement

    def to_dict(self) -> dict[str, Any]:
        """Return everything except the sound as plain values, ready for JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.compare}
        return {**values, "sample_rates": list(self.sample_rates)}

    def __repr__(self) -> str:
        code = f" {self.code}" if self.code else ""
        return f"<Objection {self.severity}{code}: {self}>"


class Objections(list[Objection]):
    """A list of objections whose repr has a line for each; an empty one says that it is empty."""

    def __repr__(self) -> str:
        return "\n".join(f"- {objection}" for objection in self) or "nothing to object to"


def sort_by_severity(objections: Iterable[Objection]) -> Objections:
    """Return `objections` with errors first and notes last; equal ones keep their order."""
    return Objections(sorted(objections, key=lambda objection: _RANK[objection.severity]))


def join_sentences(*parts: str) -> str:
    """Join `parts` into sentences, each with one full stop; leave out the empty ones."""
    return " ".join(
        part if part[-1] in ".!?" else f"{part}." for part in map(str.strip, parts) if part
    )


_WANTED: dict[str, tuple[type, ...]] = {
    "a number": (numbers.Real,),
    "a whole number": (numbers.Integral,),
    "a string": (str,),
    "a path": (str, os.PathLike),
    "PCMU as bytes": (bytes, bytearray, memoryview),
    "a dict of names and values": (Mapping,),
    "a list, tuple or set": (Iterable,),
}


def require_type(wanted: str, **arguments: object) -> None:
    """Refuse arguments of a wrong type.

    True and False are no numbers: ``port=True`` is a slip, and would be port 1.

    Args:
        wanted: The type in words, one of those that are known here.
        arguments: Each argument by its name.

    Raises:
        WrongType: If one is of another type.
    """
    for name, value in arguments.items():
        if not isinstance(value, _WANTED[wanted]) or (
            isinstance(value, bool) and wanted in _NUMBERS
        ):
            raise WrongType(f"{name} is {quote(value)}; give {wanted}")


_NUMBERS = ("a number", "a whole number")


def require_finite(**arguments: object) -> None:
    """Refuse arguments that are no numbers, and NaN, infinity and what no float can hold.

    Args:
        arguments: Each argument by its name.

    Raises:
        WrongType: If one is no number.
        WrongValue: If one is not finite.
    """
    for name, value in arguments.items():
        require_type("a number", **{name: value})
        if not is_finite(value):
            raise WrongValue(f"{name} is {quote(value)}; give a finite number")


def is_finite(number: Any) -> bool:
    """Whether a number is neither NaN nor infinite, nor a whole one that no float can hold."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def hide_user(url: str) -> str:
    """Return `url`, which may be malformed, without what may be its user and password.

    In a malformed address nothing says where a password ends: everything is hidden between the
    scheme and the last ``@``, in whatever width Unicode has it.
    """
    # Without one the pattern would be tried anew for each of many slashes.
    return _USER.sub(r"\1", url) if any(sign in url for sign in _AT_SIGNS) else url


_AT_SIGNS = "@\uff20\ufe6b"

_USER = re.compile(r"\A(\s*[A-Za-z][A-Za-z0-9+.-]*:/+)?.*[@\uff20\ufe6b]", re.DOTALL)


def escape_controls(text: str) -> str:
    """Return `text` with its control characters escaped, except line feeds and tabs.

    A terminal obeys the others (ECMA-48), and the bidirectional ones of Unicode reorder a line.
    Lone surrogates, which JSON can spell, are escaped too: no encoding has them.
    """
    return _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text)


_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def quote(value: object, limit: int = 40) -> str:
    """Quote `value` for use in a sentence, on one line and cut after `limit` characters.

    Lone surrogates and control characters are escaped, so the text can always be printed.
    """
    if isinstance(value, str) and len(value) > limit:
        return f"{value[:limit]!r}… ({len(value)} characters)"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # 4301 digits and more, or nested too deeply
        return f"a value of type {type(value).__name__} that is too long to write"
    return text if len(text) <= limit else f"{text[:limit]}…"
