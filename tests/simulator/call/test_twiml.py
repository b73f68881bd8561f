import contextlib
import gc
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import twistream_kit
from support.addresses import MALFORMED
from twistream_kit.diagnosis.twiml import review_twiml
from twistream_kit.diagnosis.twiml_tree import DEPTH_LIMIT
from twistream_kit.errors import join_sentences
from twistream_kit.simulator.call.twiml import (
    MOST_COUNT,
    ConnectStream,
    Hangup,
    Next,
    Pause,
    Play,
    Redirect,
    Reject,
    Say,
    StartStream,
    StopStream,
    StreamNoun,
    TwimlFault,
    read_twiml,
)

BASE = "https://example.com/calls/start?x=1"


def verbs(xml, **options):
    return read_twiml(f"<Response>{xml}</Response>", **options).verbs


def remarks(xml, **options):
    return read_twiml(f"<Response>{xml}</Response>", **options).remarks


@pytest.mark.parametrize("url", MALFORMED)
def test_malformed_url_is_quoted_without_its_password(url):
    url = url.replace("https:", "ftp:")
    with pytest.raises(TwimlFault) as fault:
        read_twiml(f"<Response><Redirect>{url}</Redirect></Response>")
    assert "hunter2" not in fault.value.text
    (objection,) = (
        objection
        for objection in review_twiml(
            "<Response><Connect><Stream url='wss://example.com/m' "
            f"statusCallback='{url}'/></Connect></Response>"
        )
        if objection.code == 11100
    )
    assert "hunter2" not in str(objection)


def test_verbs_are_read_in_order():
    assert verbs(
        "<Say loop='2'>Hello <b>there</b>\n you</Say><Play digits='1w2'/><Pause length='3'/>"
        "<Reject reason='busy'/><Hangup/>"
    ) == (Say("Hello there you", 2), Play(digits="1w2"), Pause(3.0), Reject("busy"), Hangup())


@pytest.mark.parametrize("digits", [330, 5000])
def test_numbers_of_any_length_are_read(digits):
    number = "9" * digits
    assert verbs(
        f"<Say loop='{number}'>x</Say><Play digits='1' loop='{number}'/><Pause length='{number}'/>"
    ) == (Say("x", MOST_COUNT), Play(digits="1", loop=MOST_COUNT), Pause(float(MOST_COUNT)))
    assert verbs(f"<Pause length='{'0' * digits}7'/>") == (Pause(7.0),)


def test_pause_without_length_lasts_a_second():
    assert verbs("<Pause/>") == (Pause(1.0),)


def test_connect_carries_its_stream_its_parameters_and_its_action():
    assert verbs(
        "<Connect action='/after' method='get'><Stream url='wss://example.com/media' name='n' "
        "statusCallback='https://example.com/s' statusCallbackMethod='GET'>"
        "<Parameter name='a' value='1'/><Parameter name='b' value=''/></Stream></Connect>",
        base_url=BASE,
    ) == (
        ConnectStream(
            StreamNoun(
                "wss://example.com/media", "n", "inbound_track", "https://example.com/s", "GET",
                {"a": "1", "b": ""},
            ),
            Next("https://example.com/after", "GET"),
        ),
    )  # fmt: skip


def test_start_and_stop_are_read():
    assert verbs(
        "<Start><Stream url='wss://e.com/m' track='both_tracks' name='ears'/></Start>"
        "<Stop><Stream name='ears'/></Stop>"
    ) == (
        StartStream(StreamNoun("wss://e.com/m", "ears", "both_tracks")),
        StopStream("ears"),
    )


def test_relative_urls_start_at_the_document():
    assert verbs("<Redirect>next?y=2</Redirect>", base_url=BASE) == (
        Redirect(Next("https://example.com/calls/next?y=2")),
    )
    assert verbs("<Play>/a.wav</Play>", base_url=BASE) == (Play("https://example.com/a.wav"),)
    stream = verbs("<Connect><Stream url='/media'/></Connect>", base_url=BASE)[0].stream
    assert stream.url == "wss://example.com/media"


def test_an_empty_action_means_the_document_itself():
    assert verbs("<Connect action=''><Stream url='wss://e.com'/></Connect>", base_url=BASE)[
        0
    ].action == Next(BASE)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("", 12100),
        (" <?xml version='1.0'?><Response/>", 12100),
        ("<Response><Say>a & b</Say></Response>", 12100),
        ("<Response><Connect></Response>", 12100),
        ("<Response><Stream url='wss://e.com?a=1&b=2'/></Response>", 12100),
        ("<response/>", 12102),
        ("<html><body/></html>", 12102),
        ("<!DOCTYPE Response [<!ENTITY a 'b'>]><Response>&a;</Response>", 12100),
        (b"<?xml version='1.0' encoding='no-such'?><Response/>", 12100),
        (b"<Response>\xff\xfe</Response>", 12100),
        ("<Response><Redirect>http://[</Redirect></Response>", 11100),
        ("<Response><Redirect>next</Redirect></Response>", 11100),
        ("<Response><Play>ftp://e.com/a.wav</Play></Response>", 11100),
    ],
)
def test_faults_have_the_codes_of_twilio_and_keep_the_document(document, code):
    with pytest.raises(TwimlFault) as caught:
        read_twiml(document)
    assert caught.value.code == code
    text = document if isinstance(document, str) else document.decode("utf-8", "replace")
    assert caught.value.document == text


def test_a_doctype_does_not_hide_in_utf_16():
    document = "<?xml version='1.0' encoding='utf-16'?><!DOCTYPE Response><Response/>"
    with pytest.raises(TwimlFault, match="has a document type declaration"):
        read_twiml(document.encode("utf-16"))


GOOD = "<Connect><Stream url='wss://e.com/m'/></Connect>"
TOO_DEEP = f"<Response>{'<a>' * DEPTH_LIMIT}{'</a>' * DEPTH_LIMIT}</Response>"


@pytest.mark.parametrize(
    "document",
    [
        "",
        " <?xml version='1.0'?><Response/>",
        "Not Found",
        '{"error": 404}',
        "<Response><Say>a & b</Say></Response>",
        "<Response>\n<Connect>\n</Response>",
        "<Response/><Response/>",
        "<Response>\ud800</Response>",
        "<!DOCTYPE html><html></html>",
        "<!doctype html><html></html>",
        "<!DOCTYPE Response [<!ENTITY a 'b'>]><Response>&a;</Response>",
        "<!DOCTYPE Response><Response/>".encode("utf-16"),
        b"<?xml version='1.0' encoding='no-such'?><Response/>",
        b"<?xml version='1.0' encoding='rot13'?><Response/>",
        b"<Response>\xff\xfe</Response>",
        TOO_DEEP,
        "<response/>",
        "<html><body/></html>",
        "<a:Response xmlns:a='urn:a'/>",
    ],
)
def test_what_is_no_twiml_is_so_in_the_words_of_the_review(document):
    with pytest.raises(TwimlFault) as caught:
        read_twiml(document)
    objection = review_twiml(document)[0]
    assert caught.value.text == f"TwiML {objection.problem}"
    assert caught.value.code == (objection.code or 12100)


@pytest.mark.parametrize(
    "document",
    [
        f"<Response>{GOOD}</Response>".encode("utf-16"),
        f"<?xml version='1.0' encoding='latin-1'?><Response><!-- \xff -->{GOOD}</Response>".encode(
            "latin-1"
        ),
        f"<Response><!-- <!DOCTYPE a> -->{GOOD}</Response>",
        f"<Response xmlns='urn:twiml'>{GOOD}</Response>",
        f"<Response>{GOOD}{'<Sms>' * (DEPTH_LIMIT - 1)}{'</Sms>' * (DEPTH_LIMIT - 1)}</Response>",
    ],
)
def test_what_the_review_can_read_the_simulator_can(document):
    assert not [each for each in review_twiml(document) if each.severity == "error"]
    assert isinstance(read_twiml(document).verbs[0], ConnectStream)


@pytest.mark.parametrize(
    "xml",
    [
        "<say>x</say>",
        "<Nonsense/>",
        "<Say volume='11'>x</Say>",
        "<Stream url='wss://e.com'/>",
        "<Connect><Stream url='wss://e.com' codec='pcm' statuscallback='x'/></Connect>",
        "<Connect><Stream url='wss://e.com'><Param name='a'/></Stream></Connect>",
        "<Connect><Say>x</Say><Stream url='wss://e.com'/></Connect>",
    ],
)
def test_names_that_do_not_exist_are_so_in_the_words_of_the_review(xml):
    objections = [
        each for each in review_twiml(f"<Response>{xml}</Response>") if each.code == 12200
    ]
    assert sorted(remark.text for remark in remarks(xml)) == sorted(
        join_sentences(f"{each.field} {each.problem}", each.fix) for each in objections
    )


def test_one_module_of_the_package_reads_xml():
    package = Path(twistream_kit.__file__).parent
    readers = re.compile(r"expat\.ParserCreate|XMLParser|ET\.(fromstring|parse|XML|iterparse)\(")
    assert [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if readers.search(path.read_text(encoding="utf-8"))
    ] == ["diagnosis/twiml_tree.py"]


def test_a_relative_action_pushed_into_a_live_call_is_15004():
    with pytest.raises(TwimlFault) as caught:
        verbs("<Connect action='/x'><Stream url='wss://e.com'/></Connect>", into_live_call=True)
    assert caught.value.code == 15004


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        ("<say>x</say>", "<Say> is meant. Write <Say>; case counts"),
        ("<Nonsense/>", "is not an element that <Response> can hold"),
        ("<Connect/>", "holds nothing"),
        ("<Stop/>", "needs a <Stream>"),
        ("<Play/>", "names no sound"),
        ("<Pause length='soon'/>", "not a whole number"),
        ("<Connect><Stream url='wss://e.com' bidirectional='true'/></Connect>", "bidirectional"),
        ("<Connect><Stream url='wss://e.com'><Param name='a'/></Stream></Connect>", "<Param>"),
    ],
)
def test_what_twilio_only_warns_of_is_a_remark_with_12200(xml, words):
    (remark,) = remarks(xml)
    assert remark.code == 12200
    assert words in remark.text


@pytest.mark.parametrize(
    ("xml", "field", "problem", "untried"),
    [
        ("<Dial>+15550100001</Dial>", "<Dial>", "is not simulated", "a transfer"),
        ("<Record/>", "<Record>", "is not simulated", "a message that is recorded"),
        ("<Gather/>", "<Gather>", "is not simulated", "keys and words"),
        ("<Leave/>", "<Leave>", "is not simulated", "what it does"),
        (
            "<Connect><ConversationRelay url='wss://e.com'/></Connect>",
            "<Connect>",
            "holds <ConversationRelay>, not simulated",
            "that cannot be tried here",
        ),
        (
            "<Start><Recording/><Siprec/></Start>",
            "<Start>",
            "holds <Recording>, <Siprec>, not simulated",
            "Twilio obeys them",
        ),
    ],
)
def test_what_twilio_obeys_and_the_simulator_leaves_out_is_no_warning_of_twilios(
    xml, field, problem, untried
):
    script = read_twiml(f"<Response>{xml}</Response>")
    assert (script.verbs, script.remarks) == ((), ())
    (note,) = script.notes
    assert (note.code, note.field, note.severity) == (None, field, "warning")
    assert problem in note.problem
    assert untried in note.consequence


def test_a_number_that_is_not_e164_is_noted_beside_the_transfer_that_cannot_be_tried():
    number, transfer = read_twiml("<Response><Dial>0171 555</Dial></Response>").notes
    assert "not E.164" in number.problem
    assert "a transfer" in transfer.consequence


def test_parameter_of_500_characters_is_dropped_and_one_of_499_is_kept():
    def stream(length):
        parameter = f"<Parameter name='n' value='{'v' * (length - 1)}'/>"
        return f"<Connect><Stream url='wss://e.com'>{parameter}</Stream></Connect>"

    assert len(verbs(stream(499))[0].stream.parameters["n"]) == 498
    assert remarks(stream(499)) == ()
    assert verbs(stream(500))[0].stream.parameters == {}
    assert remarks(stream(500))[0].code == 12200


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.text(max_size=80),
        st.binary(max_size=80),
        st.lists(
            st.sampled_from(
                [
                    "<Response>", "</Response>", "<Connect action='a'>", "</Connect>", "<Say>",
                    "<Stream url='//'/>", "<Pause length='-1'/>", "</Say>", "\x00", "<!--",
                    "<Redirect>http://[</Redirect>", "<Play>http://[::1</Play>",
                ]
            ),
            max_size=8,
        ).map(lambda parts: f"<Response>{''.join(parts)}</Response>"),
    )
)  # fmt: skip
def test_no_document_raises_anything_but_a_fault(document):
    with contextlib.suppress(TwimlFault):
        read_twiml(document, base_url=BASE)


@pytest.mark.parametrize(
    "xml",
    [
        "<Response><Connect><Stream url='wss://example.com'/></Connect></Response>",
        "<Response><Say>",
        "<!DOCTYPE a>",
    ],
)
@pytest.mark.usefixtures("collects_nothing")
def test_reading_leaves_nothing_to_the_garbage_collector(xml):
    def read():
        with contextlib.suppress(TwimlFault):
            read_twiml(xml)

    read()
    gc.collect()
    for _ in range(50):
        read()
    assert gc.collect() < 50
