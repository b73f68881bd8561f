"""Every error says what, what follows and what to do: one table, exact text."""

import copy
import importlib
import inspect
import pickle
import pkgutil
import re
from pathlib import Path

import pytest

import twistream_kit
from twistream_kit import errors
from twistream_kit.diagnosis.message import review_message
from twistream_kit.errors import (
    CallRefused,
    CannotListen,
    Explained,
    LocalProtocolError,
    NoResultYet,
    NoSuchAttribute,
    RemoteProtocolError,
    ServerStopped,
    SettingsError,
    TunnelError,
    TwistreamError,
    WavError,
    WouldDeadlock,
    WrongState,
    WrongType,
    WrongValue,
    join_sentences,
    quote,
)

TEXTS = [
    (TwistreamError("it broke"), "it broke."),
    (
        TwistreamError("it broke", consequence="All is lost", fix="Begin again"),
        "it broke. All is lost. Begin again.",
    ),
    (TwistreamError("it broke", fix="Begin again!"), "it broke. Begin again!"),
    (TwistreamError("it broke.", consequence="All is lost."), "it broke. All is lost."),
    (WavError("there is no data chunk"), "there is no data chunk."),
    (
        WavError("there is no data chunk", source="greeting.wav"),
        "greeting.wav: there is no data chunk.",
    ),
    (
        WavError(
            "the fmt chunk is cut off",
            source="greeting.wav",
            offset=20,
            consequence="What the bytes mean is not known",
            fix="Copy the file again",
        ),
        (
            "greeting.wav, byte 20: the fmt chunk is cut off. What the bytes mean is not known. "
            "Copy the file again."
        ),
    ),
    (WavError("the file is empty", offset=0), "byte 0: the file is empty."),
    (
        LocalProtocolError(
            "starts with RIFF: it is a whole WAV file, not bare PCMU",
            field="media.payload",
            consequence="Twilio would accept it and play noise, logging nothing",
            fix="Send kit.load_clip(path).payload",
        ),
        (
            "media.payload starts with RIFF: it is a whole WAV file, not bare PCMU. Twilio would "
            "accept it and play noise, logging nothing. Send kit.load_clip(path).payload."
        ),
    ),
    (
        LocalProtocolError(
            "is MZ…11 but this stream is MZ…00",
            field="streamSid",
            twilio_code=31951,
            consequence="Twilio would drop it with warning 31951, logged once per stream",
            fix="Use the stream_sid of this call's start message",
        ),
        (
            "streamSid is MZ…11 but this stream is MZ…00. Twilio would drop it with warning 31951, "
            "logged once per stream. Use the stream_sid of this call's start message."
        ),
    ),
    (
        RemoteProtocolError("the message is binary", twilio_code=31950),
        "the message is binary.",
    ),
    (RemoteProtocolError("is missing", field="mark.name"), "mark.name is missing."),
    (
        CallRefused(
            "'To' is not a phone number",
            code=21211,
            status=400,
            consequence="No call was placed",
            fix="Write it as +15550100001",
        ),
        "'To' is not a phone number. No call was placed. Write it as +15550100001.",
    ),
    (TunnelError("no tunnel", fix="Install cloudflared"), "no tunnel. Install cloudflared."),
    (
        SettingsError("TWILIO_AUTH_TOKEN is not set", fix="Set it in .env"),
        "TWILIO_AUTH_TOKEN is not set. Set it in .env.",
    ),
    (
        ServerStopped.before("a stream came"),
        (
            "the server stopped before a stream came. Start it again with kit.start(server) "
            "and wait anew."
        ),
    ),
    (
        WouldDeadlock("this is the loop", consequence="Both would wait", fix="Say `await`"),
        "this is the loop. Both would wait. Say `await`.",
    ),
    (NoResultYet("no call came within 3 s", fix="Place it"), "no call came within 3 s. Place it."),
    (NoSuchAttribute("no 'x'", fix="Say .result(10)"), "no 'x'. Say .result(10)."),
    (
        CannotListen("port 80", errno=13, consequence="Not yours", fix="Say port=0"),
        "port 80. Not yours. Say port=0.",
    ),
    (WrongType("say is 7; give a Clip"), "say is 7; give a Clip."),
    (WrongValue("port is 70000; it is from 1 to 65535"), "port is 70000; it is from 1 to 65535."),
    (WrongState("it runs already"), "it runs already."),
]

TREE = {
    WavError: (TwistreamError, ValueError),
    LocalProtocolError: (TwistreamError, ValueError),
    RemoteProtocolError: (TwistreamError,),
    CallRefused: (TwistreamError,),
    TunnelError: (TwistreamError,),
    SettingsError: (TwistreamError, ValueError),
    ServerStopped: (TwistreamError,),
    WouldDeadlock: (TwistreamError, RuntimeError),
    NoResultYet: (TwistreamError, OSError),  # as a TimeoutError is
    NoSuchAttribute: (TwistreamError, AttributeError),
    CannotListen: (TwistreamError, OSError),
    WrongType: (TwistreamError, TypeError),
    WrongValue: (TwistreamError, ValueError),
    WrongState: (TwistreamError, RuntimeError),
}

CASES = pytest.mark.parametrize(
    ("error", "text"), TEXTS, ids=[f"{type(e).__name__}-{n}" for n, (e, _) in enumerate(TEXTS)]
)


@CASES
def test_error_says_exactly_this(error, text):
    assert str(error) == text


@CASES
def test_error_survives_pickling_with_all_its_attributes(error, text):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is type(error)
        assert vars(again) == vars(error)
        assert again.args == error.args
        assert getattr(again, "errno", None) == getattr(error, "errno", None)
        assert str(again) == text


@CASES
def test_error_survives_copying(error, text):
    for again in (copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert str(again) == text
        again.problem = "another"
        assert str(error) == text


def test_table_has_every_error():
    own = {
        c
        for _, c in inspect.getmembers(errors, inspect.isclass)
        if c.__module__ == "twistream_kit.errors" and issubclass(c, Exception)
    }
    public = {c for c in own if not c.__name__.startswith("_")}
    assert public == {type(error) for error, _ in TEXTS}
    assert public == {TwistreamError, *TREE}


@pytest.mark.parametrize("cls", TREE, ids=lambda cls: cls.__name__)
def test_tree_of_errors(cls):
    builtins = (ValueError, RuntimeError, OSError, TypeError, AttributeError)
    assert [b for b in builtins if issubclass(cls, b)] == [b for b in TREE[cls] if b in builtins]
    assert all(issubclass(cls, base) for base in TREE[cls])
    assert cls.__name__ in errors.__doc__


def test_local_and_remote_faults_are_distinguished():
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
    assert not issubclass(RemoteProtocolError, LocalProtocolError)


def test_attributes_are_there_for_programs():
    wav = WavError("p", source="a.wav", offset=12, consequence="c", fix="f")
    assert (wav.problem, wav.source, wav.offset) == ("p", "a.wav", 12)
    assert (wav.consequence, wav.fix) == ("c", "f")
    protocol = LocalProtocolError("p", field="media.payload", twilio_code=31951)
    assert (protocol.field, protocol.twilio_code) == ("media.payload", 31951)
    refused = CallRefused("p", code=21211, status=400)
    assert (refused.code, refused.status) == (21211, 400)


def test_attributes_that_were_not_given_are_empty():
    assert vars(TwistreamError("p")) == {"problem": "p", "consequence": "", "fix": ""}
    assert vars(WavError("p")) | {"source": "", "offset": None} == vars(WavError("p"))
    assert vars(CallRefused("p")) | {"code": None, "status": None} == vars(CallRefused("p"))
    local = vars(LocalProtocolError("p"))
    assert local | {"field": "", "twilio_code": None} == local


def test_details_are_keywords_so_that_none_is_taken_for_another():
    for cls in TREE:
        with pytest.raises(TypeError):
            cls("problem", "consequence")


class Refused(CallRefused):
    """As a later layer may derive it, with a detail that cannot be left out."""

    def __init__(self, problem, *, reason):
        super().__init__(f"{problem} ({reason})", code=31920)
        self.reason = reason


def test_derived_error_with_a_detail_of_its_own_survives_pickling():
    again = pickle.loads(pickle.dumps(Refused("no upgrade", reason="403")))
    assert type(again) is Refused
    assert (again.reason, again.code, str(again)) == ("403", 31920, "no upgrade (403).")


def test_note_added_to_an_error_survives_pickling():
    error = WavError("p", source="a.wav")
    error.add_note("while converting a folder")
    again = pickle.loads(pickle.dumps(error))
    assert again.__notes__ == ["while converting a folder"]


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((), ""),
        (("",), ""),
        (("   ", "One"), "One."),
        (("One", "", "Two"), "One. Two."),
        ((" One ", "Two?"), "One. Two?"),
        (("One!",), "One!"),
    ],
)
def test_sentences_have_one_full_stop_each(parts, text):
    assert join_sentences(*parts) == text


def test_what_explains_itself_does_so_by_one_class():
    """Whatever is made with a consequence and a fix reads in the same three sentences."""
    explained = set()
    for module in pkgutil.walk_packages(twistream_kit.__path__, "twistream_kit."):
        if module.name.endswith(("__main__", "pytest_plugin")):
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if not inspect.isclass(kind) or not kind.__module__.startswith("twistream_kit"):
                continue
            if {"consequence", "fix"} <= set(inspect.signature(kind.__init__).parameters):
                assert issubclass(kind, Explained), kind
                assert "__str__" not in vars(kind), kind
                explained.add(kind.__name__)
    assert {"TwistreamError", "Objection", "Finding", "Check"} <= explained


def test_the_severities_are_named_once():
    texts = {
        path.name: path.read_text(encoding="utf-8")
        for path in Path(twistream_kit.__file__).parent.rglob("*.py")
    }
    # The levels of the doctor begin with "ok", which no objection has.
    named = re.compile(r'Literal\[(?!"ok")(?=.*"warning")(?=.*"note")')
    assert [name for name, text in texts.items() for _ in named.findall(text)] == ["errors.py"]


@pytest.mark.parametrize("value", [10**5000, [1, {"a": -(10**5000)}]], ids=["int", "list"])
def test_value_that_python_refuses_to_write_is_quoted_by_its_type(value):
    name = type(value).__name__
    assert quote(value) == f"a value of type {name} that is too long to write"
    assert all(map(str, review_message({"event": value, "streamSid": value})))
