"""Review the sound of a whole stream: what would the caller hear wrongly (PROTOCOL.md §4, §9)?

Twilio plays all payloads as PCMU, one after the other, 8000 bytes a second, and logs nothing about
their content.  `look_inside` reviews one payload; this module finds what takes many to show.

- `SoundReview` follows a stream message by message.  It takes a few microseconds per message.  The
  analysis of sound takes milliseconds; it is divided into steps of less than a millisecond, one per
  message, because it must not block the event loop of the stream.
- `SoundWindow` chooses the sound to analyse.  The analysis takes milliseconds per second of sound,
  and a wrong coding is wrong from the first second on.  So it takes rounds of three seconds, with a
  rest between them that doubles each time.  A clip that is sent whole is always analysed.
- `SendingTiming` checks whether sound is sent in time, `RepeatedHeaders` finds file headers within
  a stream, and `count_clicks` finds clicks where one message ends and the next begins.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np

from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.audio.tone_detector import ToneDetector
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis._border_clicks import count_clicks
from twistream_kit.diagnosis._coding import recognise_coding
from twistream_kit.diagnosis._number_format import measure_roughness
from twistream_kit.diagnosis._rate import MORE_SPEECH_BYTES, suspect_rate_in_steps
from twistream_kit.diagnosis._repeated_headers import RepeatedHeaders
from twistream_kit.diagnosis._sample_damage import (
    DamagedSamples,
    find_damaged_samples,
    find_damaged_samples_in_steps,
    is_about_damage,
)
from twistream_kit.diagnosis._sending_timing import TOO_SLOW, SendingTiming
from twistream_kit.diagnosis._text_damage import is_text_damage, look_for_lost_bits
from twistream_kit.diagnosis.payload import (
    SHORTEST_BYTES,
    is_8_bit_silence,
    is_cut,
    look_inside,
    measure_full_scale,
)
from twistream_kit.errors import Objection, Objections, WrongType, require_type, sort_by_severity
from twistream_kit.protocol import to_twilio
from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.protocol.playout import BYTES_PER_SECOND

FIELD = "media.payload"
"""The name of the field in objections to sound."""

MOST_MISTAKES = 1000
"""How many different mistakes of one stream are kept; further ones are dropped."""

_SILENT_SECONDS = 3.0
"""The silence at the beginning of a stream that is reported as a note (our choice)."""

_SILENT_BYTES = int(_SILENT_SECONDS * BYTES_PER_SECOND)

_INAUDIBLE = bytes(code for code in range(256) if code & 0x7F >= 0x7C)
"""The codes of the samples 0 to 24 of 32,768: silence with the noise of a quiet line."""

_PAUSE_BYTES = BYTES_PER_SECOND // 2
"""Half a second: shorter pauses are part of speech, longer ones are not analysed."""

_ODD_MESSAGES = 3
"""The least number of messages that are not whole frames; a note needs more than half of all."""

_WHOLE_CLIP = BYTES_PER_SECOND
"""The least size of a message that counts as a whole clip, in bytes.

A clip may end within a frame.  It is analysed at once, because few messages may follow over which
the work could be spread.
"""

_RATE_ROUNDS = 3
"""The number of rounds in which the sample rate is checked: this takes more time than all other
checks, and a rate does not change within a call."""

_RATE_BYTES = 7 * BYTES_PER_SECOND
"""The sound at the beginning of a stream of which the sample rate is checked once more: a voice
that is not low takes more than a round."""

_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|(?<![A-Za-z\d.])[\d.]+(?!x)")
"""Numbers and quotations, which vary; but PCM16 and 0x80 are names."""

_ODD_SIZES = Objection(
    None,
    FIELD,
    "is no multiple of 160 bytes in most messages",
    "What Twilio does with part of a frame is not documented; it may fill it up with silence",
    "Cut sound into multiples of 160 bytes, 20 ms each: clip.frames(); or stream.play(clip)",
    "note",
)

SILENT_SO_FAR = Objection(
    None,
    FIELD,
    f"holds nothing but silence in the first {_SILENT_SECONDS:g} s of sound",
    "The caller hears nothing so far, and all that follows waits behind it",
    "If speech was meant, look at what the bytes were read from",
    "note",
)

NOTHING_BUT_SILENCE = Objection(
    None,
    FIELD,
    "was nothing but silence on the whole stream",
    "The caller heard nothing",
    "Look at what the bytes were read from: kit.inspect_wav(path), kit.plot_waveform(clip)",
    "warning",
)

_CODINGS_OF_8_BITS = ("A-law", "PCM8 unsigned")
"""The codings for which sound can be taken that was damaged before it was encoded."""

_FEWEST_KEYS = 4
"""How many tones of keys are a number that somebody dials; fewer may be a signal."""

_KEY_STEP = 5 * FRAME_BYTES
"""How much sound is searched for keys in one step: shorter than a key and the pause after it, since
a key takes a millisecond."""

_SECOND_BYTES = BYTES_PER_SECOND

_ROUND_BYTES = 3 * BYTES_PER_SECOND

_FIRST_REST, _LONGEST_REST = 4 * BYTES_PER_SECOND, 60 * BYTES_PER_SECOND
"""How much audible sound passes between two rounds, in bytes."""


def review_sound(source: Capture | bytes | Iterable[bytes | to_twilio.Media]) -> Objections:
    """Review the sound that a server sends on one stream.

    A call takes PCMU at 8000 Hz in mono; Twilio plays all else as noise, and logs nothing
    (PROTOCOL.md §4, §9).

    Args:
        source: A capture, of which the server's sound is reviewed with its timing; or payloads, or
            `to_twilio.Media`, which count as sent in time.

    Returns:
        Each kind of objection once, errors first; empty if there are none.

    Raises:
        TypeError: If `source` is none of these.

    Example:
        >>> import twistream_kit as kit
        >>> clip = kit.load_clip("sample_audio/greeting.wav")
        >>> kit.review_sound([clip.payload])
        nothing to object to
        >>> kit.review_sound([clip.payload.hex().encode()])
        - media.payload is hexadecimal digits, not sound. ...
    """
    if isinstance(source, Capture):
        return _review_capture(source)
    require_type("a list, tuple or set", source=source)
    sound = SoundReview()
    at = 0.0
    found: list[Objection] = []
    for each in [source] if isinstance(source, bytes | bytearray) else source:
        payload = each.payload if isinstance(each, to_twilio.Media) else each
        if not isinstance(payload, bytes | bytearray):
            raise WrongType(
                f"a payload is bytes, not {type(payload).__name__}; "
                "kit.load_clip(path).payload is one"
            )
        found += sound.note_sent(bytes(payload), at)
        at += len(payload) / BYTES_PER_SECOND
    return sort_by_severity([*found, *sound.finish(at)])


def _review_capture(capture: Capture) -> Objections:
    sound = SoundReview(capture.stream_sid)
    found: list[Objection] = []
    for entry in capture.entries:
        if isinstance(entry.message, to_twilio.Media) and entry.is_kept:
            found += sound.note_sent(entry.message.payload, entry.at)
        elif isinstance(entry.message, to_twilio.Clear):
            sound.note_clear(entry.at)
    return sort_by_severity([*found, *sound.finish(capture.seconds)])


def listen_to(payload: bytes) -> list[Objection]:
    """Return the objections to half a second of sound or more that `look_inside` does not make."""
    sound = SoundReview()
    known = {identify_mistake(objection) for objection in look_closely(payload)}
    found = [*sound.note_sent(payload, 0.0), *sound.finish(0.0)]
    return [each for each in found if identify_mistake(each) not in known]


def look_closely(payload: bytes) -> list[Objection]:
    """Do the same as `look_inside`, but explain runs of one byte by the sound around them.

    0x80 is the silence of 8-bit sound, but also that of μ-law which was encoded twice.
    """
    found = look_inside(payload, FIELD)
    if len(payload) >= SHORTEST_BYTES and any(map(is_8_bit_silence, found)):
        sound = payload[:_ROUND_BYTES]
        recognised = recognise_coding(sound)
        damaged = find_damaged_samples(sound, recognised)
        if damaged is not None:
            return [damaged.to_objection(FIELD)]
    return found


class SoundReview:
    """Reviews the sound that a server sends on one stream; time is an argument.

    Each kind of objection is returned once, as Twilio logs its warnings once.

    Args:
        stream_sid: The SID of the stream; it only spreads the work of many streams over time.
        at_leisure: Whether `note_sent` leaves all analysis, which takes milliseconds, to `listen`.
    """

    def __init__(self, stream_sid: str = "", *, at_leisure: bool = False) -> None:
        self._at_leisure = at_leisure
        self._mistakes = MistakeCounter()
        self._timing = SendingTiming()
        self._headers = RepeatedHeaders(FIELD)
        self._steps: deque[Iterator[list[Objection]]] = deque()
        self._window = SoundWindow(crc32(stream_sid.encode("utf-8", "surrogatepass")))
        self._is_recognised = self._is_examined = self._is_damaged = False
        self._deferred: list[Objection] = []
        self._is_audible = False
        self._beginning: bytearray | None = bytearray()
        self._pause = self._rounds = 0
        self._size = self._messages = self._odd = 0

    def note_sent(
        self, payload: bytes, at: float, inside: list[Objection] | None = None
    ) -> list[Objection]:
        """Process the sound of one message; return the new objections.

        Args:
            payload: The decoded payload, of any length.
            at: When it was sent, in seconds of any clock.
            inside: The objections of `look_closely` to it, if they are known already.
        """
        found = self.defer(look_closely(payload) if inside is None else inside, len(payload))
        if header := self._headers.note_sent(payload, is_file=bool(found)):
            found = [*found, header]
        # Noted before the analysis, so that the analysis does not report the same again.
        new, found = (self._mistakes.add(found) if found else []), []
        if self._is_worth_listening(payload):
            if not self._timing.is_joined(at):
                self._window.interrupt()
            if due := self._window.add(payload, self._size):
                self._steps += map(self._listen, due)
            if len(payload) >= _WHOLE_CLIP:
                # Each clip may come from another file, in another coding.
                self._steps.append(self._listen(SoundPiece(payload[:_ROUND_BYTES])))
                if len(payload) >= 2 * _ROUND_BYTES:
                    # A byte that is lost on the way damages all that comes after it.
                    self._steps.append(self._recognise_late(payload))
        else:
            self._window.interrupt()
        self._keep_beginning(payload)
        if self._steps and not self._at_leisure:
            new += self._run_steps(is_to_the_end=len(payload) >= _WHOLE_CLIP)
        if late := self._timing.note_sent(payload, at):
            found = [*found, late]
        if counted := self._count_message(len(payload)):
            found = [*found, *counted]
        return [*new, *self._mistakes.add(found)] if found else new

    def defer(self, inside: list[Objection], size: int) -> list[Objection]:
        """Return `inside` without what the sound of further messages may explain.

        Args:
            inside: The objections of `look_closely` to the payload of one message.
            size: The size of that payload in bytes.
        """
        if any(map(is_about_damage, inside)):
            self._is_recognised = self._is_damaged = True
        if not inside or not is_8_bit_silence(inside[0]) or size >= SHORTEST_BYTES:
            return inside
        if self._is_damaged:
            return []
        if self._is_examined:
            return inside
        if inside[0] not in self._deferred:
            self._deferred.append(inside[0])
        return []

    @property
    def found(self) -> Counter[Objection]:
        """Each objection with how many messages it applied to."""
        return self._mistakes.found

    @property
    def has_more_to_hear(self) -> bool:
        """Whether `listen` would do something."""
        return bool(self._steps)

    def listen(self) -> list[Objection]:
        """Do one step of the analysis, about a millisecond; return the new objections."""
        return self._run_steps(is_to_the_end=False)

    def note_clear(self, at: float) -> None:
        """Note that a clear was sent."""
        self._timing.note_clear(at)
        self._window.interrupt()

    def note_end(self) -> None:
        """Note that no sound follows: what was collected is left to `listen`."""
        piece = self._window.take_rest()
        if piece is not None and len(piece.payload) >= SHORTEST_BYTES:
            self._steps.append(self._listen(piece))
        self._suspect_rate()

    def finish(self, at: float) -> list[Objection]:
        """Return the new objections after the last message."""
        return [each for found in self.finish_in_steps(at) for each in found]

    def finish_in_steps(
        self,
        at: float,  # noqa: ARG002 - time is an argument of every step
    ) -> Iterator[list[Objection]]:
        """Do the same as `finish`, one step of the analysis each time; yield its new objections."""
        self.note_end()
        while self._steps:
            yield self._run_steps(is_to_the_end=False)
        new = self._mistakes.add(self._release())
        if self._size >= _PAUSE_BYTES and not self._is_audible:
            new += self._mistakes.add([NOTHING_BUT_SILENCE])
        yield new

    def _is_worth_listening(self, payload: bytes) -> bool:
        if not is_inaudible(payload):
            self._is_audible, self._pause = True, 0
            return True
        self._pause += len(payload)
        return self._pause <= _PAUSE_BYTES and not self._window.is_empty

    def _run_steps(self, *, is_to_the_end: bool) -> list[Objection]:
        """Continue the analysis, by one step or to the end; return the new objections."""
        new: list[Objection] = []
        while self._steps:
            for found in self._steps[0]:
                new += self._mistakes.add(each for each in found if each not in self._mistakes)
                if not is_to_the_end:
                    return new
            self._steps.popleft()
        return new

    def _listen(self, piece: SoundPiece) -> Iterator[list[Objection]]:
        """Analyse one or three seconds of sound in steps; yield the objections of each step."""
        inside = look_inside(piece.payload, FIELD)
        plain = [each for each in inside if not is_8_bit_silence(each)]
        if plain:
            yield plain
        if self._headers.is_packed or any(map(is_text_damage, plain)):
            yield self._release()
            return
        if not self._is_recognised:
            yield from self._recognise(piece)
        if not self._is_damaged and not (piece.is_first and inside):
            yield [*inside, *self._release()]
        if inside or self._is_recognised or self._is_no_sound:
            return  # this explains everything else that is heard
        yield from self._examine_smoothness(piece)
        if not piece.is_first:
            yield []
            yield from self._find_keys(piece)
        if piece.is_round and self._rounds < _RATE_ROUNDS:
            self._rounds += 1
            for suspected in suspect_rate_in_steps(piece.payload):
                yield [suspected.to_objection(FIELD)] if suspected else []

    def _examine_smoothness(self, piece: SoundPiece) -> Iterator[list[Objection]]:
        if is_cut(piece.payload) and not _is_tone(piece.payload):
            yield [_object_to_clipping(measure_full_scale(piece.payload))]
        yield []
        if piece.is_rest:
            return  # too few borders to be sure
        if clicks := count_clicks(piece.payload, piece.borders):
            yield [_object_to_clicks(clicks, len(piece.borders))]

    def _find_keys(self, piece: SoundPiece) -> Iterator[list[Objection]]:
        detector = ToneDetector()
        keys = ""
        for at in range(0, len(piece.payload), _KEY_STEP):
            tones = detector.feed(piece.payload[at : at + _KEY_STEP])
            keys += "".join(tone.key for tone in tones)
            yield []
        keys += "".join(tone.key for tone in detector.finish())
        if len(keys) >= _FEWEST_KEYS:
            yield [_object_to_keys(keys)]

    def _recognise(self, piece: SoundPiece) -> Iterator[list[Objection]]:
        """Find out in steps why the sound is noise, if it is."""
        if lost := look_for_lost_bits(piece.payload, FIELD):
            self._is_recognised = self._is_damaged = True
            yield [lost]
            return
        recognised = recognise_coding(piece.second, piece.payload)
        damaged: DamagedSamples | None = None
        if recognised is None or recognised.coding in _CODINGS_OF_8_BITS:
            for each in find_damaged_samples_in_steps(piece.payload, recognised):
                damaged = each
                yield []
        self._is_examined = not piece.is_first or bool(piece.payload.strip(piece.payload[:1]))
        if damaged is not None:
            self._is_recognised = self._is_damaged = True
            since = None if damaged.since is None else piece.find_second(damaged.since)
            yield [damaged.to_objection(FIELD, since)]
        elif recognised is not None:
            self._is_recognised = True
            yield [recognised.to_objection(FIELD)]

    def _recognise_late(self, payload: bytes) -> Iterator[list[Objection]]:
        """Find out in steps whether a long clip ends in noise."""
        if not (self._is_recognised or self._headers.is_packed or self._is_no_sound):
            yield from self._recognise(SoundPiece(payload[-_ROUND_BYTES:], is_round=True))

    def _keep_beginning(self, payload: bytes) -> None:
        beginning = self._beginning
        if beginning is None:
            return
        # With its short pauses, also while no round is collected: they are part of speech.
        if self._pause == 0 or (beginning and self._pause <= _PAUSE_BYTES):
            beginning += payload[: _RATE_BYTES - len(beginning)]
        if len(beginning) >= _RATE_BYTES:
            self._suspect_rate()

    def _suspect_rate(self) -> None:
        """Check the sample rate of the beginning, in steps, once there is enough of it."""
        beginning, self._beginning = self._beginning, None
        if beginning is not None and len(beginning) >= MORE_SPEECH_BYTES:
            self._steps.append(self._check_rate(bytes(beginning)))

    def _check_rate(self, payload: bytes) -> Iterator[list[Objection]]:
        if self._is_recognised or self._headers.is_packed or self._is_no_sound:
            return  # this explains everything else that is heard
        for suspected in suspect_rate_in_steps(payload):
            yield [suspected.to_objection(FIELD)] if suspected else []

    def _release(self) -> list[Objection]:
        """Return the objections that were deferred, unless the sound is explained otherwise."""
        deferred, self._deferred = self._deferred, []
        return [] if self._is_damaged else deferred

    @property
    def _is_no_sound(self) -> bool:
        return any(each.severity == "error" and each.field == FIELD for each in self.found)

    def _count_message(self, size: int) -> list[Objection]:
        """Count a message; object to sizes and to silence, each once."""
        found: list[Objection] = []
        before, self._size = self._size, self._size + size
        self._messages += 1
        if size % FRAME_BYTES and size < _WHOLE_CLIP:
            self._odd += 1
            if self._odd >= _ODD_MESSAGES and 2 * self._odd > self._messages:
                self._odd = -1 << 62  # once is enough
                found.append(_ODD_SIZES)
        if before < _SILENT_BYTES <= self._size and not self._is_audible:
            found.append(SILENT_SO_FAR)
        return found


def _is_tone(payload: bytes) -> bool:
    """Whether the sound is a pure tone: its peaks may be at full scale and nothing below."""
    return measure_roughness(decode_ulaw(payload).astype(np.float64)) < _ROUGHEST_TONE


_ROUGHEST_TONE = 0.05
"""The prediction error of a tone that is coded as μ-law is 0.02 of it; of a clipped one, 0.1."""


class MistakeCounter:
    """Counts in how many messages each mistake was made; the first objection represents all.

    Attributes:
        found: Each objection with how many messages it applied to.
    """

    def __init__(self) -> None:
        self.found: Counter[Objection] = Counter()
        self._first: dict[tuple[str, str], Objection] = {}

    def __contains__(self, objection: Objection) -> bool:
        """Whether the same mistake was counted before."""
        return identify_mistake(objection) in self._first

    def add(self, objections: Iterable[Objection]) -> list[Objection]:
        """Count the objections to one message; return those to new mistakes."""
        new = []
        for objection in objections:
            mistake = identify_mistake(objection)
            first = self._first.get(mistake)
            if first is None:
                if len(self._first) >= MOST_MISTAKES:
                    continue
                first = self._first[mistake] = objection
                new.append(objection)
            self.found[first] += 1
        return new


def identify_mistake(objection: Objection) -> tuple[str, str]:
    """Return the part of an objection that is the same for the same mistake in other messages."""
    return objection.field, _VARIABLE.sub("", objection.problem)


def is_inaudible(payload: bytes) -> bool:
    """Whether a payload is silence, or the noise of a quiet line; true for no bytes."""
    return not payload.strip(_INAUDIBLE)


def is_about_timing(objection: Objection) -> bool:
    """Whether `objection` is about the timing, which a busy machine can cause too."""
    return objection.problem.startswith(TOO_SLOW)


def _object_to_clipping(share: float) -> Objection:
    """Return the objection to sound of which a `share` from 0 to 1 is at full scale."""
    return Objection(
        None,
        FIELD,
        f"is at full scale in {100 * share:.0f} % of its samples: it was made too loud and cut",
        "The caller hears a rasp on all that is loud",
        "Turn the sound down before it is converted; Clip.clipped counts what was cut",
        "warning",
    )


def _object_to_keys(keys: str) -> Objection:
    """Return the objection to the tones of telephone keys."""
    return Objection(
        None,
        FIELD,
        f"holds DTMF, the tones of telephone keys: {keys!r}; they are not key events",
        "The other side hears beeps. Keys do not arrive as keys when they are sent as sound through"
        " a stream",
        f'Press them before the stream begins: <Play digits="{keys}"/> in front of <Connect>, or'
        f" client.calls.create(…, send_digits={keys!r}). In the midst of a call,"
        " call.update(twiml=…) with <Play digits> presses them, but ends the stream",
        "note",
    )


def _object_to_clicks(clicks: int, borders: int) -> Objection:
    """Return the objection to messages with clicks at their borders."""
    return Objection(
        None,
        FIELD,
        f"clicks where messages meet: at {clicks} of {borders} borders it breaks off",
        "The caller hears a buzz; so it sounds when each piece is converted on its own",
        "Push all pieces through one kit.Resampler(rate), or convert the whole before you cut it",
        "warning",
    )


class SoundWindow:
    """Collects audible sound until there is enough of it to analyse.

    Args:
        number: A number of the stream.  It delays the first second by up to half a second, and the
            whole round by up to two, so that calls that begin together are not analysed together.
    """

    def __init__(self, number: int = 0) -> None:
        self._first = _SECOND_BYTES + number % 25 * FRAME_BYTES
        self._round = _ROUND_BYTES + number % 100 * FRAME_BYTES
        self._sound = bytearray()
        self._borders: list[int] = []
        self._places: list[tuple[int, int]] = []
        self._joined = False
        self._is_begun = False  # whether its first second was taken
        self._resting = 0
        self._next_rest = _FIRST_REST

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been collected since the last rest."""
        return not self._sound

    def add(self, payload: bytes, place: int = 0) -> list[SoundPiece]:
        """Add sound; return the pieces to analyse now, which is usually none.

        Args:
            payload: The sound.
            place: The number of bytes of sound that were sent before it.
        """
        if self._resting > 0:
            self._resting -= len(payload)
            return []
        if self._joined and self._sound:
            self._borders.append(len(self._sound))
        else:
            self._places.append((len(self._sound), place))
        self._sound += payload
        self._joined = True
        if len(self._sound) < (self._round if self._is_begun else self._first):
            return []
        return self._take_due()

    def interrupt(self) -> None:
        """Note that the next sound does not continue the sound added last."""
        self._joined = False

    def take_rest(self) -> SoundPiece | None:
        """Return the sound that was collected and not analysed, after the stream has ended."""
        if len(self._sound) >= _ROUND_BYTES:
            return self._take_round()
        if not self._sound:
            return None
        # What follows the first second may be short: keys are looked for in all of it at once.
        return SoundPiece(bytes(self._sound), self._borders, self._places, is_rest=self._is_begun)

    def _take_due(self) -> list[SoundPiece]:
        due: list[SoundPiece] = []
        if not self._is_begun:
            self._is_begun = True
            first = bytes(self._sound[: self._first])
            due.append(SoundPiece(first, [], self._places, is_first=True))
        if len(self._sound) >= self._round:
            due.append(self._take_round())
            self._sound, self._borders, self._places = bytearray(), [], []
            self._is_begun = self._joined = False
            self._resting, self._next_rest = (
                self._next_rest,
                min(2 * self._next_rest, _LONGEST_REST),
            )
        return due

    def _take_round(self) -> SoundPiece:
        borders = [border for border in self._borders if border < _ROUND_BYTES]
        sound = bytes(self._sound[:_ROUND_BYTES])
        return SoundPiece(sound, borders, self._places, is_round=True)


@dataclass(slots=True)
class SoundPiece:
    """A piece of audible sound to analyse.

    Attributes:
        payload: The sound that was sent, without the silence between.
        borders: The positions at which a message directly continues the one before.
        places: Where the sound continues nothing: the positions, and how much had been sent before.
        is_first: Whether it is the first second of a round, of which the rest follows.
        is_round: Whether it is a whole round.
        is_rest: Whether it is a round that was not finished, of which the first second is known.
    """

    payload: bytes
    borders: list[int] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    is_first: bool = False
    is_round: bool = False
    is_rest: bool = False

    def find_second(self, position: int) -> float:
        """Return how many seconds of sound were sent before a position of this piece."""
        begin, place = max(each for each in self.places if each[0] <= position)
        return (place + position - begin) / BYTES_PER_SECOND

    @property
    def second(self) -> bytes:
        """The second by which the coding is recognised: the last one of a round, else the first."""
        is_late = self.is_round or self.is_rest
        return self.payload[-_SECOND_BYTES:] if is_late else self.payload[:_SECOND_BYTES]
