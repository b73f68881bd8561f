"""Readers of outside input hold against damaged input, and so do the tools that find this out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import fuzz
import parsers
import pytest
import soak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readers import Reader, list_readers

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def run(program, *args):
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / program), *args],
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip


# The readers


@pytest.mark.slow
def test_no_reader_misbehaves_in_about_a_minute(monkeypatch):
    """The same inputs each time, and no durations: those, and new inputs, are `make fuzz`'s."""
    monkeypatch.setenv("TWISTREAM_FUZZ_MOST_MS", "5000")
    done = run("fuzz.py", "--seed", "2157", "--texts", "40000", "--sounds", "2000")
    assert done.returncode == 0, done.stdout[-5000:]
    assert "40000 texts and 2000 sounds in " in done.stdout
    assert re.search(r"seed 2157: 0 failures", done.stdout)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
FIELDS = ["event", "streamSid", "media", "mark", "name", "payload", "start", "sequenceNumber"]
MESSAGE = st.dictionaries(st.sampled_from(FIELDS), JSON).map(
    lambda fields: {"event": "media", **fields}
)
ROW = st.fixed_dictionaries(
    {},
    optional={
        "at": st.floats() | JSON,
        "from": st.sampled_from(["twilio", "server"]) | JSON,
        "size": st.integers() | JSON,
        "message": MESSAGE | JSON,
        "status": JSON,
        "odd": JSON,
        "oddBytes": JSON,
        "endings": JSON,
    },
)
HEADER = st.fixed_dictionaries(
    {"format": st.just("twistream-capture"), "version": st.just(1)},
    optional={"streamSid": JSON, "callSid": JSON, "keepSeconds": JSON, "redacted": JSON},
)


def as_lines(rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


INPUTS = {
    "capture": st.builds(lambda header, rows: as_lines([header, *rows]), HEADER, st.lists(ROW)),
    "review of a file": st.builds(as_lines, st.lists(MESSAGE | JSON, min_size=1)),
    "message of Twilio": MESSAGE.map(lambda message: json.dumps(message).encode()),
    "message to Twilio": MESSAGE.map(lambda message: json.dumps(message).encode()),
    "review of a message": MESSAGE.map(lambda message: json.dumps(message).encode()),
    "JSON body": JSON.map(lambda value: json.dumps(value).encode()),
}
"""Inputs by the grammar of a reader; the others get any text or bytes."""


@pytest.mark.slow
@pytest.mark.parametrize("name", list_readers())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_reader_raises_only_what_it_documents(name, data):
    reader = list_readers()[name]
    anything = st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
    raw = data.draw(INPUTS.get(name, anything) | anything)
    _, error = fuzz.try_one(reader, raw)
    assert error == ""


@pytest.mark.parametrize("name", list_readers())
def test_reader_takes_its_examples(name):
    for raw in list_readers()[name].seeds:
        _, error = fuzz.try_one(list_readers()[name], raw)
        assert error == ""


# The tools


def burn(rounds):
    total = 0
    for number in range(rounds):
        total += number
    return total


def test_quadratic_reader_is_found():
    def read(raw):
        burn(len(raw) ** 2 // 100)

    assert parsers.grow(Reader(read), lambda size: b"a" * size).is_too_fast


@pytest.mark.parametrize("power", [0, 1])
def test_reader_that_is_linear_or_better_is_not_blamed(power):
    def read(raw):
        burn(20 * len(raw) ** power)

    assert not parsers.grow(Reader(read), lambda size: b"a" * size).is_too_fast


def test_undocumented_error_is_a_failure_and_a_documented_one_is_not():
    def read(raw):
        raise KeyError(raw)

    assert "KeyError" in fuzz.try_one(Reader(read), b"a")[1]
    assert fuzz.try_one(Reader(read, (LookupError,)), b"a")[1] == ""


def test_input_that_takes_long_is_a_failure():
    def read(_):
        end = time.process_time() + 1.5 * fuzz.MOST_SECONDS
        while time.process_time() < end:
            pass

    assert "it took" in fuzz.try_one(Reader(read), b"a")[1]
    assert fuzz.try_one(Reader(read, is_own=True), b"a")[1] == ""


def test_inputs_depend_on_seed_and_number_alone():
    reader = list_readers()["TwiML"]
    made = [fuzz.make_input(reader, 1, "TwiML", number) for number in range(200)]
    assert made == [fuzz.make_input(reader, 1, "TwiML", number) for number in range(200)]
    assert made != [fuzz.make_input(reader, 2, "TwiML", number) for number in range(200)]
    assert len(set(made)) > 150
    assert max(map(len, made)) <= fuzz.MOST_BYTES


@pytest.mark.slow
def test_counted_run_goes_on_where_it_was_stopped(tmp_path):
    counts = ("--texts", "300", "--sounds", "40", "--seed", "5", "--state", str(tmp_path / "done"))
    first, again = run("fuzz.py", *counts), run("fuzz.py", *counts)
    assert first.returncode == again.returncode == 0, first.stdout
    assert "300 texts and 40 sounds" in first.stdout
    assert "300 texts and 40 sounds" in again.stdout
    assert len((tmp_path / "done").read_text().splitlines()) == 2  # steps; none was taken twice


@pytest.mark.slow
def test_failure_names_the_command_that_repeats_it():
    done = run("fuzz.py", "--seed", "5", "--reader", "TwiML", "--one", "7")
    assert done.returncode == 0, done.stdout
    assert "nothing wrong" in done.stdout


def test_slope_of_memory_is_that_of_the_line():
    assert soak.find_slope([(0.0, 10.0), (1.0, 10.5), (2.0, 11.0)]) == pytest.approx(0.5)
    assert soak.find_slope([(0.0, 10.0)]) == 0.0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_short_soak_ends_all_calls_well_and_says_the_memory_of_both():
    done = run("soak.py", "--minutes", "0.4", "--calls", "3")
    assert done.stderr == ""
    assert re.search(r"[1-9]\d* calls ended well\n0 failed\n", done.stdout)
    assert re.search(r"server: [+-]\d+\.\d\d MB a minute", done.stdout)
    assert re.search(r"simulator: [+-]\d+\.\d\d MB a minute", done.stdout)
