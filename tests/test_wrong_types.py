"""An argument of a wrong type, to any public function, is refused by an error of ours.

Python would raise its own error somewhere inside the package, whose text names no argument.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import twistream_kit as kit

SAMPLE = Path(__file__).parents[1] / "sample_audio" / "reply.wav"

WRONG = [None, 5, 3.5, True, "x", b"x", [], {}, object()]
WRONG += [float("nan"), float("inf"), -1, 1e30, 10**400, "a\0b", "n" * 300]

RESULTS = {
    *("WavReport", "CallReport", "StatusEvent", "ConvertedFile", "Examination", "Objection"),
    *("Check", "Checks", "PlayOutcome", "MarkOutcome", "StreamEnd", "InspectedEnd", "TwilioCode"),
    *("InspectedStream", "Call", "Phone", "MediaStream", "Playing", "Speech", "Pending"),
    *("NumberRoute", "Tunnel", "Mistakes", "Recording", "FaultReport"),
}
"""Made by the package; people read them."""

NOT_CALLED = {"allow_nested_asyncio", "settings", "stop", "verbose_errors", "start"}
"""What changes the process, or asks the person."""

GIVEN = {
    "connect_stream": {"url": "wss://example.com/media"},
    "load_clip": {"source": SAMPLE},
    "simulate_call": {"url": "ws://127.0.0.1:9/media"},
    "inject_faults": {"url": "ws://127.0.0.1:9/media"},
}
"""Right values for the arguments beside the wrong one; else all of them are wrong."""


def list_callables():
    for name in kit.__all__:
        thing = getattr(kit, name)
        is_error = inspect.isclass(thing) and issubclass(thing, BaseException)
        if callable(thing) and not is_error and name not in RESULTS | NOT_CALLED:
            yield name


def find_own_place(error):
    """Return the last place of an error that lies in the package, or empty."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        if module.startswith("twistream_kit."):
            place = f"{module}, line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def find_bare_errors(function, given):
    found = {}
    parameters = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    needed = [each.name for each in parameters if each.default is each.empty]
    for name in [each.name for each in parameters]:
        for wrong in WRONG:
            arguments = {each: given.get(each, wrong) for each in needed} | {name: wrong}
            try:
                result = function(**arguments)
                if isinstance(result, kit.Pending):
                    result.result(20)
            except kit.TwistreamError:
                continue
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                if place := find_own_place(error):
                    found[name] = f"{wrong!r} -> {type(error).__name__}: {error} at {place}"
    return found


@pytest.mark.parametrize("name", sorted(list_callables()))
def test_a_wrong_type_raises_an_error_of_ours(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_bare_errors(getattr(kit, name), GIVEN.get(name, {})) == {}


@pytest.mark.parametrize("make", [kit.Clip.tone, kit.Clip.silence, kit.Clip.dtmf])
def test_a_wrong_type_for_a_clip_raises_an_error_of_ours(make):
    # The others are right, for a wrong one is found before it is used.
    right = {"hz": 440, "seconds": 0.02, "digits": "1"}
    given = {each: right[each] for each in inspect.signature(make).parameters if each in right}
    assert find_bare_errors(make, given) == {}


STEPS = ("listen", "say", "interrupt", "press", "wait", "vary", "Script", "load_script")


@pytest.mark.parametrize("name", STEPS)
def test_a_wrong_type_for_a_step_of_a_caller_raises_an_error_of_ours(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"sound": kit.Clip.tone(440, 0.1), "steps": [kit.caller.hang_up()]}
    assert find_bare_errors(getattr(kit.caller, name), given) == {}


def build_a_capture():
    capture = kit.Capture("MZ0")
    capture.append(kit.to_twilio.Media("MZ0", kit.Clip.tone(440, 0.1).payload), at=0.5)
    return capture


@pytest.mark.parametrize(
    "command",
    [
        *(kit.Capture.load, build_a_capture().save, build_a_capture().stereo),
        *(build_a_capture().recording.save, build_a_capture().recording.samples),
        *(kit.Clip.tone(440, 0.1).save, kit.StreamServer().next_stream),
    ],
)
def test_so_does_a_wrong_type_for_a_method(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_bare_errors(command, {"message": kit.to_twilio.Clear("MZ0")}) == {}


@pytest.mark.parametrize("at", WRONG)
def test_a_message_is_kept_with_a_time_or_not_at_all(at):
    capture = build_a_capture()
    try:
        capture.append(kit.to_twilio.Clear("MZ0"), at=at)
    except kit.TwistreamError:
        assert len(capture) == 1
    else:
        assert len(capture) == 2
        assert capture.seconds == float(at)


def test_a_number_is_no_truth():
    with pytest.raises(kit.WrongType, match="port is True; give a whole number"):
        kit.StreamServer(port=True)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: kit.Clip.tone(440, 1e9),
            "seconds is 1000000000.0; a tone that is made here lasts 14400 s at most, four hours.",
        ),
        (
            lambda: kit.Clip.silence(float("inf")),
            "seconds is inf; a clip that is made here lasts 14400 s at most, four hours.",
        ),
        (
            lambda: kit.Clip.tone(440, 1, level_db=float("nan")),
            "level_db is nan; give a number of dB, 0 at most.",
        ),
        (
            lambda: kit.SimulatedTwilio(ring_seconds=float("nan")),
            "ring_seconds is nan; a phone rings 0 seconds or longer.",
        ),
        (
            lambda: kit.VoiceTrigger(release_ms=float("inf")),
            "release_ms is inf; give a finite number.",
        ),
    ],
)
def test_a_number_that_no_sound_has_is_refused_in_words(make, text):
    with pytest.raises(kit.WrongValue) as caught:
        make()
    assert str(caught.value) == text


def test_a_gap_between_keys_may_be_a_fraction():
    assert kit.Clip.dtmf("12", gap_ms=50.0) == kit.Clip.dtmf("12", gap_ms=50)


def test_the_text_names_the_argument_and_what_to_give():
    for act, text in (
        (lambda: kit.StreamServer(port="80"), "port is '80'; give a whole number."),
        (lambda: kit.Clip.tone("440", 1), "hz is '440'; give a number."),
        (lambda: kit.convert_file(None, "x.wav"), "src is None; give a path."),
        (lambda: kit.connect_stream(None), "url is None; give a string."),
        (
            lambda: kit.place_call(None, to="+15550100001", from_="+15550100002", stream_url="x"),
            (
                "client is None; give kit.client_from_environment(), or the client of a "
                "SimulatedTwilio."
            ),
        ),
    ):
        with pytest.raises(kit.WrongType) as caught:
            act()
        assert str(caught.value) == text


async def test_commands_of_a_call_refuse_them_too():
    async with kit.SimulatedTwilio(ring_seconds=0) as twilio, kit.StreamServer() as server:
        phone = twilio.phone("+15550100001")
        call = await kit.place_call(
            twilio.client, to=phone.number, from_=twilio.numbers[0], stream_url=server.stream_url
        )
        stream = await server.next_stream(call)
        for command in (
            *(stream.play, stream.speak, stream.mark, phone.press, phone.say, phone.until),
            *(server.next_stream, twilio.refuse_next, twilio.phone, phone.follow),
            *(stream.play(kit.Clip.tone(440, 1)).heard, stream.closed.add_done_callback),
        ):
            assert find_bare_errors_of_now(command) == {}, command


def find_bare_errors_of_now(command):
    """Do not wait for what a command returns: the loop that brings it is this one."""

    def call_it(**arguments):
        command(**arguments)

    call_it.__signature__ = inspect.signature(command)
    return find_bare_errors(call_it, {})


async def test_a_listener_that_cannot_be_called_is_refused_where_it_is_given():
    async with kit.SimulatedTwilio() as twilio:
        with pytest.raises(kit.WrongType, match="listener is 5; give a function"):
            twilio.phone("+15550100001").follow(5)


@pytest.mark.parametrize(
    "make",
    [
        lambda token: kit.StreamServer(auth_token=token),
        lambda token: kit.StreamApp(auth_token=token, public_url="https://example.com"),
        lambda token: kit.Inspector("ws://127.0.0.1:9/media", auth_token=token),
        lambda token: kit.simulate_call("ws://127.0.0.1:9/media", auth_token=token),
    ],
)
@pytest.mark.parametrize("token", [12345, b"12345", True, ["12345"], 0, b""])
def test_a_token_is_text_and_never_shown(make, token):
    with pytest.raises(kit.WrongType) as caught:
        make(token)
    assert f"auth_token is of type {type(token).__name__}; give a string" in str(caught.value)
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize("verbose", ["no", 0, None, 1])
def test_whether_errors_are_verbose_is_true_or_false(verbose):
    with pytest.raises(TypeError, match=r"^verbose is .*; give True or False"):
        kit.verbose_errors(verbose)


@pytest.mark.parametrize("read", [kit.load_clip, kit.inspect_wav, kit.examine])
def test_an_array_in_the_place_of_a_file_is_answered_with_what_makes_a_clip_of_it(read):
    samples = kit.Clip.tone(440, 0.1).samples()
    with pytest.raises(kit.WrongType, match=r"kit\.Clip\.from_samples\(array, sample_rate\)"):
        read(samples)
    assert kit.Clip.from_samples(samples, 8000).seconds == 0.1
