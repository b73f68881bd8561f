"""Ask the package about reported faults that are drawn anew, and grade its answers by program.

python benchmarks/fault_answers.py               the recorded seed
python benchmarks/fault_answers.py --seed 7      another one
python benchmarks/fault_answers.py --only A05    the cases whose name begins so, with their answers

An answer is right if it holds every pattern of `must`; for an input with which nothing is wrong,
if there is no objection at all.  It is confidently wrong if it holds a pattern of `wrong`.  The
answers were written beside the inputs (`fault_set.py`) before the package was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import re
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from fault_set import Case, draw_cases
from measuring import Figure

import twistream_kit as kit

SEED = 2157
"""The recorded seed, chosen when the code was finished."""

Outcome = Literal["right", "missed", "confidently wrong"]

A_FAULT = (
    r"damaged|(?<!Nothing is )cut off|cut short|wrapped|missing|noise from|as text|too short|"
    r"cannot be|joined|another WAV|placeholder"
)
"""What must not be said of a file with which nothing is wrong."""


class Graded(NamedTuple):
    """One case with the package's answer."""

    case: Case
    outcome: Outcome
    answer: str


def ask(case: Case, folder: Path) -> str:
    """Return all that the package says of an input; empty if it objects to nothing."""
    match case.means:
        case "sound":
            frames = [case.content[at : at + 160] for at in range(0, len(case.content), 160)]
            return _say(kit.review_sound(frames))
        case "message" | "twiml":
            return _say(kit.review(case.content.decode()))
        case "text":
            with suppress(LookupError):
                return repr(kit.explain(case.content.decode()))
            return ""
        case "file":
            return _ask_about_file(case, folder)
        case "answer":
            return _ask_about_answer(case)
        case "server":
            return _ask_about_server(case, folder)


def _say(objections: object) -> str:
    return repr(objections) if objections else ""


def _ask_about_file(case: Case, folder: Path) -> str:
    path = folder / f"case{case.suffix}"
    path.write_bytes(case.content)
    said = []
    if case.suffix == ".npy":
        ways = [lambda: kit.Clip.from_samples(np.load(path), 8000)]
    else:
        ways = [lambda: kit.examine(path), lambda: kit.load_clip(path)]
        ways += [lambda: kit.convert_file(path, folder / "converted.wav")]
        if case.suffix == ".wav":
            ways.insert(0, lambda: kit.inspect_wav(path))
    seconds = []
    for way in ways:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                result = way()
            except (kit.TwistreamError, ValueError, TypeError) as error:
                said.append(str(error))
            else:
                said.append(repr(result))
                seconds.append(getattr(result, "seconds", None))
        said += [str(each.message) for each in warned]
    known = [each for each in seconds if each is not None]
    if len(known) > 1 and max(known) - min(known) < 0.03:
        said.append("SAME SECONDS")
    return "\n".join(said)


def _ask_about_answer(case: Case) -> str:
    with _answering(case.content) as port:
        call = _error_of(lambda: kit.simulate_call(f"ws://127.0.0.1:{port}/media").result(60))
        proof = ""
        if case.name.startswith(("D05", "D06", "D07", "D08")):
            proof = _error_of(lambda: _prove(f"http://127.0.0.1:{port}"))
    if proof and not re.search(case.must[0], proof, re.IGNORECASE):
        return f"(the proof of the address says something else: {proof})"
    return f"{call}\n{proof}"


def _prove(url: str) -> None:
    async def prove() -> None:
        async with (
            kit.StreamServer() as server,
            kit.open_tunnel(server, "static", url=url, unsigned=True),
        ):
            pass

    asyncio.run(prove())


def _error_of(run: object) -> str:
    try:
        run()
    except kit.TwistreamError as error:
        return str(error)
    return ""


@contextmanager
def _answering(answer: bytes) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        connection.recv(65536)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def _ask_about_server(case: Case, folder: Path) -> str:
    path = folder / "server.py"
    path.write_bytes(case.content)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    arguments = dict(case.arguments or {})
    if arguments.pop("say", False):
        arguments["say"] = kit.Clip.tone(440, 1.0)

    async def call() -> kit.CallReport:
        process = await asyncio.create_subprocess_exec(sys.executable, str(path), str(port))
        try:
            while not _is_taken(port):  # noqa: ASYNC110 - the server is another program
                await asyncio.sleep(0.05)
            return await kit.simulate_call(f"ws://127.0.0.1:{port}/media", **arguments)
        finally:
            process.kill()
            await process.wait()

    report = asyncio.run(call())
    if report.ok and not report.objections:
        return ""
    ok = "" if report.ok else "\nNOT OK"
    return f"{report!r}\n{json.dumps(report.to_dict())}{ok}"


def _is_taken(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def grade(case: Case, answer: str) -> Outcome:
    """Compare an answer with the right one."""
    if case.is_right:
        fault = re.search(A_FAULT, answer) if case.means == "file" else answer
        return "confidently wrong" if fault else "right"
    if any(re.search(pattern, answer, re.IGNORECASE) for pattern in case.wrong):
        return "confidently wrong"
    found = all(re.search(pattern, answer, re.IGNORECASE) for pattern in case.must)
    return "right" if found else "missed"


def grade_all(cases: list[Case]) -> Iterator[Graded]:
    """Ask about each case in a folder of its own."""
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            answer = ask(case, Path(folder))
        yield Graded(case, grade(case, answer), answer)


def measure(*, tiny: bool) -> list[Figure]:
    """Grade all cases of the recorded seed; a tiny run grades those that take no time."""
    cases = draw_cases(SEED)
    if tiny:
        cases = [case for case in cases if case.means in ("text", "twiml", "message")]
    graded = list(grade_all(cases))
    for each in graded:
        if each.outcome != "right":
            print(f"{each.outcome}: {each.case.name}")
    faults = [each for each in graded if not each.case.is_right]
    share = sum(each.outcome == "right" for each in faults) / len(faults)
    wrong = sum(each.outcome == "confidently wrong" for each in graded)
    return [
        Figure(
            f"{len(faults)} reported faults drawn anew (seed {SEED}): answered rightly",
            f"{share:.1%}", ">= 90 %", share >= 0.9,
        ),
        Figure("… and answered wrongly as if known, or a right input objected to",
               f"{wrong} of {len(graded)}", "0", wrong == 0),
    ]  # fmt: skip


def main() -> int:
    """Grade the cases of a seed, and print what was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", default="", metavar="NAME")
    asked = parser.parse_args()
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, line_buffering=True)
    cases = [case for case in draw_cases(asked.seed) if case.name.startswith(asked.only)]
    graded = []
    for each in grade_all(cases):
        graded.append(each)
        print(f"{each.outcome:17}  {each.case.name}")
        if asked.only or each.outcome != "right":
            print(*(f"    | {line}" for line in each.answer.splitlines()), sep="\n")
    for outcome in ("right", "missed", "confidently wrong"):
        print(f"{outcome}: {sum(each.outcome == outcome for each in graded)} of {len(graded)}")
    return int(any(each.outcome != "right" for each in graded))


if __name__ == "__main__":
    sys.exit(main())
