"""The code that errors and findings print as a fix runs, and what was refused is then done.

Only fixes with code in them are looked at; all other words are for a person, who has to look at a
network, an account or another program.
"""

from __future__ import annotations

import base64
import io
import os
import pathlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import twistream_kit as kit
from support.following import STREAM, find_code, run
from support.printed_fixes import PrintedFix, assert_all_are_listed, find_printed_fixes

SAMPLES = Path(__file__).parents[1] / "sample_audio"
GREETING = SAMPLES / "greeting.wav"

CODE = re.compile(r"[\w.]+\([^)]*\)(?<!\(s\))|\w=['\[…]|<[A-Z]\w+>")


@contextmanager
def running(thing: Any) -> Iterator[Any]:
    yield kit.start(thing)
    kit.stop(thing)


def refuse_file_as_payload(_: Path) -> Any:
    kit.to_twilio.Media(STREAM, GREETING.read_bytes())


def send_payload(fix: str, _: Path) -> None:
    made = run(find_code(fix)[0], path=GREETING)
    kit.to_twilio.Media(STREAM, getattr(made, "payload", made))


def make_file_of_sound(kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, VOICE, RATE, format=kind)
    return file.getvalue()


def say_an_mp3_file(_: Path) -> Any:
    kit.simulate_call("ws://127.0.0.1:9/media", say=make_file_of_sound("MP3"))


def say_base64(_: Path) -> Any:
    payload = kit.load_clip(GREETING).payload
    kit.simulate_call("ws://127.0.0.1:9/media", say=base64.b64encode(payload))


def say_what_it_stands_for(fix: str, _: Path) -> None:
    (code,) = re.findall(r"[\w.]+\(payload\)", fix)
    payload = kit.load_clip(GREETING).payload
    decoded = run(code, payload=base64.b64encode(payload), base64=base64)
    assert decoded == payload
    error = kit.simulate_call("ws://127.0.0.1:9/media", say=decoded).exception(60)
    assert isinstance(error, kit.CallRefused)


def refuse_file_as_clip(_: Path) -> Any:
    kit.Clip(GREETING.read_bytes())


def load_source(fix: str, _: Path) -> None:
    assert run(find_code(fix)[0], source=GREETING.read_bytes()).seconds > 1


def refuse_bare_sound(folder: Path) -> Any:
    (folder / "sound.wav").write_bytes(bytes(range(128, 256)) * 40)
    kit.load_clip(folder / "sound.wav")


def load_bare_sound(fix: str, folder: Path) -> None:
    assert run(find_code(fix)[0], source=folder / "sound.wav").seconds > 0.5


def refuse_path(_: Path) -> Any:
    kit.StreamServer(path="media")


def make_with_path(fix: str, _: Path) -> None:
    run(f"kit.StreamServer({re.search(r'path=.*', fix)[0]})")


def ask_for_a_port(_: Path) -> Any:
    return kit.StreamServer().port


def start_server(fix: str, _: Path) -> None:
    server = kit.StreamServer()
    try:
        assert run(find_code(fix)[0], server=server).port
    finally:
        kit.stop(server)


def ask_for_a_client(_: Path) -> Any:
    return kit.SimulatedTwilio().client


def listen_elsewhere(_: Path) -> Any:
    kit.start(kit.StreamServer(host="192.0.2.1"))  # an address of nobody's (RFC 5737)


def listen_here(fix: str, _: Path) -> None:
    with running(kit.StreamServer(**run(f"dict({fix.split()[1].rstrip(',')})"))) as server:
        assert server.port


def wait_in_vain(_: Path) -> Any:
    with running(kit.StreamServer()) as server:
        server.next_stream().result(0)


def simulate_and_wait(fix: str, _: Path) -> None:
    with running(kit.StreamServer()) as server:
        run(find_code(fix)[-1], server=server)
        assert server.next_stream().result(30).is_open


def use_like_its_result(_: Path) -> Any:
    kit.simulate_call("ws://127.0.0.1:9/media").ok  # noqa: B018 - it raises


def take_out_of_it(fix: str, _: Path) -> None:
    with running(kit.StreamServer()) as server:
        pending = kit.simulate_call(server.url, seconds=0.1)
        (call,) = re.findall(r"\.result\(\d+\)", fix)
        assert run(f"pending{call}", pending=pending).ending


def start_twilio(fix: str, _: Path) -> None:
    twilio = run(find_code(fix)[0])
    try:
        assert twilio.client
    finally:
        kit.stop(twilio)


def open_without_a_token(_: Path) -> Any:
    kit.open_tunnel(kit.StreamServer())


def open_with_a_token(fix: str, _: Path) -> None:
    code = re.search(r"\w+\(auth_token=…\)", fix)[0]
    server = run(f"kit.{code}", fill={"auth_token": "0" * 32})
    kit.open_tunnel(server, "static", url="https://example.com")


def open_to_an_application(_: Path) -> Any:
    app = kit.StreamApp(auth_token="0" * 32, public_url="https://example.com")
    kit.open_tunnel(app, "static", url="https://example.com")


def give_its_address(fix: str, _: Path) -> None:
    code = re.search(r"StreamApp\(.*?\)", fix)[0].replace("…, ", "auth_token='0', ")
    app = run(f"kit.{code.replace('…', 'example.com/voice')}")
    assert app.stream_url == "wss://example.com/voice/media"


def ask_the_environment(_: Path) -> Any:
    kit.client_from_environment()


def ask_for_the_sid(_: Path) -> Any:
    return kit.settings().account_sid


def say_a_file(_: Path) -> Any:
    kit.simulate_call("ws://127.0.0.1:9/media", say=GREETING.read_bytes())


def say_a_clip(fix: str, _: Path) -> None:
    # Nobody listens there: what is refused before the call is not refused any more.
    clip = run(find_code(fix)[0], path=GREETING)
    error = kit.simulate_call("ws://127.0.0.1:9/media", say=clip).exception(60)
    assert isinstance(error, kit.CallRefused)


def use_the_simulator(fix: str, _: Path) -> None:
    with running(run(find_code(fix)[0])) as twilio:
        assert twilio.client


def refuse_host(_: Path) -> Any:
    kit.StreamServer(host=" ")


def make_with_host(fix: str, _: Path) -> None:
    hosts = re.findall(r"host='[\d.]+'", fix)
    assert len(hosts) == 2
    for host in hosts:
        run(f"kit.StreamServer({host})")


def read_as(encoding: str) -> bytes:
    """Return a file that was read as text of this encoding, and written as UTF-8."""
    return GREETING.read_bytes().decode(encoding, "replace").encode()


def refuse_utf_8(_: Path) -> Any:
    kit.load_clip(read_as("utf-8"))


def refuse_latin_1(_: Path) -> Any:
    kit.load_clip(read_as("latin-1"))


def load_bytes(fix: str, _: Path) -> None:
    made = run(find_code(fix)[0], path=GREETING)
    with made:
        assert kit.load_clip(made.read()) == kit.load_clip(GREETING.read_bytes())


def restore_and_load(fix: str, _: Path) -> None:
    (code,) = (each for each in find_code(fix) if each.startswith("raw."))
    restored = run(code, raw=read_as("latin-1"))
    assert restored == GREETING.read_bytes()
    assert kit.load_clip(restored).seconds > 1


def refuse_pipe(folder: Path) -> Any:
    if not hasattr(os, "mkfifo"):
        pytest.skip("pipes have no names here")
    os.mkfifo(folder / "pipe.wav")
    kit.load_clip(folder / "pipe.wav")


def read_pipe(fix: str, folder: Path) -> None:
    pipe = folder / "pipe.wav"
    writer = threading.Thread(target=pipe.write_bytes, args=(GREETING.read_bytes(),))
    writer.start()
    assert kit.load_clip(run(find_code(fix)[0], path=pipe)).seconds > 1
    writer.join()


EPOCH = 1_700_000_000.0


def make_capture(started: float) -> kit.Capture:
    """Return a capture of two frames, with the times of a clock."""
    capture = kit.Capture(STREAM, "CA" + "1" * 32, started=started)
    for number in (0, 1):
        message = kit.from_twilio.Media(STREAM, b"\x21" * 160, number, "inbound", number + 1)
        capture.append(message, EPOCH + 0.02 * number)
    return capture


def refuse_times(_: Path) -> Any:
    return make_capture(0.0).caller


def subtract_start(fix: str, _: Path) -> None:
    (name,) = re.findall(r"Capture\((\w+)=…\)", fix)
    assert make_capture(**{name: EPOCH}).caller.seconds < 1


FLOATS = (kit.Clip.dtmf("5").samples() / 32768).astype(np.float32)


def find_tones_of_a_file(folder: Path) -> Any:
    kit.find_tones(kit.Clip.dtmf("5").save(folder / "keys.wav", overwrite=True).read_bytes())


def find_tones_of_a_path(folder: Path) -> Any:
    kit.find_tones(str(kit.Clip.dtmf("5").save(folder / "keys.wav", overwrite=True)))


def find_tones_of_floats(folder: Path) -> Any:
    kit.Clip.dtmf("5").save(folder / "keys.wav", overwrite=True)
    kit.find_tones(FLOATS)


def find_tones_as_it_says(fix: str, folder: Path) -> None:
    names = {"path": folder / "keys.wav", "samples": FLOATS, "sample_rate": 8000}
    (tone,) = kit.find_tones(run(find_code(fix)[0], **names))
    assert tone.key == "5"


def feed_a_path(folder: Path) -> Any:
    kit.ToneDetector().feed(str(kit.Clip.dtmf("5").save(folder / "keys.wav", overwrite=True)))


def feed_floats(_: Path) -> Any:
    kit.ToneDetector().feed(FLOATS)


def feed_its_payload(fix: str, folder: Path) -> None:
    names = {"path": folder / "keys.wav", "samples": FLOATS, "sample_rate": 8000}
    (attribute,) = re.findall(r"takes its \.(\w+)", fix)
    detector = kit.ToneDetector()
    found = detector.feed(getattr(run(find_code(fix)[0], **names), attribute))
    (tone,) = [*found, *detector.finish()]
    assert tone.key == "5"


ERRORS: list[tuple[str, Callable[[Path], Any], Callable[[str, Path], None]]] = [
    ("sound_file", refuse_file_as_payload, send_payload),
    ("audio.clip", refuse_file_as_clip, load_source),
    ("sound_file", refuse_bare_sound, load_bare_sound),
    ("live.server.addresses", refuse_path, make_with_path),
    ("live.server.addresses", ask_for_a_port, start_server),
    ("live.server.addresses", listen_elsewhere, listen_here),
    ("live.server.stream_list", wait_in_vain, simulate_and_wait),
    ("pending", use_like_its_result, take_out_of_it),
    ("simulator.twilio", ask_for_a_client, start_twilio),
    ("live.tunnel.tunnel", open_without_a_token, open_with_a_token),
    ("live.tunnel.tunnel", open_to_an_application, give_its_address),
    ("live.settings.settings", ask_the_environment, use_the_simulator),
    ("live.settings.settings", ask_for_the_sid, use_the_simulator),
    ("sound_file", say_a_file, say_a_clip),
    ("sound_file", say_an_mp3_file, say_a_clip),
    ("diagnosis.payload", say_base64, say_what_it_stands_for),
    ("live.server.addresses", refuse_host, make_with_host),
    ("audio.damage", refuse_utf_8, load_bytes),
    ("audio.damage", refuse_latin_1, restore_and_load),
    ("sound_file", refuse_pipe, read_pipe),
    ("capture.replay", refuse_times, subtract_start),
    ("audio.tone_detector", find_tones_of_a_file, find_tones_as_it_says),
    ("audio.tone_detector", find_tones_of_a_path, find_tones_as_it_says),
    ("audio.tone_detector", find_tones_of_floats, find_tones_as_it_says),
    ("audio.tone_detector", feed_a_path, feed_its_payload),
    ("audio.tone_detector", feed_floats, feed_its_payload),
]
"""Where an error is raised, what raises it, and what does as its fix says."""

VOICE, RATE = soundfile.read(SAMPLES / "greeting.wav")
VOICE = VOICE.mean(axis=1) if VOICE.ndim > 1 else VOICE
LEVEL = VOICE * 0.6 / np.abs(VOICE).max()

FINDINGS: list[tuple[str, np.ndarray]] = [
    ("level", LEVEL * 0.05),
    ("level", np.clip(LEVEL * 1.6, -1, 1)),
    ("level", np.where(np.arange(len(LEVEL)) == len(LEVEL) // 2, 0.9, LEVEL * 0.05)),
    ("clipping", np.clip(LEVEL * 9, -0.99, 0.99)),
    ("offset", LEVEL * 0.6 + 0.06),
    ("channels", np.stack([LEVEL, -0.9 * LEVEL], axis=1)),
    ("silence", np.concatenate([np.zeros(RATE * 4), LEVEL, np.zeros(RATE * 4)])),
]


def read_error(_: str, fails: Callable[[Path], Any], folder: Path) -> kit.TwistreamError:
    with pytest.raises(kit.TwistreamError) as caught:
        fails(folder)
    return caught.value


@pytest.mark.parametrize(("module", "fails", "follow"), ERRORS)
def test_code_that_an_error_prints_does_what_was_refused(
    module, fails, follow, tmp_path, nothing_set
):
    follow(read_error(module, fails, tmp_path).fix, tmp_path)


def examine(path: Path, name: str) -> list[Any]:
    return [
        each
        for each in kit.examine(path).findings
        if each.subject == name and each.severity != "ok" and CODE.search(each.fix)
    ]


@pytest.mark.parametrize(("name", "samples"), FINDINGS)
def test_code_that_a_finding_prints_removes_it(name, samples, tmp_path):
    path = tmp_path / "sound.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    (finding,) = examine(path, name)
    code = re.findall(r"`([^`]*)`", finding.fix)[-1]
    samples, rate = soundfile.read(path)
    if "after compressing it" in finding.fix:
        samples = np.clip(samples, -0.1, 0.1)
    clip = run(code, samples=samples, rate=rate, path=path)
    clip.save(tmp_path / "mended.wav")
    assert examine(tmp_path / "mended.wav", name) == []


def write_wrapped(path: Path) -> dict[str, Any]:
    samples = LEVEL * 3
    whole = (samples * 32767).astype(np.int64).astype(np.int16)
    soundfile.write(path, whole, RATE, subtype="PCM_16")
    return {"samples": samples}


def write_joined(path: Path) -> dict[str, Any]:
    files = [SAMPLES / "greeting.wav", SAMPLES / "question.wav"]
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    return dict(zip("ab", files, strict=True))


def write_in_text_mode(path: Path) -> dict[str, Any]:
    path.write_bytes((SAMPLES / "greeting.wav").read_bytes().replace(b"\n", b"\r\n"))
    return {"pathlib": pathlib, "path": path}


DAMAGES: list[tuple[str, Callable[[Path], dict[str, Any]]]] = [
    ("clipping", write_wrapped),
    ("files", write_joined),
    ("noise", write_in_text_mode),
]
"""Findings whose fix needs what the file was made of, which `names` holds."""


def save_twice(folder: Path, **options: Any) -> None:
    for _ in range(2):
        kit.Clip.tone(440, 0.1).save(folder / "sound.wav", **options)


def test_a_file_is_replaced_with_the_option_that_the_error_names(tmp_path):
    with pytest.raises(kit.TwistreamError) as caught:
        save_twice(tmp_path)
    (option,) = re.findall(r"\w+=True", caught.value.fix)
    save_twice(tmp_path, **eval(f"dict({option})"))


INT16 = (LEVEL * 32767).astype(np.int16)

WRONG_SCALES: dict[str, np.ndarray] = {
    "floats like int16": INT16.astype(np.float64),
    "floats like 24 bits": np.rint(LEVEL * 2**23),
    "floats like 32 bits": np.rint(LEVEL * 2**31),
    "int8": (INT16 >> 8).astype(np.int8),
    "uint8": ((INT16 >> 8) + 128).astype(np.uint8),
    "uint16": (INT16.astype(int) + 32768).astype(np.uint16),
    "int32 like int16": INT16.astype(np.int32),
    "int32 of 24 bits": INT16.astype(np.int32) << 8,
    "int32": INT16.astype(np.int32) << 16,
}
"""What `Clip.from_samples` refuses, always the same sound."""


@pytest.mark.parametrize("name", WRONG_SCALES)
def test_samples_that_are_refused_are_right_once_scaled_as_the_error_says(name):
    samples = WRONG_SCALES[name]
    with pytest.raises((TypeError, ValueError)) as caught:
        kit.Clip.from_samples(samples, RATE)
    fix = str(caught.value).removesuffix(".").rpartition(": ")[2].partition(" for ")[0]
    if division := re.match(r"divide by (\d+)", fix):
        fix = f"samples / {division[1]}"
    made = kit.decode_ulaw(kit.Clip.from_samples(run(fix, samples=samples), RATE).payload)
    right = kit.decode_ulaw(kit.Clip.from_samples(INT16, RATE).payload)
    assert np.corrcoef(made, right)[0, 1] > 0.99
    assert made.std() == pytest.approx(right.std(), rel=0.02)


@pytest.mark.parametrize(("name", "write"), DAMAGES)
def test_code_that_a_finding_prints_removes_it_from_what_is_made_of_the_source(
    name, write, tmp_path
):
    names = write(tmp_path / "sound.wav")
    (finding,) = examine(tmp_path / "sound.wav", name)
    made = run(re.findall(r"`([^`]*)`", finding.fix)[-1], **names)
    if isinstance(made, np.ndarray):
        soundfile.write(tmp_path / "mended.wav", made, RATE)
    elif isinstance(made, bytes):
        (tmp_path / "mended.wav").write_bytes(made)
    else:
        made.save(tmp_path / "mended.wav")
    found = kit.examine(tmp_path / "mended.wav").findings
    assert [each for each in found if each.subject == name and each.severity != "ok"] == []


def find_codes() -> list[PrintedFix]:
    """Return the fixes with code; `test_fixes` has those of objections, also of their tables."""
    fixes = find_printed_fixes()
    of_objections = {(fix.module, fix.text) for fix in fixes if fix.made == "Objection"}
    return [
        fix
        for fix in fixes
        if (fix.module, fix.text) not in of_objections and CODE.search(fix.text)
    ]


_STARTED_ANEW = "it is a running thing of the user's that is to be started again: `…` is its name"
_NO_ACCOUNT = "it asks for an account: no program of ours has one"
_PUBLIC = "a public address has to lead to this machine"
_ANOTHER_CALL = "another call has to come first; what it names is followed where calls are tested"
_ANOTHER_SERVER = "`test_printed_fix_works` of cases/test_d_answers.py follows it with a server"
_FOR_A_PERSON = "the code shows a person where to look, or names what is not to be done"
_ITS_PLACE = "it is followed where it is raised: in a kernel, a test plugin or a thread of its own"

_OF_A_NAME = "tests/test_pending_subject.py: what is meant depends on the name"

NOT_APPLIED: dict[str, dict[str, str]] = {
    "audio.examination": {
        "Check the recording; `kit.plot_waveform(kit.load_clip(path))` shows it": _FOR_A_PERSON,
        "Send kit.load_clip(path).payload": "a file with a header is right as a file",
    },
    "simulator._load_run": {
        "Give an Executor of concurrent.futures, such as ProcessPoolExecutor(2)": (
            "tests/simulator/test_load.py makes calls with one"
        ),
    },
    "diagnosis._answer_pages": {
        "Host the server elsewhere": _PUBLIC,
        "Use another tunnel": _PUBLIC,
    },
    "diagnosis._turn_reasons": {
        "Let the caller listen() before it hangs up": "the script or the length is the user's",
    },
    "diagnosis.http_answer": {
        "Add None to the origins": _ANOTHER_SERVER,
        "Compare three things": _ANOTHER_SERVER,
        "If Twilio's signature is meant": _ANOTHER_SERVER,
        "If it is the signature that was refused": _ANOTHER_SERVER,
        "If the server checks X-Twilio-Signature": _ANOTHER_SERVER,
    },
    "errors": {"Start it again with kit.start(server)": _STARTED_ANEW},
    "live.calls.call": {"call.refresh() asks for its status": _ANOTHER_CALL},
    "live.calls.status": {
        "Look at the TwiML and at the account's type": _NO_ACCOUNT,
        "See that the public address leads to this server": _PUBLIC,
    },
    "live.dialling.number_route": {
        "Make it with StreamServer(auth_token=…)": _NO_ACCOUNT,
        "Open a tunnel first": _PUBLIC,
    },
    "live.dialling.place": {"Open a tunnel first": _PUBLIC},
    "live.preflight._account": {
        "Set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN": _NO_ACCOUNT,
        "Upgrade the account, or practise with kit.SimulatedTwilio()": _NO_ACCOUNT,
        "With an API key say Client(": _NO_ACCOUNT,
    },
    "live.preflight._address": {
        "Make it with StreamServer(auth_token=…)": _NO_ACCOUNT,
        "Open a tunnel again": _PUBLIC,
    },
    "live.process.server_process": {"Start it with kit.start(…)": _STARTED_ANEW},
    "live.server.admission": {"Say for example allowed_hosts=": "the hosts are an example"},
    "live.tunnel._provider": {"Say url='https://…'": _PUBLIC},
    "live.tunnel._ssh": {"Say ssh='user@host'": _PUBLIC},
    "live.tunnel.tunnel": {"Make it with open_tunnel(…)": _PUBLIC},
    "notebook.runtime.background": {
        "Running: ": _FOR_A_PERSON,
        "Start it again with kit.start(…), and give url_of": _STARTED_ANEW,
    },
    "notebook.runtime.loop": {
        "Install nest-asyncio2": _ITS_PLACE,
        "Restart the kernel": _ITS_PLACE,
        "Start everything again with kit.start(…)": _STARTED_ANEW,
    },
    "notebook.widgets.phone_pages": {"Give the phone its server": _ANOTHER_CALL},
    "notebook.widgets.workbench": {"Use the newest workbench of the server": _STARTED_ANEW},
    "pending": {
        "Did you mean .result(10)": _OF_A_NAME,
        "Enter it with `async with` or kit.start(…)": _STARTED_ANEW,
        "Pickle its result": "tests/test_pending.py: the result is the user's",
        "Say .result(10) or await it to wait": _OF_A_NAME,
        "The {} comes with .result(10)": _OF_A_NAME,
    },
    "protocol.conversation": {"Wait for the next one": _ANOTHER_CALL},
    "protocol.twiml": {"Pass one short token by <Parameter>": _FOR_A_PERSON},
    "simulator._own_thread": {"Raise an Exception in the code": _FOR_A_PERSON},
    "simulator.phone": {
        "For a person, set it before the call": _ANOTHER_CALL,
        "Wait until it is in a call": _ANOTHER_CALL,
    },
    "simulator.pytest_plugin": {"Use `report = await": _ITS_PLACE},
    "simulator.rest.account": {"twilio.verify(number)": _ANOTHER_CALL},
    "simulator.rest.http_client": {"Use kit.place_call(…)": _ITS_PLACE},
    "simulator.stream.handshake": {"Pass values as <Parameter>": _ANOTHER_CALL},
    "sound_file": {"Add clips instead of files": _FOR_A_PERSON},
}
"""The fixes with code that no test here runs, by module and by how they begin, and why."""


def test_every_code_in_a_fix_is_run_or_has_a_reason(tmp_path, nothing_set):
    printed = [(module, read_error(module, fails, tmp_path).fix) for module, fails, _ in ERRORS]
    for name, samples in FINDINGS:
        path = tmp_path / "sound.wav"
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        printed += [("audio.examination", each.fix) for each in examine(path, name)]
    for name, write in DAMAGES:
        write(path)
        printed += [("audio.examination", each.fix) for each in examine(path, name)]
    fixes = find_codes()
    covered = {
        fix
        for module, text in printed
        for fix in fixes
        if fix.module == module and fix.pattern.fullmatch(text)
    }
    assert_all_are_listed(fixes, covered, NOT_APPLIED)
