"""Convert sound files to μ-law WAV files, one or many, in constant memory.

A source is never replaced by its result, and an existing file only with ``overwrite=True``.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from twistream_kit.audio.clip import (
    refuse_other_end,
    refuse_other_kind,
    replace_file,
    require_place,
    write_ulaw_wav,
)
from twistream_kit.audio.load import encode_sound, open_sound
from twistream_kit.audio.resample import SAMPLE_RATE, Resampler
from twistream_kit.errors import TwistreamError, WavError, WrongType, escape_controls, require_type
from twistream_kit.listing import Listing

Progress = bool | Callable[[float], object] | None
"""True for a progress bar, None for none, or a function that gets the fraction done, 0 to 1."""

_REPLACE = "Give another name or folder, or replace with overwrite=True (--force in a shell)"

_MOST_NAMED = 3


def convert_file(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Progress = None,
) -> ConvertedFile:
    """Convert a sound file of any length to a μ-law WAV file, in constant memory.

    The result contains the payload that `load_clip` returns, after a header of 58 bytes.  It gets
    its name when it is complete; after an error, no file is left.

    Args:
        src: The path of a file that `load_clip` reads.
        dst: The path of the new file.
        overwrite: Replace an existing `dst` when the new file is complete.
        progress: True shows a progress bar, in a terminal or a notebook; a function is called with
            the fraction done, 0 to 1.

    Returns:
        Where the new file is, how long it is, and what was lost.

    Raises:
        WavError: If `src` cannot be read, if `dst` cannot be written, exists already or ends in the
            name of another format, or if both are the same file.

    Example:
        >>> import twistream_kit as kit
        >>> converted = kit.convert_file("sample_audio/greeting.wav", "greeting.wav")
        >>> converted.seconds, converted.clipped
        (4.21, 0)
        >>> kit.load_clip(converted.path) == kit.load_clip("sample_audio/greeting.wav")
        True
    """
    require_type("a path", src=src, dst=dst)
    source, target = Path(src), Path(dst)
    try:
        refuse_other_end(target)
        _check_targets([(source, target)], overwrite=overwrite)
        require_place(target)
        return _convert(source, target, progress, overwrite=overwrite)
    except FileExistsError as error:
        raise WavError(
            "appeared while the sound was converted",
            source=str(target),
            consequence="It was left as it is, and nothing was written",
            fix=_REPLACE,
        ) from error
    except OSError as error:
        raise WavError(
            f"cannot be written: {error.strerror or error}",
            source=str(target),
            fix="Give a place where there is room, and where you may write",
        ) from error


def convert_files(
    paths: Iterable[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    executor: Executor | None = None,
    progress: Progress = True,
) -> Listing[ConvertedFile]:
    """Convert many files into a folder, each to a μ-law WAV file of its own name.

    A file that cannot be converted does not stop the others: its entry holds the `error`.  Two
    sources of the same name become ``name.wav`` and ``name-2.wav``.  Before any file is written,
    all targets are checked: none may be one of the sources, and none may exist yet.

    Args:
        paths: The files, in any order.
        folder: The folder for the results; it is created if it does not exist.
        overwrite: Replace existing files, but never one of `paths`.
        executor: An executor that runs the conversions: threads, processes, Dask's
            ``client.get_executor()`` or ipyparallel's.  None runs them here, one after the other.
        progress: As for `convert_file`, counted in files.

    Returns:
        One entry for each path, in the order of `paths`.

    Raises:
        TypeError: If `paths` is a single path.
        WavError: If `folder` is a file or cannot be created, or if a target is one of `paths` or
            exists already.  Nothing has been written then.

    Example:
        >>> import twistream_kit as kit
        >>> paths = ["sample_audio/greeting.wav", "sample_audio/README.md"]
        >>> for file in kit.convert_files(paths, "converted", progress=False):
        ...     print(file.error or f"{file.path.name}: {file.seconds} s")
        greeting.wav: 4.21 s
        README.md, byte 0: this is not a WAV file; it looks like a text file. ...
    """
    if isinstance(paths, str | os.PathLike):
        raise WrongType(f"paths is one path, {str(paths)!r}; give a list of them")
    require_type("a path", folder=folder)
    require_type("a list, tuple or set", paths=paths)
    sources = list(paths)
    for source in sources:
        require_type("a path", source=source)
    target = Path(folder)
    jobs = list(_name_targets([Path(source) for source in sources], target))
    _check_targets(jobs, overwrite=overwrite)
    _make_folder(target)
    results: Listing[ConvertedFile] = Listing.of((), "files")
    with _open_progress(progress, "converting") as report:
        if executor is None:
            outcomes = (_convert_one(source, to, overwrite) for source, to in jobs)
        else:
            futures = [
                (source, executor.submit(_convert_one, source, to, overwrite))
                for source, to in jobs
            ]
            outcomes = (_catch_error(source, future.result) for source, future in futures)
        for done, outcome in enumerate(outcomes, start=1):
            results.append(outcome)
            report(done / len(jobs))
    return results


@dataclass(frozen=True, slots=True)
class ConvertedFile:
    """The result of converting one file.

    Attributes:
        source: The file that was read.
        path: The file that was written, or None if there was an error.
        seconds: Its duration in seconds.
        clipped: How many samples exceeded full scale and were clipped.
        error: The text of the error, or empty.
        missing_seconds: How much sound is missing because the source was cut off, in seconds.

    Example:
        >>> import twistream_kit as kit
        >>> converted = kit.convert_file("sample_audio/speech_float.wav", "speech.wav")
        >>> print(f"{converted.path}: {converted.seconds:.2f} s, {converted.clipped} clipped")
        speech.wav: 1.61 s, 0 clipped
    """

    source: Path
    path: Path | None
    seconds: float = 0.0
    clipped: int = 0
    error: str = ""
    missing_seconds: float = 0.0

    def __str__(self) -> str:
        if self.error:
            return self.error
        missing = f", cut off: {self.missing_seconds:.2f} s missing" if self.missing_seconds else ""
        clipped = f", {self.clipped} samples clipped" if self.clipped else ""
        return f"{self.source} -> {self.path}: {self.seconds:.2f} s{missing}{clipped}"

    def __repr__(self) -> str:
        return f"<ConvertedFile {self}>"


def _convert(source: Path, target: Path, progress: Progress, *, overwrite: bool) -> ConvertedFile:
    with open_sound(source) as sound, _open_progress(progress, source.name) as report:
        resampler = Resampler(sound.sample_rate)

        def encode_and_report() -> Iterator[bytes]:
            for piece in encode_sound(sound, resampler):
                yield piece
                report(sound.opened.file.tell() / max(sound.opened.size, 1))

        with replace_file(target, overwrite=overwrite) as file:
            size = write_ulaw_wav(file, encode_and_report())
        report(1.0)
    return ConvertedFile(
        source,
        target,
        size / SAMPLE_RATE,
        resampler.clipped,
        missing_seconds=sound.missing_seconds,
    )


@contextmanager
def _open_progress(progress: Progress, title: str) -> Iterator[Callable[[float], object]]:
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda _fraction: None
    else:
        from tqdm.auto import tqdm

        with tqdm(
            total=100, desc=escape_controls(title), unit="%", bar_format="{l_bar}{bar}| {elapsed}"
        ) as bar:
            yield lambda fraction: bar.update(int(100 * fraction) - bar.n)


def _name_targets(sources: list[Path], folder: Path) -> Iterator[tuple[Path, Path]]:
    taken: set[str] = set()
    for source in sources:
        stem, count = source.stem, 1
        while _fold(f"{stem}.wav") in taken:
            count += 1
            stem = f"{source.stem}-{count}"
        taken.add(_fold(f"{stem}.wav"))
        yield source, folder / f"{stem}.wav"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        is_file = isinstance(error, FileExistsError | NotADirectoryError)
        reason = getattr(error, "strerror", None) or error
        raise WavError(
            "is a file, not a folder" if is_file else f"cannot be made: {reason}",
            source=str(folder),
            consequence="Nothing was converted",
            fix="Name a folder for the results; it is made if it is not there",
        ) from error


def _convert_one(source: Path, target: Path, overwrite: bool) -> ConvertedFile:
    # A function of the module, because a process pool pickles it by name.
    return _catch_error(source, lambda: convert_file(source, target, overwrite=overwrite))


def _catch_error(source: Path, result: Callable[[], ConvertedFile]) -> ConvertedFile:
    try:
        return result()
    except TwistreamError as error:
        return ConvertedFile(source, None, error=str(error))
    except Exception as error:  # noqa: BLE001  one file or worker that fails must not stop the others
        return ConvertedFile(source, None, error=f"{type(error).__name__}: {error}")


def _check_targets(jobs: list[tuple[Path, Path]], *, overwrite: bool) -> None:
    """Check, before anything is written, that no file would be lost.

    Raises:
        WavError: If a target is one of the sources, another target, a folder or a device or,
            unless `overwrite`, a file that exists.
    """
    sources = {_identify(source): source for source, _ in jobs}
    targets: dict[object, Path] = {}
    for source, target in jobs:
        identity = _identify(target)
        if identity in sources and (target.exists() or identity != _identify(source)):
            _refuse_source(source, target, sources[identity])
        other = targets.setdefault(identity, target)
        if other is not target:
            raise WavError(
                f"is the same file as {other}, by a link",
                source=str(target),
                consequence="Nothing was written",
                fix="Remove the link, or give another folder",
            )
        refuse_other_kind(target)
    existing = [target for _, target in jobs if os.path.lexists(target)]
    if existing and not overwrite:
        _refuse_existing(existing)


def _refuse_source(source: Path, target: Path, replaced: Path) -> NoReturn:
    if _identify(source) == _identify(replaced):
        problem = "source and target are the same file"
    else:
        problem = f"is to be converted, and the result for {source} would replace it"
    raise WavError(
        problem,
        source=str(target),
        consequence="The original would be lost, so nothing was written",
        fix="Give another name or folder",
    )


def _refuse_existing(existing: list[Path]) -> NoReturn:
    first, *others = existing
    named = [path.name for path in others[:_MOST_NAMED]]
    if len(others) > _MOST_NAMED:
        named.append(f"{len(others) - _MOST_NAMED} more")
    also = f", and so {'does' if len(others) == 1 else 'do'} {', '.join(named)}" if named else ""
    raise WavError(
        f"exists already{also}",
        source=str(first),
        consequence="Nothing was written",
        fix=_REPLACE,
    )


def _identify(path: Path) -> object:
    """Return a key that is equal for all paths of one file: links, `..`, upper and lower case."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # it does not exist, or is not a valid path
        try:
            resolved = os.path.realpath(path)
        except (OSError, ValueError):
            resolved = str(path)
        return _fold(resolved)
    return (found.st_dev, found.st_ino)


def _fold(name: str) -> str:
    # On macOS and Windows A.wav and a.wav are the same file; on macOS also both encodings of é.
    return unicodedata.normalize("NFC", name).casefold()
