"""Tracebacks with the frames of the user only: where it went wrong in their program, and why.

An error of this package says in its text what to do.  Above it, IPython prints each frame that it
passed through: of the package, of asyncio, of the Twilio SDK.  Nobody can mend those, and they move
the line that can be mended out of sight.  `render` leaves them out; `verbose_errors` brings them
back.

Nothing here replaces a hook of Python's: a script shows a traceback as Python does.  What a
notebook shows of the errors of others is the matter of `cell_errors`.
"""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple

HIDDEN_PACKAGES = frozenset(
    {
        *("twistream_kit", "nest_asyncio", "nest_asyncio2", "uvloop", "tornado", "numpy", "twilio"),
        *("IPython", "ipykernel", "traitlets", "ipywidgets", "anywidget", "comm", "soundfile"),
        *("requests", "urllib3", "aiohttp", "websockets", "h11", "soxr", "uvicorn", "hypercorn"),
    }
)
"""The packages whose frames are not the user's, besides those of the standard library."""

_STANDARD_LIBRARY = tuple(
    f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib")
)

_SITE_PACKAGES = f"{os.sep}site-packages{os.sep}"

_RUN_MAGIC = "get_ipython().run_cell_magic("
"""What IPython makes of a cell that begins with ``%%time``; the cell's own frame comes after it."""

MOST_FRAMES = 4
"""How many frames are shown of the error; those nearest to it, of what led to it one."""

MOST_EARLIER = 2
"""How many errors are shown of what led to one: the first of all, and the one before it."""

MOST_OF_GROUP = 5
"""How many errors of an `ExceptionGroup` are shown."""

MOST_DEPTH = 3
"""How deep the groups are shown that are in one another."""

_BY_THE_WAY = "While it was handled, this came"

_verbose = False


def verbose_errors(verbose: bool = True) -> None:
    """Show errors of this package in a notebook with all frames, or with the user's only.

    By default a cell shows the line that went wrong and what the error says.  The frames of this
    package, of asyncio and of the Twilio SDK are left out.

    Args:
        verbose: Whether all frames are shown from now on.

    Raises:
        TypeError: If it is neither True nor False.

    Example:
        >>> import twistream_kit as kit
        >>> kit.verbose_errors(True)
        >>> try:
        ...     kit.load_clip("nothing.wav")
        ... except kit.WavError as error:
        ...     "sound_file.py" in "".join(error._render_traceback_())  # what IPython asks for
        True
        >>> kit.verbose_errors(False)
    """
    global _verbose  # noqa: PLW0603 - one switch for the process
    given: object = verbose
    if not isinstance(given, bool):
        # No error of `errors`, which imports this module.
        raise TypeError(f"verbose is {given!r:.40}; give True or False")
    _verbose = verbose


def is_verbose() -> bool:
    """Whether `verbose_errors` was switched on."""
    return _verbose


def keep_user_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Return `traceback` without hidden frames; None if nothing remains, all of it if verbose."""
    if _verbose:
        return traceback
    kept = None
    for each in reversed(
        [each for each in walk_frames(traceback) if not _is_hidden(each.tb_frame)]
    ):
        kept = TracebackType(kept, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return kept


def render(error: BaseException) -> list[str]:
    """Return the lines that IPython shows of an error: for ``_render_traceback_``."""
    return _render_in_full(error) if _verbose else _describe(error, set())


def render_handled() -> list[str]:
    """Return the lines of the error that is being handled, for an error of Python's own.

    IPython calls ``_render_traceback_`` in the handler of the error.
    """
    error = sys.exc_info()[1]
    return [] if error is None else render(error)


def render_with_advice(error: BaseException, advice: str) -> list[str]:
    """Return the lines of an error, without what led to it, and what to do as the last one."""
    if _verbose:
        return [*_render_in_full(error), advice]
    return [*_describe_frames(error.__traceback__), *describe_text(error), advice]


class _Earlier(NamedTuple):
    """One error of a chain, with the words for how it led to the next."""

    error: BaseException
    led: str


def _describe(error: BaseException, seen: set[int], depth: int = 0) -> list[str]:
    """Return the lines of `error` and of what led to it; `seen` ends a circle.

    What to do is said last, by whatever error of ours it is said.
    """
    chain = _list_chain(error, seen)
    if (left := len(chain) - MOST_EARLIER) > 0:
        chain[1 : 1 + left] = []
    lines: list[str] = []
    fixes: list[str] = []
    for number, (earlier, led) in enumerate(chain):
        text = describe_text(earlier)
        if _is_ours(earlier) and not _is_ours(error) and len(text) > 1:
            fixes = text[1:]
            text = text[:1]
        lines += [*_describe_frames(earlier.__traceback__, 1), *text, ""]
        if number == 0 and left > 0:
            lines += [f"({left} more error{'s' * (left > 1)} came after it)", ""]
        lines += [f"{led}:", ""]
    lines += _describe_frames(error.__traceback__, 1 if depth else MOST_FRAMES)
    lines += describe_text(error) + _list_notes_of_wait(error)
    if isinstance(error, BaseExceptionGroup):
        lines += _describe_group(error, seen, depth)
    return lines + fixes


def _describe_group(
    error: BaseExceptionGroup[BaseException], seen: set[int], depth: int
) -> list[str]:
    """Return the lines of the errors of a group, equal ones once."""
    if depth >= MOST_DEPTH:
        return ["", "  (and what is in it)"]
    blocks: dict[tuple[str, ...], int] = {}
    lines: list[str] = []
    for each in error.exceptions[:MOST_OF_GROUP]:
        block = tuple(_describe(each, seen, depth + 1))
        blocks[block] = blocks.get(block, 0) + 1
    for block, times in blocks.items():
        lines += [
            "",
            *([f"  {times} times:"] if times > 1 else []),
            *(f"  {line}" for line in block),
        ]
    if (left := len(error.exceptions) - MOST_OF_GROUP) > 0:
        lines += ["", f"  (and {left} more)"]
    return lines


def _list_chain(error: BaseException, seen: set[int]) -> list[_Earlier]:
    """Return what led to `error`, the first one first."""
    seen.add(id(error))
    chain = []
    while (earlier := _find_earlier(error, seen)) is not None:
        seen.add(id(earlier))
        is_cause = earlier is error.__cause__
        chain.append(_Earlier(earlier, "This led to" if is_cause else _BY_THE_WAY))
        error = earlier
    return chain[::-1]


def _find_earlier(error: BaseException, seen: set[int]) -> BaseException | None:
    """Return the error that led to `error`, if it has something to say that is not said by it.

    What an error of ours was made of, such as an OSError of `open`, is in its text already.  It is
    shown only if it came through a line of the user.  So is what an interrupt broke off, and the
    cancellation by which a wait with a limit ends.
    """
    earlier = step_back(error)
    hides = _is_ours(error) or isinstance(error, KeyboardInterrupt)
    while earlier is not None and id(earlier) not in seen:
        is_hidden = hides and keep_user_frames(earlier.__traceback__) is None
        if not is_hidden and not _is_end_of_wait(error, earlier):
            return earlier
        seen.add(id(earlier))
        earlier = step_back(earlier)
    return None


def _is_end_of_wait(error: BaseException, earlier: BaseException | None) -> bool:
    """Whether `earlier` is the cancellation by which `asyncio.wait_for` has ended a wait."""
    asyncio = sys.modules.get("asyncio")  # what awaits has imported it; it is slow to import
    is_cancelled = asyncio is not None and isinstance(earlier, asyncio.CancelledError)
    return type(error) is TimeoutError and is_cancelled


def _list_notes_of_wait(error: BaseException) -> list[str]:
    """Return what is noted beside the cancellation that has become `error`."""
    earlier = step_back(error)
    if earlier is None or not _is_end_of_wait(error, earlier):
        return []
    return [str(note) for note in getattr(earlier, "__notes__", ())]


def step_back(error: BaseException) -> BaseException | None:
    """Return what led to `error`, as Python tells it."""
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _is_ours(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "twistream_kit"


def describe_text(error: BaseException) -> list[str]:
    """Return the class and the text of an error, and what to do on a line of its own."""
    kind = type(error).__name__
    try:
        text, fix = str(error), getattr(error, "fix", "")
        notes = [str(note) for note in getattr(error, "__notes__", ())]
    except BaseException:  # noqa: BLE001 - the class may be the user's
        return [f"{kind}: (its text cannot be had)"]
    lines = [f"{kind}: {text}" if text else kind]
    if _is_ours(error) and isinstance(fix, str) and fix.strip():
        before, found, after = text.rpartition(fix.strip())
        if found and before.strip():
            lines = [f"{kind}: {before.strip()}", f"{found}{after}"]
    return [*lines, *notes]


def _describe_frames(traceback: TracebackType | None, most: int = MOST_FRAMES) -> list[str]:
    frames = [each for each in walk_frames(traceback) if not _is_hidden(each.tb_frame)]
    lines = []
    if most > 1 and (left := len(frames) - most) > 0:
        lines.append(f"({left} frame{'s' * (left > 1)} of yours above)")
    for each in frames[-most:]:
        code = each.tb_frame.f_code
        where = f"{_name_file(code.co_filename)}, line {each.tb_lineno}"
        if code.co_name != "<module>" and not code.co_name.startswith("<cell"):
            where += f", in {code.co_name}"
        lines.append(where)
        line = linecache.getline(code.co_filename, each.tb_lineno, each.tb_frame.f_globals)
        if line.strip():
            lines.append(f"    {line.strip()}")
    return [*lines, ""] if lines else []


def _name_file(name: str) -> str:
    """Return ``Cell In[3]`` or ``File talk.py``."""
    compiler = getattr(find_shell(), "compile", None)
    known = getattr(compiler, "format_code_name", lambda _name: None)(name)
    if known is not None:
        return " ".join(known)
    if name.startswith("<"):
        return name  # such as the body of a %%time
    path = Path(name)
    try:
        return f"File {path.relative_to(Path.cwd())}"
    except (ValueError, OSError):
        return f"File {name}"


def walk_frames(traceback: TracebackType | None) -> Iterator[TracebackType]:
    """Yield the parts of a traceback, the outermost first."""
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _is_hidden(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    if file.startswith("<frozen ") or (
        file.startswith(_STANDARD_LIBRARY) and _SITE_PACKAGES not in file
    ):
        return True
    if _RUN_MAGIC in linecache.getline(file, frame.f_lineno, frame.f_globals):
        return True
    module = frame.f_globals.get("__name__")
    return isinstance(module, str) and module.partition(".")[0] in HIDDEN_PACKAGES


def _render_in_full(error: BaseException) -> list[str]:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] not in ("IPython", "ipykernel"):
            break
        traceback = traceback.tb_next
    shell = find_shell()
    if shell is not None:
        lines: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, traceback)
        return lines
    import traceback as formatter

    return "".join(formatter.format_exception(type(error), error, traceback)).splitlines()


def find_shell() -> Any:
    """Return the IPython shell of this process, or None; IPython is not imported for it."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
