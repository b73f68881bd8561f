"""The command line: what it prints where, and its exit codes."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from contextlib import contextmanager, suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest
import soundfile
from websockets.sync.server import serve

import twistream_kit as kit
from support.captures import capture_of
from support.reports import report_of
from support.waiting import LIMIT_SECONDS
from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.cli import main
from twistream_kit.commands import call, review
from twistream_kit.listing import Series
from twistream_kit.pending import Pending, fulfil
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.signature import sign
from twistream_kit.simulator.caller import CallerAct
from twistream_kit.simulator.fault_report import FaultReport, FaultRow
from twistream_kit.simulator.stream.pacer import LatenessReport

SAMPLES = Path(__file__).parents[1] / "sample_audio"
QUESTION, GREETING = str(SAMPLES / "question.wav"), str(SAMPLES / "greeting.wav")
SID = "MZ" + "0" * 32
CLEAR = json.dumps({"event": "clear", "streamSid": SID})
WRONG = json.dumps({"event": "media", "streamSid": SID, "media": {"playload": "/////w=="}})


@pytest.fixture
def run(capsys):
    """Run a command; return its exit code, what it printed, and its errors."""

    def run_it(*argv):
        code = main([str(part) for part in argv])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run_it


def process(*argv, **options):
    command = [sys.executable, "-m", "twistream_kit", *map(str, argv)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, **options)


@contextmanager
def server(key="payload", seen=None):
    """A server of one's own: it plays 0.1 s, marks the end, and listens."""

    def handle(socket):
        if seen is not None:
            seen.append(socket.request.headers)
        for text in socket:
            message = json.loads(text)
            if seen is not None and message["event"] != "media":
                seen.append(message)
            if message["event"] == "start":
                sid = message["streamSid"]
                content = {key: b64encode(b"\x21" * 800).decode()}
                socket.send(json.dumps({"event": "media", "streamSid": sid, "media": content}))
                socket.send(
                    json.dumps({"event": "mark", "streamSid": sid, "mark": {"name": "end"}})
                )

    with serve(handle, "127.0.0.1", 0, compression=None) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{running.socket.getsockname()[1]}/media"
        finally:
            running.shutdown()
            thread.join(LIMIT_SECONDS)


# inspect


def test_inspect_shows_the_header_and_the_verdict_of_a_file_that_is_ready(run):
    code, out, err = run("inspect", QUESTION)
    assert (code, err) == (0, "")
    assert "52 49 46 46" in out
    assert "ready, once the first 58 bytes are left out" in out


def test_inspect_of_a_file_that_is_not_ready_ends_with_1(run):
    code, out, _ = run("inspect", QUESTION, GREETING)
    assert code == 1
    assert out.count("offset") == 2
    assert "a call takes 8000 Hz" in out


def test_inspect_goes_on_after_a_file_that_is_no_wav(run, tmp_path):
    text = tmp_path / "text.wav"
    text.write_text("<html>404</html>")
    code, out, err = run("inspect", text, QUESTION)
    assert code == 1
    assert "HTML" in err
    assert "ready, once" in out


def test_inspect_of_a_missing_file_is_a_usage_error_that_names_the_nearest(run):
    code, out, err = run("inspect", SAMPLES / "greting.wav")
    assert (code, out) == (2, "")
    assert "there is no such file" in err
    assert "greeting.wav" in err


def test_inspect_of_a_folder_is_a_usage_error(run, tmp_path):
    code, _, err = run("inspect", tmp_path)
    assert code == 2
    assert "is a folder" in err


# convert


def test_convert_writes_what_a_call_takes(run, tmp_path):
    code, out, err = run("convert", GREETING, "-o", tmp_path / "new")
    assert (code, err) == (0, "")
    assert out == f"{GREETING} -> {tmp_path / 'new' / 'greeting.wav'}: 4.21 s\n"
    info = soundfile.info(tmp_path / "new" / "greeting.wav")
    assert (info.samplerate, info.channels, info.subtype) == (8000, 1, "ULAW")


def test_convert_does_the_others_when_one_cannot_be_read(run, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"{}")
    code, out, err = run("convert", bad, QUESTION, "-o", tmp_path / "new")
    assert code == 1
    assert "bad.wav" in err
    assert "question.wav: 4.21 s" in out
    assert run("convert", tmp_path / "missing.wav", "-o", tmp_path / "new")[0] == 2


def test_convert_says_how_much_a_file_lacks_that_is_cut_off(run, tmp_path):
    (tmp_path / "short.wav").write_bytes(Path(QUESTION).read_bytes()[:-8000])
    code, out, _ = run("convert", tmp_path / "short.wav", "-o", tmp_path / "new")
    assert code == 0
    assert out.endswith("short.wav: 3.21 s, cut off: 1.00 s missing\n")


def test_convert_replaces_only_by_force(run, tmp_path):
    (tmp_path / "greeting.wav").write_bytes(b"a recording")
    code, out, err = run("convert", QUESTION, GREETING, "-o", tmp_path)
    assert (code, out) == (2, "")
    assert "greeting.wav: exists already. Nothing was written." in err
    assert "--force" in err
    assert [path.name for path in tmp_path.iterdir()] == ["greeting.wav"]
    assert (tmp_path / "greeting.wav").read_bytes() == b"a recording"
    assert run("convert", QUESTION, GREETING, "-o", tmp_path, "--force")[0] == 0
    assert soundfile.info(tmp_path / "greeting.wav").subtype == "ULAW"


def test_convert_never_replaces_a_source(run, tmp_path):
    for folder, sample in (("conv", GREETING), ("o", QUESTION)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.wav").write_bytes(Path(sample).read_bytes())
    sources = [tmp_path / "conv" / "one.wav", tmp_path / "o" / "one.wav"]
    for force in ([], ["--force"]):
        code, out, err = run("convert", *sources, "-o", tmp_path / "o", *force)
        assert (code, out) == (2, "")
        assert "The original would be lost, so nothing was written." in err
    assert sources[1].read_bytes() == Path(QUESTION).read_bytes()


def test_convert_into_something_that_is_a_file_is_a_usage_error(run, tmp_path):
    target = tmp_path / "file"
    target.write_text("")
    code, _, err = run("convert", GREETING, "-o", target)
    assert code == 2
    assert str(target) in err


def test_convert_of_two_files_writes_the_second(run, tmp_path):
    new = tmp_path / "new.wav"
    code, out, err = run("convert", GREETING, new)
    assert (code, out, err) == (0, f"{GREETING} -> {new}: 4.21 s\n", "")
    assert soundfile.info(new).subtype == "ULAW"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_convert_says_first_that_a_pipe_or_a_device_is_not_replaced(run, tmp_path, force):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for target, kind in ((pipe, "a pipe"), (os.devnull, "a device")):
        code, out, err = run("convert", GREETING, target, *force)
        assert (code, out) == (2, "")
        assert f"{target}: is {kind}, not a file. Nothing was written." in err
        assert "--force" not in err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_convert_of_a_pipe_says_what_to_do_in_a_shell(run, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code, _, err = run("convert", pipe, tmp_path / "new.wav")
    assert code == 1
    assert "Write what comes from it to a file, and give that; in Python" in err


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([GREETING, "-"], "- is no place for the result: a WAV file begins with its length"),
        (["-", "new.wav"], "standard input cannot be converted"),
    ],
)
def test_convert_makes_no_file_of_the_name_of_a_stream(run, tmp_path, monkeypatch, files, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("convert", *files)
    assert (code, out) == (2, "")
    assert said in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["new.mp3", "new.FLAC", "new.ulaw"])
def test_convert_writes_no_wav_file_under_the_name_of_another(run, tmp_path, name):
    code, out, err = run("convert", GREETING, tmp_path / name)
    assert (code, out) == (2, "")
    end = name.partition(".")[2]
    assert f"ends in .{end}, but what is written is a WAV file. Nothing was written." in err
    assert "Name it new.wav." in err
    assert list(tmp_path.iterdir()) == []
    assert run("convert", GREETING, tmp_path / "new.wav")[0] == 0


def test_convert_of_two_files_replaces_only_by_force(run, tmp_path):
    new = tmp_path / "new.wav"
    new.write_bytes(b"a recording")
    code, out, err = run("convert", GREETING, new)
    assert (code, out) == (2, "")
    assert "new.wav: exists already. Nothing was written." in err
    assert "--force" in err
    assert new.read_bytes() == b"a recording"
    assert run("convert", "--force", GREETING, new)[0] == 0
    assert soundfile.info(new).subtype == "ULAW"
    before = new.read_bytes()
    code, _, err = run("convert", "--force", new, new)
    assert code == 2
    assert "The original would be lost" in err
    assert new.read_bytes() == before


def test_convert_of_two_files_says_which_of_them_is_wrong(run, tmp_path):
    new = tmp_path / "new.wav"
    m4a = tmp_path / "memo.m4a"
    m4a.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    code, out, err = run("convert", m4a, new)
    assert (code, out) == (1, "")
    assert err.endswith(f"`ffmpeg -i {m4a} {m4a.with_suffix('.wav')}` first.\n")
    code, _, err = run("convert", tmp_path / "missing.wav", new)
    assert code == 2
    assert "there is no such file" in err
    code, _, err = run("convert", GREETING, tmp_path)
    assert code == 2
    assert f"-o {tmp_path}" in err
    assert [path.name for path in tmp_path.iterdir()] == ["memo.m4a"]


@pytest.mark.parametrize("files", [[GREETING], [GREETING, QUESTION, "c.wav"]])
def test_convert_without_a_folder_takes_two_files(run, files):
    code, out, err = run("convert", *files)
    assert (code, out) == (2, "")
    assert "SRC and DST, or any number of files and -o DIR" in err


# explain


@pytest.mark.parametrize("asked", ["31951", "Error 31951"])
def test_explain_says_what_a_code_means(run, asked):
    code, out, _ = run("explain", asked)
    assert code == 0
    assert "Invalid Message" in out
    assert "What to do" in out


def test_explain_takes_a_whole_line_and_each_of_its_codes(run):
    code, out, _ = run("explain", "[HTTP", "401]", "Unable to create record: Authenticate")
    assert (code, out.splitlines()[0]) == (0, "20003 (error): Authenticate")
    code, out, _ = run("explain", "ERR_NGROK_3200", "then", "closed", "with", "1006")
    assert code == 0
    assert out.startswith(
        "ngrok's error ERR_NGROK_3200: Endpoint offline (not a code of Twilio's)\n"
    )
    assert "\n\nclose code 1006 of WebSocket: Abnormal closure" in out


def test_explain_reads_standard_input(run, monkeypatch):
    page = b"<html><style>b{}</style><h1>Error <b>1033</b></h1>Ray ID: 8ab</html>\xff"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(page)))
    code, out, _ = run("explain", "-")
    assert (code, out.splitlines()[0]) == (
        0,
        "Cloudflare's error 1033: Tunnel error (not a code of Twilio's)",
    )


@pytest.mark.parametrize("asked", ["99999", "help"])
def test_explain_of_an_unknown_code_is_a_usage_error(run, asked):
    code, out, err = run("explain", asked)
    assert (code, out) == (2, "")
    assert err.startswith("twistream: ")


# review


def test_review_of_good_messages_has_nothing_to_say(run, tmp_path):
    file = tmp_path / "sent.jsonl"
    file.write_text(f"{CLEAR}\n{CLEAR}\n")
    assert run("review", file) == (0, "2 messages: nothing to object to.\n", "")


def test_review_names_the_line_the_code_and_the_right_key(run, tmp_path):
    file = tmp_path / "sent.jsonl"
    file.write_text(f"{CLEAR}\n{WRONG}\n")
    code, out, err = run("review", file)
    assert (code, err) == (1, "")
    assert out.startswith("line 2: error 31951: media.playload")
    assert "payload" in out


def test_review_of_another_file_than_was_meant_is_one_line(run, tmp_path):
    file = tmp_path / "README.md"
    file.write_text("".join(f"line {number}\n" for number in range(1, 231)))
    code, out, _ = run("review", file)
    assert code == 1
    assert out.startswith("line 1 and 229 more: error 31951")
    assert len(out.splitlines()) == 1


def test_review_shows_the_first_objections_and_counts_the_others(run, tmp_path, monkeypatch):
    monkeypatch.setattr(review, "MOST_OBJECTIONS", 2)
    file = tmp_path / "messages.jsonl"
    file.write_text('{"event": "hello"}\nno JSON\n')
    _, everything, _ = run("review", "--all", file)
    first, second, third = everything.splitlines()
    assert first.startswith("line 1: error 31951")
    assert third.startswith("line 2: error 31951")
    code, out, _ = run("review", file)
    assert code == 1
    assert out.splitlines() == [first, second, "… and 1 more; --all shows it."]


def test_review_compares_with_the_stream_that_is_named(run, tmp_path):
    file = tmp_path / "sent.json"
    file.write_text(CLEAR)
    assert run("review", file, "--stream-sid", SID)[0] == 0
    code, out, _ = run("review", file, "--stream-sid", "MZ" + "1" * 32)
    assert code == 1
    assert "streamSid" in out


def test_review_reads_twiml_too(run, tmp_path):
    file = tmp_path / "answer.xml"
    file.write_text(
        '<Response><Connect><Stream url="ws://example.com/media"/></Connect></Response>'
    )
    code, out, _ = run("review", file)
    assert code == 1
    assert "TwiML: error 31922" in out
    file.write_text(
        '<Response><Connect><Stream url="wss://example.com/media"/></Connect></Response>'
    )
    assert run("review", file) == (0, "TwiML: nothing to object to.\n", "")


def test_review_of_nothing_and_of_a_missing_file_are_usage_errors(run, tmp_path):
    empty = tmp_path / "empty.json"
    empty.write_text("")
    code, _, err = run("review", empty)
    assert code == 2
    assert "holds no message" in err
    code, _, err = run("review", tmp_path / "missing.json")
    assert code == 2
    assert "missing.json: No such file" in err


def a_capture(*sent):
    return capture_of(SID, (0.0, from_twilio.Start(SID)), *sent, (4.0, from_twilio.Stop(SID)))


TONE = to_twilio.Media(SID, Clip.tone(440, 1.0).payload)


def test_review_of_a_capture_prints_its_summary_and_what_each_figure_means(run, tmp_path):
    capture = a_capture((0.5, TONE), (0.5, to_twilio.Mark(SID, "end")))
    file = capture.save(tmp_path / "call.jsonl", redact=False)
    code, out, err = run("review", file)
    assert (code, err) == (0, "")
    assert out.startswith(capture.summary().report())
    assert "missing marks: end\n    (not back 1 s after" in out
    assert out.endswith("2 messages to Twilio: nothing to object to.\n")


def test_review_of_a_capture_objects_to_messages_with_their_time_and_number(run, tmp_path):
    other = "MZ" + "1" * 32
    sent = [(0.5, TONE), (1.0, to_twilio.Clear(other)), (1.2, to_twilio.Clear(other))]
    file = a_capture(*sent).save(tmp_path / "call.jsonl")
    code, out, _ = run("review", file)
    assert code == 1
    assert "1.00 s and 1 more: error 31951: streamSid" in out
    assert run("review", file, "--stream-sid", other)[0] == 1


def test_review_of_a_capture_objects_to_the_sound(run, tmp_path):
    wav = Clip.tone(440, 0.5).save(tmp_path / "tone.wav").read_bytes()
    bad = to_twilio.parse(
        json.dumps({"event": "media", "streamSid": SID,
                    "media": {"payload": b64encode(wav).decode()}})
    )  # fmt: skip
    code, out, _ = run("review", a_capture((0.5, bad)).save(tmp_path / "call.jsonl"))
    assert code == 1
    assert "error: media.payload" in out
    assert "WAV" in out


def test_review_of_a_capture_that_was_cut_off_takes_what_is_there(run, tmp_path):
    file = a_capture((0.5, TONE)).save(tmp_path / "call.jsonl")
    file.write_bytes(file.read_bytes()[:-20])
    code, out, err = run("review", file)
    assert (code, err) == (0, "")
    assert "1 message to Twilio: nothing to object to." in out


def test_review_of_a_damaged_capture_names_the_line(run, tmp_path):
    file = a_capture((0.5, TONE)).save(tmp_path / "call.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0] + "rubbish\n" + "".join(lines[1:]))
    code, out, err = run("review", file)
    assert (code, out) == (1, "")
    assert "call.jsonl, line 2: the line cannot be read" in err


def test_review_reads_standard_input():
    done = process("review", "-", input=WRONG.encode())
    assert done.returncode == 1
    assert done.stdout.startswith(b"line 1: error 31951: media.playload")


# inspect-stream


def test_inspect_stream_on_a_port_that_is_taken_names_the_option(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        upstream = "ws://127.0.0.1:1/media"
        code, out, err = run("inspect-stream", "--upstream", upstream, "--port", port)
    assert (code, out) == (2, "")
    assert f"nothing can listen on port {port} here" in err
    assert "Give another --port, or none for a free one." in err


# call


def test_call_reports_a_good_server(run):
    with server() as url:
        code, out, err = run("call", url, "--seconds", "0.4")
    assert (code, err) == (0, "")
    assert out.startswith("Heard 0.1 s of sound, then the caller hung up\n")
    assert f"s to {url}" in out
    assert "1 of 1 returned" in out


def test_call_ends_with_1_when_something_is_objected_to(run):
    with server(key="playload") as url:
        code, out, _ = run("call", url, "--seconds", "0.3")
    assert code == 1
    assert "playload" in out
    assert "31951" in out


def test_call_hands_over_parameters_keys_speech_and_a_signature(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "12345")
    speech = Clip.tone(440, 0.1).save(tmp_path / "speech.wav")
    seen = []
    with server(seen=seen) as url:
        options = [
            "--say",
            speech,
            "--press",
            "5",
            "--param",
            "a=b=c",
            "--param",
            "d=",
            "--seconds",
            "1",
        ]
        code, _, _ = run("call", url, *options, "--auth-token-from", "MY_TOKEN")
    assert code == 0
    headers, _, start, *others = seen
    assert headers["x-twilio-signature"] == sign("12345", url)
    assert start["start"]["customParameters"] == {"a": "b=c", "d": ""}
    assert [message["dtmf"]["digit"] for message in others if message["event"] == "dtmf"] == ["5"]


def test_call_lets_the_caller_act_by_a_script(run, tmp_path):
    Clip.tone(440, 0.1).save(tmp_path / "yes.wav")
    talk = tmp_path / "talk.toml"
    steps = ['do = "wait"\nseconds = [0.1, 9]', 'do = "say"\nfile = "yes.wav"', 'do = "hang_up"']
    talk.write_text("".join(f"[[step]]\n{step}\n" for step in steps))
    with server() as url:
        line = ("--line", "bad_mobile", "--line-seed", "4", "--line-back", "clean")
        code, out, err = run("call", url, "--script", talk, "--seed", "31", "--json", *line)
    assert (code, err) == (0, "")
    values = json.loads(out)
    assert (values["line"]["preset"], values["line"]["seed"]) == ("bad_mobile", 4)
    assert values["line_back"]["preset"] == "clean"
    waited, said, hung_up = values["acts"]
    assert waited["ends"] == said["begins"] == 0.2, "drawn by the seed"
    assert (said["clip"], said["outcome"], said["ok"]) == ("yes", "said 0.10 s", True)
    assert hung_up["outcome"] == "hung up"


def test_call_names_the_line_of_a_script_that_is_wrong(run, tmp_path):
    talk = tmp_path / "talk.toml"
    talk.write_text('[[step]]\ndo = "sya"\n')
    code, out, err = run("call", "ws://127.0.0.1:9/media", "--script", talk)
    assert (code, out) == (2, "")
    assert err.startswith(f"twistream: {talk}, line 2: do is 'sya', which is no step. Nearest: say")


def test_call_writes_its_turns_for_junit_and_fails_what_was_never_tried(run, tmp_path):
    junit = tmp_path / "call.xml"
    Clip.tone(440, 0.3).save(tmp_path / "hello.wav")
    with server() as url:
        options = ["--say", tmp_path / "hello.wav", "--max-response", "800"]
        done = run("call", url, "--seconds", "0.4", "--junit", junit, *options)
        code, _, err = done
        assert code == 1
        assert "\nresponse_ms: no values: the call ended" in err
        assert "\nTurns of a call of 0." in err, "who spoke when, below what is wrong"
        suite = ElementTree.parse(junit).getroot().find("testsuite")
        names = {case.get("name"): [said.tag for said in case] for case in suite.iter("testcase")}
        assert names == {
            "call": ["system-out"], "response_ms": ["failure"], "cut_off_ms": ["system-out"],
            "barge_in_ms": ["skipped"], "false_barge_ins": ["skipped"],
        }  # fmt: skip
        code, out, err = run("call", url, "--seconds", "0.4", "--junit", junit)
        assert (code, out) == (2, ""), "before the call"
        assert "call.xml exists already" in err
        assert "replace it with --force." in err, "what a shell has"
        assert run("call", url, "--seconds", "0.4", "--junit", junit, "--force")[0] == 0


def test_call_prints_json_and_saves_everything_into_a_folder(run, tmp_path):
    with server() as url:
        code, out, err = run("call", url, "--seconds", "0.4", "--json", "--save", tmp_path / "kept")
    assert code == 0
    assert json.loads(out)["received"] == {"media": 1, "mark": 1}
    assert json.loads((tmp_path / "kept" / "report.json").read_text()) == json.loads(out)
    assert soundfile.info(tmp_path / "kept" / "heard.wav").samplerate == 8000
    assert Capture.load(tmp_path / "kept" / "messages.jsonl").summary().to_twilio == {
        "media": 1,
        "mark": 1,
    }
    assert err.count("saved ") == 3


def test_call_replaces_saved_files_only_when_forced_and_says_so_before_the_call(run, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "heard.wav").write_bytes(b"the old one")
    with server() as url:
        for target in (kept, kept / "heard.wav"):
            code, out, err = run("call", url, "--seconds", "0.2", "--save", target)
            assert (code, out) == (2, "")
            assert "heard.wav exists already" in err
            assert "--force" in err
        assert [path.name for path in kept.iterdir()] == ["heard.wav"]
        assert (kept / "heard.wav").read_bytes() == b"the old one"
        code, _, err = run("call", url, "--seconds", "0.2", "--save", kept, "--force")
    assert (code, err.count("saved ")) == (0, 3)
    assert soundfile.info(kept / "heard.wav").samplerate == 8000


def test_call_without_a_server_ends_with_3(run):
    with server() as url:
        pass
    code, out, err = run("call", url)
    assert (code, out) == (3, "")
    assert "31902" in err


def test_call_without_a_server_tells_ci_of_an_error(run, tmp_path):
    junit = tmp_path / "call.xml"
    with server() as url:
        pass
    code, _, err = run("call", url, "--junit", junit)
    assert code == 3
    assert f"saved {junit}" in err
    suite = ElementTree.parse(junit).getroot().find("testsuite")
    assert suite.get("errors") == "1"
    assert "31902" in suite.find("testcase/error").get("message")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--param", "customer"], "--param takes NAME=VALUE"),
        (["--param", "=42"], "--param takes NAME=VALUE"),
        (["--press", "x"], "press"),
        (["--seconds", "-1"], "seconds"),
        (["--script", "missing.toml"], "missing.toml: cannot be read: No such file"),
        (["--script", __file__, "--press", "1"], "--say or --press is given too"),
        (["--seed", "1"], "there is no --script"),
        (["--line", "moble"], "the nearest is 'mobile'"),
        (["--line", "mobile, loss=0.05"], "its values can be changed in Python only"),
        (["--line-seed", "1"], "there is no --line"),
        (["--seed", "x"], "'x' is no seed: give a whole number, such as 7"),
        (["--seconds", "x"], "'x' is no time: give seconds, such as 10"),
        (
            ["--max-response", "800"],
            "says nothing. Add --script or --say, or leave --max-r",
        ),
        (["--max-barge-in", "300"], "--max-barge-in is a limit for a caller who speaks"),
        (["--line", "mobile", "--line-seed", "-1"], "--line-seed is -1"),
        (["--max-response", "0.8"], "'0.8' is no limit: give milliseconds, such as 800"),
        (["--max-response", "nan"], "'nan' is no limit"),
        (["--max-response", "1e400"], "'1e400' is no limit"),
        (["--max-response", "9" * 400], "is no limit: give milliseconds"),
        (["--max-barge-in", "-5"], "'-5' is no limit"),
        (["--max-barge-in", "soon"], "'soon' is no limit"),
        (["--say", "missing.wav"], "missing.wav: there is no such file"),
        (["--save", "call.mp3"], "ends in .wav, .jsonl or .json"),
        (["--save", "missing/call.wav"], "missing is not a folder"),
        (["--auth-token-from", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE is not set"),
    ],
)
def test_call_with_an_option_that_makes_no_sense_is_a_usage_error_before_any_call(
    run, options, words
):
    code, out, err = run("call", "ws://127.0.0.1:9/media", *options)
    assert (code, out) == (2, "")
    assert words in err


def test_a_limit_that_fails_in_a_late_call_says_how_late_the_simulator_was(capsys):
    late = LatenessReport(100, 1.0, 40.0, 90.0, 300.0, 10)
    options = argparse.Namespace(json=False, save=None, junit=None, force=False)
    assert call._finish_call(report_of(lateness=late), options, {"response_ms": 800}) == 1
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("The simulator itself was late: times in which the server has a part")
    assert last.endswith(
        "(100 frames, late by 1.0 ms (median), 90.0 ms (99th percentile), 300.0 ms (worst))."
    )


def test_call_with_a_script_shows_its_turns_once(capsys):
    act = CallerAct("say", 0.0, 0.1, Clip.tone(440, 0.1), outcome="said 0.10 s")
    acts = Series.of([act], "acts")
    options = argparse.Namespace(json=False, save=None, junit=None, force=False)
    for limits, code in (({}, 0), ({"response_ms": 800}, 1)):
        assert call._finish_call(report_of(acts=acts), options, limits) == code
        out, err = capsys.readouterr()
        assert out.count("Turns of a call of ") == 1
        assert "Turns of a call of " not in err
    options.json = True
    call._finish_call(report_of(acts=acts), options, {})
    json.loads(capsys.readouterr().out)


# everything else


@pytest.mark.parametrize("argv", [[], ["call"], ["sing"], ["convert", "a.wav"]])
def test_a_wrong_command_line_ends_with_2(run, argv):
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert "usage: twistream" in err


def test_version_is_that_of_the_package(run):
    assert run("--version") == (0, f"twistream {kit.__version__}\n", "")


@pytest.mark.parametrize("argv", [["--help"], ["call", "--help"], ["inspect", "--help"]])
def test_help_documents_the_exit_codes(run, argv):
    code, out, _ = run(*argv)
    assert code == 0
    for number in ("0 ", "1 ", "2 ", "3 ", "130 "):
        assert f"\n  {number}" in out


def test_explain_loads_nothing_heavy():
    program = (
        "import sys; from twistream_kit.cli import main; "
        "main(['explain', '31951']); print(sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = done.stdout.splitlines()[-1]
    for heavy in ("numpy", "websockets", "aiohttp", "asyncio", "matplotlib"):
        assert f"'{heavy}'" not in loaded


def test_a_terminal_without_greek_letters_is_no_reason_to_fail():
    done = process("inspect", QUESTION, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert b"\\u03bc-law" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")
def test_a_reader_that_goes_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "twistream_kit", "inspect", QUESTION]
    try:
        done = subprocess.run(
            command, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")
def test_ctrl_c_ends_a_call_in_one_sentence():
    seen, began = [], threading.Event()

    class Seen(list):
        def append(self, item):
            began.set()

    with server(seen=Seen(seen)) as url:
        command = [sys.executable, "-m", "twistream_kit", "call", url, "--seconds", "30"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as caller:
            try:
                assert began.wait(LIMIT_SECONDS)
                caller.send_signal(signal.SIGINT)
                out, err = caller.communicate(timeout=LIMIT_SECONDS)
            finally:
                with suppress(ProcessLookupError):
                    caller.kill()
    assert (caller.returncode, out, err) == (130, b"", b"twistream: interrupted.\n")


# tutorial and doctor


@pytest.fixture
def as_ordinary_user(monkeypatch):
    monkeypatch.setattr("twistream_kit.tutorial.jupyterlab.is_root", lambda: False)


def test_tutorial_writes_the_folder_and_prints_how_jupyterlab_is_started(run, tmp_path):
    folder = tmp_path / "new"
    code, out, err = run("tutorial", folder, "--no-open", "--port", "9000")
    assert (code, err) == (0, "")
    assert (folder / "notebooks" / "tutorial.ipynb").is_file()
    assert out.startswith(f"wrote 21 files into {folder}\n")
    *_, begin, command = out.splitlines()
    assert begin.startswith(f"Begin with {folder / 'notebooks' / 'tutorial.ipynb'}")
    assert "-m jupyterlab" in command
    assert "--ServerApp.port=9000" in command


def test_tutorial_without_a_folder_takes_one_of_its_own_here(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("tutorial", "--no-open")
    assert [path.name for path in tmp_path.iterdir()] == ["twistream-tutorial"]


def test_tutorial_keeps_what_was_changed_unless_forced_and_says_so(run, tmp_path):
    run("tutorial", tmp_path, "--no-open")
    notebook = tmp_path / "notebooks" / "tutorial.ipynb"
    notebook.write_text("mine")
    code, out, _ = run("tutorial", tmp_path, "--no-open")
    assert code == 0
    assert "kept 1 file: notebooks/tutorial.ipynb" in out
    assert notebook.read_text() == "mine"
    _, out, _ = run("tutorial", tmp_path, "--no-open", "--force")
    assert "replaced 1 file: notebooks/tutorial.ipynb" in out
    assert notebook.read_text() != "mine"


def test_tutorial_starts_jupyterlab_with_its_options_and_returns_how_it_ended(
    run, tmp_path, monkeypatch, as_ordinary_user
):
    started = []
    monkeypatch.setattr(
        "twistream_kit.tutorial.jupyterlab.run_jupyterlab",
        lambda command: started.append(command) or len(started) - 1,
    )
    argv = ("tutorial", tmp_path, "--no-browser", "--port", "0", "--lab-option=--ip=0.0.0.0")
    code, out, _ = run(*argv)
    assert code == 0
    assert "prints its address below" in out
    assert {"--no-browser", "--ServerApp.port=0", "--ip=0.0.0.0"} <= set(started[0])
    code, _, err = run(*argv)
    assert code == 1
    assert "JupyterLab has ended with 1" in err


@pytest.mark.parametrize("port", ["70000", "-1", "x", "٣"])
def test_tutorial_refuses_what_is_no_port(run, tmp_path, port):
    code, _, err = run("tutorial", tmp_path, f"--port={port}")
    assert code == 2
    assert "is no port: a number from 0 to 65535" in err
    assert list(tmp_path.iterdir()) == []


def test_tutorial_writes_nothing_where_jupyterlab_cannot_start(run, tmp_path, as_ordinary_user):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = run("tutorial", tmp_path, "--port", taken.getsockname()[1])
    assert code == 2
    assert "Give another --port" in err
    assert list(tmp_path.iterdir()) == []


def test_doctor_ends_with_1_only_where_it_finds_an_error(run, monkeypatch):
    from twistream_kit.doctor import doctor
    from twistream_kit.doctor.condition import Condition

    code, out, _ = run("doctor")
    assert code == 0, out
    assert "✓ Python" in out
    broken = Condition("loopback", "error", "broken", "No call", "Mend it")
    monkeypatch.setattr(doctor, "_FOR_THE_REST", (("loopback", lambda: [broken]),))
    code, out, _ = run("doctor")
    assert code == 1
    assert "✗ loopback" in out


def test_doctor_prints_json(run):
    code, out, _ = run("doctor", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["ok"] is True
    assert found["checks"][0]["name"] == "Python"
    assert set(found["checks"][0]) == {"name", "level", "detail", "consequence", "fix"}


NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file names")
@pytest.mark.parametrize(
    "argv",
    [
        ["inspect", "{good}"],
        ["inspect", "{bad}"],
        ["inspect", "{missing}"],
        ["inspect", "{folder}"],
        ["convert", "{good}", "{bad}", "{missing}", "-o", "{folder}"],
        ["convert", "{good}", "-o", "{bad}"],
        ["convert", "{good}", "{good}", "-o", "{folder}"],
        ["review", "{bad}"],
        ["review", "{missing}"],
        ["review", "{folder}"],
        ["review", "{capture}"],
        ["explain", NASTY],
        ["call", "ws://127.0.0.1:1/", "--say", "{bad}"],
        ["call", "ws://127.0.0.1:1/", "--save", "{missing}/a.wav"],
        ["call", f"ws://127.0.0.1:1/{NASTY}"],
        ["call", "ws://127.0.0.1:1/", "--param", NASTY],
        ["call", "ws://127.0.0.1:1/", "--auth-token-from", NASTY],
        ["inspect-stream", "--upstream", NASTY],
        ["tutorial", "{missing}", "--no-open"],
        ["tutorial", "{good}", "--no-open"],
        ["tutorial", "{missing}", "--allow-root", "--browser", NASTY],
        ["inspect-stream", "--upstream", "ws://127.0.0.1:1", f"--{NASTY}"],
        [NASTY],
    ],
)
def test_name_with_control_characters_does_not_reach_the_terminal(run, tmp_path, argv):
    names = {name: tmp_path / f"{name}{NASTY}" for name in ("folder", "missing")}
    names["folder"].mkdir()
    names |= {name: names["folder"] / f"{name}{NASTY}.wav" for name in ("good", "bad", "capture")}
    Clip.tone(440, 0.1).save(names["good"])
    names["bad"].write_bytes(b"not a sound")
    capture_of(SID).save(names["capture"])
    _, out, err = run(*(part.format(**names) for part in argv))
    assert not set("\x1b\x07\x9b\u202e") & set(out + err)


def test_faults_reports_what_a_server_survives_and_writes_it_for_junit(run, tmp_path):
    junit = tmp_path / "faults.xml"
    options = ["--only", "hang-up-after-connected", "--scale", "0.1", "--seed", "5"]
    with server() as url:
        code, out, err = run("faults", url, *options, "--json", "--junit", junit)
    report = json.loads(out)
    assert (code, report["ok"], report["seed"]) == (0, True, 5)
    assert [row["name"] for row in report["rows"]] == ["hang-up-after-connected"]
    assert f"saved {junit}" in err
    suite = ElementTree.parse(junit).getroot().find("testsuite")
    assert (suite.get("name"), suite.get("tests")) == ("twistream faults", "1")


def test_faults_ends_with_1_when_a_server_does_not_survive_one(run, monkeypatch):
    red = FaultRow("gaps", "title", "red", "it closed", "goes on", "read on", "source")
    lateness = LatenessReport(1, 0, 0, 0, 0, 0)
    report = FaultReport("ws://x", Series.of([red], "faults"), 0, 1.0, 1.0, "fine", lateness)
    pending = Pending()
    fulfil(pending, report)
    monkeypatch.setattr(
        "twistream_kit.simulator.faults.inject_faults", lambda url, **options: pending
    )
    code, out, _ = run("faults", "ws://127.0.0.1:9/media")
    assert code == 1
    assert "RED        gaps" in out
    assert "repair        read on" in out


def test_faults_refuses_what_is_not_there_another_machine_and_a_name_that_no_fault_has(
    run, tmp_path, unused_tcp_port
):
    junit = tmp_path / "faults.xml"
    code, _, err = run("faults", f"ws://127.0.0.1:{unused_tcp_port}/media", "--junit", junit)
    assert (code, "31902" in junit.read_text()) == (3, True), err
    code, _, err = run("faults", "wss://bot.example.com/media")
    assert code == 2
    assert "would break about 51 streams on it" in err
    assert "(--remote in a shell)" in err
    code, _, err = run("faults", "ws://127.0.0.1:9/media", "--only", "gap")
    assert code == 2
    assert "there is no fault 'gap'; did you mean gaps? There are half-open, no-close" in err
