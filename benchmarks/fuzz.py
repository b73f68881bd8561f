# ruff: noqa: E501 - a list of bytes
"""Give damaged input to every reader of outside input, and fail when one misbehaves.

python benchmarks/fuzz.py                               one minute, with a new seed
python benchmarks/fuzz.py --seconds 600 --seed 7        longer, or the same inputs again
python benchmarks/fuzz.py --texts 1000000 --sounds 100000 --processes 2
python benchmarks/fuzz.py --seed 7 --one 123 --reader address     one input again

An error that a reader does not document, a warning, a crash, more than a hundred milliseconds of
the processor for 64 kB, or ten seconds for anything is a failure.  Every input depends on the seed
and its number alone, so a failure names the command that repeats it.  The counts go on in steps,
and a run that is interrupted goes on at the step that `--state` holds.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import logging
import multiprocessing
import multiprocessing.connection
import os
import random
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from readers import Reader, list_readers

MOST_BYTES = 65_536
MOST_SECONDS = int(os.environ.get("TWISTREAM_FUZZ_MOST_MS", "100")) / 1000
"""What 64 kB may take of the processor; an input that takes longer is tried again first."""

HANG_SECONDS = 10
MOST_SHOWN = 1000
STEP = 2000
"""How many inputs a process takes at a time."""

TOKENS = [
    b"", b"\0", b"\xff", b"\xed\xa0\xbd", b"\xf0\x9f\x98\x80", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\n",
    b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b"<", b">", b"</", b"/>", b"<!--", b"-->", b"<![CDATA[",
    b"]]>", b"<!DOCTYPE r>", b"&amp;", b"&#0;", b"&", b"=", b";", b":", b",", b"@", b"#", b"#1", b"%",
    b"%00", b"%ud83d", b"+", b"-", b"-1", b"0", b"1e999", b"-1e999", b"NaN", b"Infinity", b"1e-400",
    b"9" * 400, b"9" * 5000, b"true", b"null", b"\\ud83d", b"\\u0000", b"RIFF", b"WAVE", b"fmt ", b"data",
    b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x01\0", b"\xfe\xff", b"\x11\0", b"LIST",
    b"chunked", b"Content-Length: 5\r\n", b"://", b"wss://", b"http://[", b"\x1b[31m", b"\xe2\x80\xae",
    b"\xc2\x85", b"\xe2\x80\xa8", b"xmlns:a=''", b"charset=utf-7", b"boundary=b", b"size\":-5",
    b"\"at\":1e12", b"\"at\":-1", b"\"event\":", b"streamSid", b"\xef\xbb\xbf", b"\x81\x7e", b"\x88\x02\x03\xe8",
]  # fmt: skip


def main() -> None:
    """Run as the arguments say; exit with 1 if there was a failure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, without counts")
    parser.add_argument("--seed", type=int, default=None, help="a new one if not given")
    parser.add_argument("--texts", type=int, default=0, help="so many texts, however long it takes")
    parser.add_argument("--sounds", type=int, default=0, help="so many sound files and payloads")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--reader", default="", help="this reader alone")
    parser.add_argument("--one", type=int, default=None, help="the input of this number alone")
    parser.add_argument("--state", type=Path, default=None, help="a file that keeps what is done")
    wanted = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if wanted.seed is None else wanted.seed
    print(f"seed {seed}", flush=True)
    if wanted.one is not None:
        sys.exit(_repeat(seed, wanted.reader, wanted.one))
    run = Run(seed, wanted.reader, wanted.state)
    if wanted.texts or wanted.sounds:
        steps = run.list_steps({"text": wanted.texts, "sound": wanted.sounds})
        run.work(steps, wanted.processes, float("inf"))
    else:
        run.work(run.list_endless_steps(), wanted.processes, wanted.seconds)
    run.report()
    sys.exit(1 if run.failures else 0)


@dataclass(frozen=True, slots=True)
class Step:
    """Some inputs of one kind, from the first number to before the last."""

    seed: int
    kind: str
    reader: str
    first: int
    last: int

    @property
    def key(self) -> str:
        """What names it in the file of what is done."""
        return f"{self.seed} {self.kind} {self.reader} {self.first} {self.last}"


class Run:
    """One run, over several processes."""

    def __init__(self, seed: int, reader: str, state: Path | None) -> None:
        self.failures: list[str] = []
        self._seed, self._reader, self._state = seed, reader, state
        self._counts = Counter[str]()
        self._slowest: dict[str, tuple[float, int]] = {}
        self._done: dict[str, dict] = {}
        if state is not None and state.exists():
            for line in state.read_text(encoding="utf-8").splitlines():
                kept = json.loads(line)
                self._done[kept["key"]] = kept
        self._began = time.monotonic()

    def list_steps(self, counts: dict[str, int]) -> Iterator[Step]:
        """Yield the steps of so many inputs of each kind."""
        for kind, count in counts.items():
            for first in range(0, count, STEP):
                yield Step(self._seed, kind, self._reader, first, min(first + STEP, count))

    def list_endless_steps(self) -> Iterator[Step]:
        """Yield steps for ever, short ones, of both kinds."""
        first = 0
        while True:
            for kind in ("text", "text", "sound"):
                yield Step(self._seed, kind, self._reader, first, first + 200)
                first += 200

    def work(self, steps: Iterator[Step], processes: int, seconds: float) -> None:
        """Take the steps in several processes, until the time is over."""
        end = self._began + seconds
        context = multiprocessing.get_context("spawn")
        running: dict[int, tuple] = {}
        left = True
        while left or running:
            while left and len(running) < processes:
                step = next(steps, None) if time.monotonic() < end else None
                if step is None:
                    left = False
                elif step.key in self._done:
                    self._add(self._done[step.key])
                else:
                    self._start(context, running, step)
            self._collect(running)

    def _start(self, context, running: dict[int, tuple], step: Step) -> None:
        for worker in self._idle:
            connection, process = worker
            connection.send(step)
            running[id(worker)] = (worker, step)
            self._idle.remove(worker)
            return
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        worker = (ours, process)
        ours.send(step)
        running[id(worker)] = (worker, step)

    @property
    def _idle(self) -> list:
        return self.__dict__.setdefault("_idle_workers", [])

    def _collect(self, running: dict[int, tuple]) -> None:
        connections = [worker[0] for worker, _ in running.values()]
        for connection in multiprocessing.connection.wait(connections, timeout=1.0):
            key = next(key for key, (worker, _) in running.items() if worker[0] is connection)
            worker, step = running.pop(key)
            try:
                done = connection.recv()
            except EOFError:
                worker[1].join()
                self._fail(f"{step.key}: the process ended with {worker[1].exitcode}: see above")
                continue
            self._idle.append(worker)
            self._keep(step, done)

    def _keep(self, step: Step, done: dict) -> None:
        done["key"] = step.key
        self._add(done)
        if self._state is not None:
            with self._state.open("a", encoding="utf-8") as file:
                file.write(json.dumps(done) + "\n")

    def _add(self, done: dict) -> None:
        self._counts.update(done["counts"])
        for name, (seconds, number) in done["slowest"].items():
            if seconds > self._slowest.get(name, (0.0, 0))[0]:
                self._slowest[name] = (seconds, number)
        for failure in done["failures"]:
            self._fail(failure)
        total = sum(self._counts.values())
        if total // 20_000 != (total - sum(done["counts"].values())) // 20_000:
            print(f"{total} inputs, {time.monotonic() - self._began:.0f} s", flush=True)

    def _fail(self, failure: str) -> None:
        self.failures.append(failure)
        if len(self.failures) <= MOST_SHOWN:
            print(f"FAILURE {failure}", flush=True)

    def report(self) -> None:
        """Print the counts, and the slowest input of each reader."""
        for name, count in sorted(self._counts.items()):
            seconds, number = self._slowest.get(name, (0.0, 0))
            print(f"{count:9d}  {name}; the slowest {1000 * seconds:.1f} ms (number {number})")
        kinds = Counter[str]()
        readers = list_readers()
        for name, count in self._counts.items():
            kinds[readers[name].kind] += count
        print(
            f"{kinds['text']} texts and {kinds['sound']} sounds in "
            f"{time.monotonic() - self._began:.0f} s, seed {self._seed}: "
            f"{len(self.failures)} failures"
        )


def _serve(connection) -> None:
    """Take steps from the other end until it closes."""
    _prepare()
    while True:
        try:
            step = connection.recv()
        except EOFError:
            return
        connection.send(take_step(step))


def _prepare() -> None:
    faulthandler.enable()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", module="aiohttp")  # of a part without a name, for example
    gc.freeze()


def take_step(step: Step) -> dict:
    """Give the inputs of a step to the readers in turn."""
    readers = {
        name: reader
        for name, reader in list_readers().items()
        if reader.kind == step.kind and step.reader in ("", name)
    }
    names = list(readers)
    counts, slowest, failures = Counter[str](), {}, []
    for number in range(step.first, step.last) if names else ():
        name = names[number % len(names)]
        raw = make_input(readers[name], step.seed, name, number)
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        seconds, error = try_one(readers[name], raw)
        faulthandler.cancel_dump_traceback_later()
        counts[name] += 1
        if seconds > slowest.get(name, (0.0, 0))[0]:
            slowest[name] = (seconds, number)
        if error:
            failures.append(
                f"{name}, {len(raw)} bytes: {error}\n    again: python benchmarks/fuzz.py "
                f"--seed {step.seed} --reader {name!r} --one {number}"
            )
    return {"counts": dict(counts), "slowest": slowest, "failures": failures}


def try_one(reader: Reader, raw: bytes) -> tuple[float, str]:
    """Return the seconds that the reader took, and what went wrong or nothing."""
    seconds, error = _time(reader, raw)
    for _ in range(4):
        if error or reader.is_own or seconds <= MOST_SECONDS:
            break
        seconds = min(seconds, _time(reader, raw)[0])
    else:
        error = f"it took {1000 * seconds:.0f} ms"
    return seconds, error


def _time(reader: Reader, raw: bytes) -> tuple[float, str]:
    error = ""
    began = time.process_time()
    try:
        reader.read(raw)
    except reader.raises:
        pass
    except Exception as raised:  # noqa: BLE001 - any error is what is looked for
        place = traceback.extract_tb(raised.__traceback__)[-1]
        error = f"{type(raised).__name__}: {str(raised)[:200]!r} at {Path(place.filename).name}:"
        error += str(place.lineno)
    return time.process_time() - began, error


def make_input(reader: Reader, seed: int, name: str, number: int) -> bytes:
    """Return an input that depends on the arguments alone."""
    rng = random.Random(f"{seed} {name} {number}")
    if reader.shapes and rng.random() < 0.03:
        raw = rng.choice(list(reader.shapes.values()))(rng.choice((200, 3000, 64_000)))
    elif not reader.seeds or rng.random() < 0.02:
        raw = rng.randbytes(rng.choice((0, 1, 2, 16, 300, 5000)))
    else:
        raw = rng.choice(reader.seeds)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 5, 10))):
        raw = _mutate(rng, raw, reader)
    return raw[:MOST_BYTES]


def _mutate(rng: random.Random, raw: bytes, reader: Reader) -> bytes:  # noqa: C901 - twelve ways
    place = rng.randrange(len(raw) + 1)
    if reader.kind == "sound" and rng.random() < 0.6:
        place = min(place, rng.randrange(80))  # the header
    end = min(len(raw), place + rng.choice((1, 1, 2, 4, 8, 50, 1000)))
    before, piece, behind = raw[:place], raw[place:end], raw[end:]
    match rng.randrange(12):
        case 0:
            return before + behind
        case 1:
            return before + piece * rng.choice((2, 3, 10, 200)) + behind
        case 2:
            return (
                before + bytes(c ^ (1 << rng.randrange(8)) for c in piece[:4]) + piece[4:] + behind
            )
        case 3:
            return before + rng.choice(TOKENS) + behind
        case 4:
            return before + rng.choice(TOKENS) + piece + behind
        case 5:
            return raw[:place]
        case 6:
            other = rng.choice(reader.seeds or (b"",))
            return before + other[rng.randrange(len(other) + 1) :]
        case 7:
            return before + rng.randbytes(len(piece)) + behind
        case 8:
            number = rng.choice((0, 1, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**32 - 8))
            size = rng.choice((1, 2, 4))
            field = (number & (256**size - 1)).to_bytes(size, rng.choice(("little", "big")))
            return before + field + raw[place + size :]
        case 9:
            return _change_number(rng, raw)
        case 10:
            return _repeat_word(rng, raw)
        case _:
            return before + rng.choice(TOKENS) * rng.choice((1, 2, 50, 2000)) + behind


_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_WORD = re.compile(rb"\"[^\"]{0,200}\"|<[^>]{0,200}>|[^\n]{1,200}\n|\w+")


def _change_number(rng: random.Random, raw: bytes) -> bytes:
    found = list(_NUMBER.finditer(raw[:10_000]))
    if not found:
        return raw
    one = rng.choice(found)
    new = rng.choice(
        (b"0", b"-1", b"1e999", b"NaN", b"1e308", b"99999999999999999999", b"0.5", b'"1"', b"[1]",
         b"null", b"9" * 330, b"9" * 4301, b"100000", b"-0.0", b"1e-320")
    )  # fmt: skip
    return raw[: one.start()] + new + raw[one.end() :]


def _repeat_word(rng: random.Random, raw: bytes) -> bytes:
    found = list(_WORD.finditer(raw[:10_000]))
    if not found:
        return raw
    one, place = rng.choice(found), rng.randrange(len(raw) + 1)
    return raw[:place] + one[0] * rng.choice((1, 1, 2, 30)) + raw[place:]


def _repeat(seed: int, name: str, number: int) -> int:
    """Read one input again, and show it."""
    _prepare()
    reader = list_readers()[name]
    raw = make_input(reader, seed, name, number)
    print(f"{len(raw)} bytes: {raw[:2000]!r}")
    seconds, error = try_one(reader, raw)
    print(f"{1000 * seconds:.1f} ms; {error or 'nothing wrong'}")
    if error and "it took" not in error:
        reader.read(raw)  # for its traceback
    return 1 if error else 0


if __name__ == "__main__":
    main()
