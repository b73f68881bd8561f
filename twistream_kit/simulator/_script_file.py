"""The file of a script: TOML whose errors name line and field.

`ScriptFile` reads it and makes its steps with the functions that it is given, which are those that
a script in Python is written with: `caller`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from twistream_kit.audio.clip import Clip
from twistream_kit.errors import TwistreamError, WrongType, WrongValue, hides_frames, quote
from twistream_kit.simulator._step_values import (
    VARIED,
    Choice,
    check_clip,
    check_seconds,
    make_range,
)
from twistream_kit.simulator._toml_lines import find_lines
from twistream_kit.simulator.stream.leg import DIGITS

FIELDS: dict[str, tuple[str, ...]] = {
    "listen": ("pause", "limit"),
    "say": ("file", "one_of"),
    "interrupt": ("file", "one_of", "after", "pause", "limit", "meant"),
    "press": ("keys",),
    "wait": ("seconds",),
    "hang_up": (),
}
"""The fields of each step in a file, beside ``do``."""

__tracebackhide__ = hides_frames  # of pytest: where this module found a mistake is no matter

_MOST_INTEGER = 2**63 - 1
"""The largest whole number of a file (TOML 1.0, Integer)."""

_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


StepT = TypeVar("StepT")


class MakesError(Protocol):
    """Makes the error for what is wrong in a file, as `caller.ScriptError` does."""

    def __call__(
        self, problem: str, *, path: str, line: int | None, field: str, fix: str
    ) -> Exception: ...


class ScriptFile(Generic[StepT]):
    """A file with a script, while it is read.

    Args:
        path: The name of the file.
        makers: The function that makes each kind of step, of those in `FIELDS`.
        make_error: Makes what is raised for a file that cannot be used.
    """

    def __init__(
        self, path: Path, makers: Mapping[str, Callable[..., StepT]], make_error: MakesError
    ) -> None:
        self._path = path
        self._makers = makers
        self._make_error = make_error
        self._lines: dict[tuple[str, int, str], int] = {}
        self._clips: dict[str, Clip] = {}

    def read(self) -> tuple[list[StepT], int]:
        """Return the steps of the file and its seed."""
        data = self._parse(self._read_text())
        for name in data:
            if name not in ("step", "seed"):
                self._refuse_name(name, ("step", "seed"), "a script", self._find_line("", 0, name))
        steps = data.get("step", [])
        if not isinstance(steps, list) or not all(isinstance(each, dict) for each in steps):
            line = self._lines.get(("step", 0, "")) or self._find_line("", 0, "step")
            self._fail(
                "step is not a list of steps", line, "step", fix="Begin each step with [[step]]"
            )
        if not steps:
            self._fail(
                "there is no step", None, "step", fix='Begin each with [[step]] and do = "…"'
            )
        seed = data.get("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool):
            line = self._find_line("", 0, "seed")
            self._fail(f"seed is {quote(seed)}", line, "seed", fix="Give a whole number, such as 7")
        made = [self._make_step(number, fields) for number, fields in enumerate(steps)]
        for number, fields in enumerate(steps[:-1]):
            if fields["do"] == "hang_up":
                line = self._find_line("step", number, "do")
                self._fail("a step follows hang_up", line, "do", fix="Put hang_up last")
        return made, seed

    def _read_text(self) -> str:
        try:
            raw = self._path.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
            why = getattr(error, "strerror", None) or str(error)
            self._fail(f"cannot be read: {why}", None, "", fix="Check the name of the file")
        try:
            return raw.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = raw[: error.start].count(b"\n") + 1
            self._fail(
                f"byte {raw[error.start]:#04x} is not UTF-8",
                line,
                "",
                fix="Save the file as UTF-8 in your editor",
            )

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            data = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            at = _AT_LINE.search(str(error))
            line = int(at[1]) if at and at[1] else len(text.splitlines()) if at else None
            problem = _AT_LINE.sub("", str(error))
            self._fail(
                f"this is not TOML: {problem[:1].lower()}{problem[1:]}",
                line,
                "",
                fix="Write names without quotes, an equals sign, and texts in quotes: "
                'file = "question.wav"',
            )
        except ValueError:  # of `int`: more than 4,300 digits
            self._fail_too_large(text.count("\n", 0, _find_longest_number(text)) + 1, "")
        self._lines = find_lines(text)
        for name, value in data.items():
            if _has_too_large(value) and name != "step":
                self._fail_too_large(self._find_line("", 0, name), name)
        steps = data.get("step")
        for number, fields in enumerate(steps if isinstance(steps, list) else [steps]):
            for name, value in fields.items() if isinstance(fields, dict) else [("", fields)]:
                if _has_too_large(value):
                    self._fail_too_large(self._find_line("step", number, name), name)
        return data

    def _fail_too_large(self, line: int | None, field: str) -> NoReturn:
        what = f"{field} has a number" if field else "there is a number"
        self._fail(
            f"{what} of more than 64 bits",
            line,
            field,
            fix="Write a smaller one; TOML has no larger ones",
        )

    def _make_step(self, number: int, fields: dict[str, Any]) -> StepT:
        kind = self._read_kind(number, fields)
        for name in fields:
            if name not in ("do", *FIELDS[kind]):
                self._refuse_name(name, FIELDS[kind], kind, self._find_line("step", number, name))
        options = {
            name: self._read_number(number, name, value)
            for name, value in fields.items()
            if name in ("after", "pause", "limit", "seconds")
        }
        match kind:
            case "say":
                options["sound"] = self._read_sound(number, kind, fields)
            case "interrupt":
                options["meant"] = self._read_meant(number, fields.get("meant", True))
                options["sound"] = self._read_sound(number, kind, fields)
            case "wait" if not options:
                line = self._find_line("step", number, "do")
                self._fail("wait has no seconds", line, "seconds", fix="Add seconds = 2")
            case "press":
                return self._make_press(number, fields)
        try:
            return self._makers[kind](**options)
        except WrongValue as error:  # a limit that is too short for another time
            problem = str(error).rstrip(".")
            name = next((each for each in options if problem.startswith(each)), "limit")
            self._fail(problem, self._find_line("step", number, name), name, fix="")

    def _read_kind(self, number: int, fields: dict[str, Any]) -> str:
        line = self._find_line("step", number, "do")
        kinds = ", ".join(FIELDS)
        kind = fields.get("do")
        if kind is None:
            self._fail(f"step {number + 1} has no do", line, "do", fix=f"Say one of {kinds}")
        if not isinstance(kind, str) or kind not in FIELDS:
            close = get_close_matches(str(kind), FIELDS, n=1)
            nearest = f"Nearest: {close[0]}. " if close else ""
            problem = f"do is {quote(kind)}, which is no step"
            self._fail(problem, line, "do", fix=f"{nearest}Say one of {kinds}")
        return kind

    def _make_press(self, number: int, fields: dict[str, Any]) -> StepT:
        line = self._find_line("step", number, "keys")
        if "keys" not in fields:
            self._fail("press has no keys", line, "keys", fix='Add keys = "1"')
        try:
            return self._makers["press"](fields["keys"])
        except WrongType:
            fix = f'Write them in quotes: keys = "{_find_keys(fields["keys"])}"'
            self._fail(f"keys is {quote(fields['keys'])}", line, "keys", fix=fix)
        except WrongValue as error:
            self._fail(str(error).rstrip("."), line, "keys", fix="")

    def _read_number(self, number: int, name: str, value: Any) -> Any:
        line = self._find_line("step", number, name)
        is_varied = name in VARIED
        try:
            if isinstance(value, list) and is_varied and len(value) == 2:
                return make_range(*value)
            return check_seconds(name, value, least=0.0 if name == "after" else None)
        except WrongType:
            fix = "Give a number of seconds" + (", or two as [least, most]" if is_varied else "")
            self._fail(f"{name} is {quote(value)}", line, name, fix=fix)
        except WrongValue as error:
            self._fail(str(error).rstrip("."), line, name, fix="")

    def _read_meant(self, number: int, value: Any) -> bool:
        if not isinstance(value, bool):
            line = self._find_line("step", number, "meant")
            self._fail(
                f"meant is {quote(value)}", line, "meant", fix="Say meant = false for a cough"
            )
        return value

    def _read_sound(self, number: int, kind: str, fields: dict[str, Any]) -> Clip | Choice:
        given = [name for name in ("file", "one_of") if name in fields]
        if len(given) != 1:
            has = "no file" if not given else "both file and one_of"
            line = self._find_line("step", number, given[-1] if given else "do")
            fix = 'Add file = "question.wav"' if not given else "Leave one of them out"
            self._fail(f"{kind} has {has}", line, "file", fix=fix)
        [name] = given
        if name == "file":
            return self._load(number, name, fields[name])
        files = fields[name]
        if not isinstance(files, list) or not files:
            line = self._find_line("step", number, name)
            fix = 'Give a list of files: one_of = ["yes.wav", "no.wav"]'
            self._fail(f"one_of is {quote(files)}", line, name, fix=fix)
        return Choice(tuple(self._load(number, name, each) for each in files))

    def _load(self, number: int, name: str, file: Any) -> Clip:
        line = self._find_line("step", number, name)
        if not isinstance(file, str):
            fix = 'Give the name of a sound file in quotes: file = "question.wav"'
            has = "is"
            if name == "one_of":
                fix = 'Give names of sound files in quotes: one_of = ["yes.wav", "no.wav"]'
                has = "has"
            self._fail(f"{name} {has} {quote(file)}", line, name, fix=fix)
        if file not in self._clips:  # a sound that is said a thousand times is loaded once
            self._clips[file] = self._load_file(file, name, line)
        return self._clips[file]

    def _load_file(self, file: str, name: str, line: int | None) -> Clip:
        from twistream_kit.audio.load import load_clip

        path = self._path.parent / file
        try:
            is_there = path.is_file()
        except OSError as error:  # such as a name that is too long
            why = error.strerror or str(error)
            self._fail(
                f"{name} is {quote(file)}, which cannot be read: {why}",
                line,
                name,
                fix="Names of sounds begin in the folder of the script",
            )
        if not is_there:
            self._fail(
                f"{name} is {quote(file)}, and there is no such file in "
                f"{quote(str(self._path.parent), 200)}",
                line,
                name,
                fix="Names of sounds begin in the folder of the script",
            )
        try:
            return check_clip(load_clip(path))
        except TwistreamError as error:
            self._fail(f"{name} is {quote(file)}: {error.problem}", line, name, fix=error.fix)

    def _find_line(self, table: str, number: int, name: str) -> int | None:
        """Return the line of a field, or the nearest that is known of it."""
        lines = self._lines
        if table:
            here = lines.get((table, number, name)) or lines.get((table, number, ""))
            return here or lines.get(("", 0, table))
        return lines.get(("", 0, name)) or lines.get((name, 0, ""))

    def _refuse_name(
        self, name: str, known: Sequence[str], what: str, line: int | None
    ) -> NoReturn:
        close = get_close_matches(name, known, n=1)
        nearest = f"Nearest: {close[0]}. " if close else ""
        takes = f"It takes {', '.join(known)}" if known else "It takes none"
        self._fail(f"{what} has no field {quote(name)}", line, name, fix=f"{nearest}{takes}")

    def _fail(self, problem: str, line: int | None, field: str, *, fix: str) -> NoReturn:
        error = self._make_error(problem, path=str(self._path), line=line, field=field, fix=fix)
        raise error from None  # it says all of what another one has said


def _find_keys(value: object) -> str:
    """Return the keys that were meant with something that is no text, to be put in quotes."""
    if isinstance(value, bool):
        return "1"
    text = "".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if text and set(text) <= DIGITS else "1"


def _has_too_large(value: object) -> bool:
    """Whether a value of a file is, or holds, a whole number that TOML does not have."""
    if isinstance(value, int):
        return abs(value) > _MOST_INTEGER + 1
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list) and any(map(_has_too_large, value))


def _find_longest_number(text: str) -> int:
    """Return the position of the longest number in a text."""
    longest = max(re.finditer(r"\d[\d_]*", text), key=lambda found: len(found[0]), default=None)
    return longest.start() if longest else 0
