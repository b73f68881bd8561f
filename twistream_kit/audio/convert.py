"""Files on disk become μ-law WAV files, in constant memory, one or many."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from twistream_kit.audio.load import pcmu
from twistream_kit.audio.resample import SAMPLE_RATE, Resampler
from twistream_kit.audio.sound import open_sound
from twistream_kit.audio.write import replacing, require_place, write_ulaw_wav
from twistream_kit.errors import TwistreamError, WavError

Progress = bool | Callable[[float], object] | None
"""True for a bar, a function that is told the fraction done (0 to 1), or None for silence."""


@dataclass(frozen=True, slots=True)
class ConvertedFile:
    """What became of one file.

    Attributes:
        source: The file that was read.
        path: The file that was written, or None when there is none.
        seconds: Its duration.
        clipped: How many samples were beyond full scale, and were cut.
        error: What went wrong, in words; empty when nothing did.
        missing_seconds: How much of it a WAV file promised and did not hold: it was cut off.
    """

    source: Path
    path: Path | None
    seconds: float = 0.0
    clipped: int = 0
    error: str = ""
    missing_seconds: float = 0.0


def convert_file(
    src: str | os.PathLike[str], dst: str | os.PathLike[str], *, progress: Progress = None
) -> ConvertedFile:
    """Convert a file of sound into a μ-law WAV file, whatever its length, in constant memory.

    The result holds the payload that `load_clip` gives, behind a header of 58 bytes.  It appears
    under its name when it is whole; when something goes wrong, nothing is left behind.

    Args:
        src: Anything that `load_clip` reads from a path.
        dst: The path of the new file; an old one is replaced.
        progress: True shows a bar, in a terminal and in a notebook; a function is called with the
            fraction done.

    Raises:
        WavError: If `src` cannot be read, `dst` cannot be written, or both are the same file.
    """
    source, target = Path(src), Path(dst)
    try:
        _check_target(source, target)
        return _convert(source, target, progress)
    except OSError as error:
        raise WavError(
            f"cannot be written: {error.strerror or error}",
            source=str(target),
            fix="Give a place where there is room, and where you may write",
        ) from error


def _convert(source: Path, target: Path, progress: Progress) -> ConvertedFile:
    with open_sound(source) as sound, _told(progress, source.name) as tell:
        resampler = Resampler(sound.sample_rate)

        def followed() -> Iterator[bytes]:
            for piece in pcmu(sound, resampler):
                yield piece
                tell(sound.opened.file.tell() / max(sound.opened.size, 1))

        with replacing(target) as file:
            size = write_ulaw_wav(file, followed())
        tell(1.0)
    return ConvertedFile(
        source,
        target,
        size / SAMPLE_RATE,
        resampler.clipped,
        missing_seconds=sound.missing_seconds,
    )


def convert_files(
    paths: Iterable[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    executor: Executor | None = None,
    progress: Progress = True,
) -> list[ConvertedFile]:
    """Convert many files into a folder, each to a μ-law WAV file of its own name.

    A file that cannot be converted does not stop the others: its entry carries the `error`.  Two
    sources of the same name become ``name.wav`` and ``name-2.wav``.

    Args:
        paths: The files, in any order.
        folder: Where the results go; made if it is not there.
        executor: Where the work is done: threads, processes, Dask's ``client.get_executor()``,
            ipyparallel's; None does one after the other here.
        progress: As for `convert_file`, counted in files.

    Returns:
        One entry for each path, in the order of `paths`.

    Raises:
        TypeError: If `paths` is a single path.
        WavError: If `folder` is a file, or cannot be made.
    """
    if isinstance(paths, str | os.PathLike):
        raise TypeError(f"paths is one path, {str(paths)!r}; give a list of them")
    target = Path(folder)
    _make_folder(target)
    jobs = list(_named([Path(path) for path in paths], target))
    results = []
    with _told(progress, "converting") as tell:
        if executor is None:
            outcomes = (_converted(source, to) for source, to in jobs)
        else:
            futures = [(source, executor.submit(_converted, source, to)) for source, to in jobs]
            outcomes = (_outcome(source, future.result) for source, future in futures)
        for done, outcome in enumerate(outcomes, start=1):
            results.append(outcome)
            tell(done / len(jobs))
    return results


def _converted(source: Path, target: Path) -> ConvertedFile:
    # At the top of the module, so that a process pool can find it.
    return _outcome(source, lambda: convert_file(source, target))


def _outcome(source: Path, result: Callable[[], ConvertedFile]) -> ConvertedFile:
    try:
        return result()
    except TwistreamError as error:
        return ConvertedFile(source, None, error=str(error))
    except Exception as error:  # noqa: BLE001  one file, or one dead worker, must not lose the others
        return ConvertedFile(source, None, error=f"{type(error).__name__}: {error}")


def _named(sources: list[Path], folder: Path) -> Iterator[tuple[Path, Path]]:
    taken: set[str] = set()
    for source in sources:
        stem, count = source.stem, 1
        while f"{stem}.wav".casefold() in taken:  # macOS and Windows do not tell A.wav from a.wav
            count += 1
            stem = f"{source.stem}-{count}"
        taken.add(f"{stem}.wav".casefold())
        yield source, folder / f"{stem}.wav"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        is_file = isinstance(error, FileExistsError | NotADirectoryError)
        raise WavError(
            "is a file, not a folder" if is_file else f"cannot be made: {error.strerror or error}",
            source=str(folder),
            consequence="Nothing was converted",
            fix="Name a folder for the results; it is made if it is not there",
        ) from error


def _check_target(source: Path, target: Path) -> None:
    if target.exists() and source.exists() and target.samefile(source):
        raise WavError(
            "source and target are the same file",
            source=str(target),
            consequence="The original would be lost",
            fix="Give another name or folder",
        )
    require_place(target)


@contextmanager
def _told(progress: Progress, title: str) -> Iterator[Callable[[float], object]]:
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda _fraction: None
    else:
        from tqdm.auto import tqdm

        with tqdm(total=100, desc=title, unit="%", bar_format="{l_bar}{bar}| {elapsed}") as bar:
            yield lambda fraction: bar.update(int(100 * fraction) - bar.n)
