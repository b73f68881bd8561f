import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.diagnosis.twiml import review_twiml

STREAM = '<Stream url="wss://example.com/media"/>'
GOOD = f"<Response><Connect>{STREAM}</Connect></Response>"


def connect(attributes="", inside=""):
    stream = f'<Stream url="wss://example.com/media" {attributes}>{inside}</Stream>'
    return f"<Response><Connect>{stream}</Connect></Response>"


def found(xml):
    return [(o.severity, o.code, o.field) for o in review_twiml(xml)]


@pytest.mark.parametrize(
    "xml",
    [
        GOOD,
        f'<?xml version="1.0" encoding="UTF-8"?>\n{GOOD}\n',
        f"<Response><Say>Hello.</Say><Connect action='/next'>{STREAM}</Connect></Response>",
        connect("name='a' track='inbound_track' statusCallback='https://example.com/s'"),
        connect(inside="<Parameter name='a' value='b &amp; c'/>"),
        "<Response><Dial><Number>+15550100001</Number></Dial></Response>",
        "<Response/>",
    ],
)
def test_sound_document_meets_no_objection(xml):
    assert review_twiml(xml) == []


@pytest.mark.parametrize(
    ("xml", "problem", "fix"),
    [
        ("", "is empty", "<Response/>"),
        (f"\n<?xml version='1.0'?>{GOOD}", "has '\\n' before <?xml", "begin with <?xml"),
        (connect("name='a&b'"), "has a bare & in line 1: \"&b'", "&amp;"),
        ("<Response>\n<Say>Q & A</Say></Response>", "has a bare & in line 2", "&amp;"),
        ("<Response><Say>a < b</Say></Response>", "is not well-formed XML", "connect_stream"),
        ("<Response><Connect></Response>", "mismatched tag: line 1", "connect_stream"),
        ("<Response><Connect>", "is not well-formed XML", "connect_stream"),
        ("<Response/><Response/>", "junk after document element", "connect_stream"),
        ('{"error": "not found"}', "is JSON, not XML", "connect_stream"),
        ("Not Found", "is plain text, not XML", "connect_stream"),
        ("<!DOCTYPE html><html><body>502</body></html>", "is a web page", "error page"),
        ("<html><br></html>", "is a web page", "error page"),
        ("<Response>\ud800</Response>", "is not well-formed XML", "connect_stream"),
    ],
)
def test_document_that_cannot_be_parsed_is_12100_with_the_place(xml, problem, fix):
    [objection] = review_twiml(xml)
    assert (objection.code, objection.severity) == (12100, "error")
    assert problem in objection.problem
    assert fix in objection.fix


def test_byte_order_mark_is_a_warning():
    assert found(f"\ufeff<?xml version='1.0'?>{GOOD}") == [("warning", 12100, "TwiML")]


def test_objection_reads_as_three_sentences():
    [objection] = review_twiml("<Response><Say>Q & A</Say></Response>")
    assert str(objection) == (
        "TwiML has a bare & in line 1: '& A</Say></Response>'. Twilio could not parse it (error"
        " 12100); the caller would hear of an application error. Write &amp; for it."
    )


def test_entities_are_not_expanded():
    xml = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><Response>&b;</Response>'
    [objection] = review_twiml(xml)
    assert objection.problem == "has a document type declaration"
    assert objection.severity == "error"


@pytest.mark.parametrize("root", ["response", "Connect", "TwiML"])
def test_root_other_than_response_is_12102(root):
    assert ("error", 12102, "TwiML") in found(f"<{root}></{root}>")


def test_version_of_response_is_12101():
    assert found('<Response version="2"/>')[0][:2] == ("warning", 12101)


@pytest.mark.parametrize(
    ("xml", "problem", "meant"),
    [
        ("<Response><connect/></Response>", "<Connect> is meant", "<Connect>"),
        ("<Response><Conect/></Response>", "<Connect> is meant", "<Connect>"),
        ("<Response><Connect><stream/></Connect></Response>", "<Stream> is meant", "<Stream>"),
        (f"<Response>{STREAM}</Response>", "stands inside <Response>", "inside <Connect>"),
        (
            f"<Response><Connect>{STREAM}<Parameter name='a'/></Connect></Response>",
            "stands inside <Connect>",
            "inside <Stream>",
        ),
        (connect(inside="<Say>hi</Say>"), "stands inside <Stream>", "directly inside <Response>"),
        (connect(inside="<parameter/>"), "<Parameter> is meant", "<Parameter>"),
    ],
)
def test_element_that_does_not_exist_there_is_12200_with_the_right_one(xml, problem, meant):
    first = next(o for o in review_twiml(xml) if o.code == 12200)
    assert first.severity == "error"
    assert problem in first.problem
    assert meant in first.fix


@pytest.mark.parametrize(
    ("attribute", "severity", "fix"),
    [
        ("bidirectional", "warning", "<Connect><Stream> is always both ways"),
        ("codec", "warning", "always μ-law at 8000 Hz"),
        ("statuscallback", "error", "Write statusCallback"),
        ("Url", "error", "Write url"),
        ("colour", "warning", "Leave it out"),
    ],
)
def test_attribute_that_does_not_exist_is_12200(attribute, severity, fix):
    [objection] = review_twiml(connect(f"{attribute}='x'"))
    assert (objection.code, objection.severity) == (12200, severity)
    assert objection.field == f"<Stream {attribute}>"
    assert fix in objection.fix


@pytest.mark.parametrize("verb", ["Connect", "Start"])
@pytest.mark.parametrize("attribute", ["audioFormat", "sampleRate"])
def test_attributes_of_the_sdk_that_no_page_explains_are_noted(verb, attribute):
    stream = f"<Stream url='wss://example.com/' {attribute}='16000'/>"
    xml = f"<Response><{verb}>{stream}</{verb}><Pause/></Response>"
    about = [each for each in review_twiml(xml) if attribute in each.field]
    assert [(each.severity, each.code) for each in about] == [("note", None)]
    assert "since September 2026" in about[0].problem
    assert "μ-law at 8000 Hz" in about[0].consequence


def test_a_one_way_stream_before_one_that_talks_is_meant():
    xml = f"<Response><Start>{STREAM}</Start><Connect>{STREAM}</Connect></Response>"
    assert review_twiml(xml) == []
    xml = f"<Response><Connect>{STREAM}</Connect><Start>{STREAM}</Start></Response>"
    assert any("one-way" in each.problem for each in review_twiml(xml))


def test_a_pause_behind_connect_is_silence_once_the_server_has_closed():
    xml = f"<Response><Connect>{STREAM}</Connect><Pause length='40'/></Response>"
    [note] = review_twiml(xml)
    assert "the caller would hear silence" in note.consequence


def test_start_is_noted_as_one_way():
    xml = f"<Response><Start>{STREAM}</Start><Pause length='60'/></Response>"
    [note] = review_twiml(xml)
    assert (note.severity, note.field) == ("note", "<Start>")
    assert "write <Connect> for <Start>" in note.fix


def test_nothing_after_start_is_an_error_because_the_call_ends():
    first = review_twiml(f"<Response><Start>{STREAM}</Start></Response>")[0]
    assert str(first) == (
        "<Start> is the last verb. Twilio does not wait for the stream: the call would end at once,"
        ' without an error. Add a verb that takes time, such as <Pause length="60"/>; to talk,'
        " write <Connect> for <Start>."
    )
    assert first.severity == "error"


def test_verb_after_connect_is_noted():
    xml = f"<Response><Connect>{STREAM}</Connect><Say>Bye.</Say></Response>"
    assert found(xml) == [("note", None, "<Say>")]


@pytest.mark.parametrize("track", ["both_tracks", "outbound_track", "both"])
def test_track_other_than_inbound_under_connect_is_31941(track):
    assert found(connect(f"track='{track}'")) == [("error", 31941, "<Stream track>")]


def test_track_under_start_must_be_one_of_three():
    start = "<Response><Start><Stream url='wss://e.com/m' track='{}'/></Start><Pause/></Response>"
    assert ("error", 31941, "<Stream track>") not in found(start.format("both_tracks"))
    assert ("error", 31941, "<Stream track>") in found(start.format("both"))


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ws://example.com/m", 31922),
        ("https://example.com/m", 31922),
        ("wss:///m", 31923),
        ("wss://example.com/m?a=1&amp;b=2", 31920),
    ],
)
def test_url_of_the_stream_is_reviewed(url, code):
    xml = f'<Response><Connect><Stream url="{url}"/></Connect></Response>'
    assert found(xml) == [("error", code, "<Stream url>")]


def test_stream_on_this_machine_is_a_warning_because_the_simulator_dials_it():
    xml = '<Response><Connect><Stream url="ws://127.0.0.1:5000/m"/></Connect></Response>'
    assert [o[:2] for o in found(xml)] == [("warning", 31922), ("warning", 31904)]


def test_stream_without_a_url_is_an_error():
    assert found("<Response><Connect><Stream/></Connect></Response>") == [
        ("error", 31923, "<Stream>")
    ]


def test_connect_holds_exactly_one_stream():
    assert found("<Response><Connect/></Response>") == [("error", 12200, "<Connect>")]
    two = f"<Response><Connect>{STREAM}{STREAM}</Connect></Response>"
    assert found(two) == [("error", 12200, "<Connect>")]


def test_stop_needs_no_url():
    assert review_twiml("<Response><Stop><Stream name='a'/></Stop></Response>") == []


def test_parameters_are_reviewed():
    long = "v" * 496
    assert found(connect(inside=f"<Parameter name='four' value='{long}'/>")) == [
        ("error", None, "<Parameter>")
    ]
    assert found(connect(inside="<Parameter value='x'/>")) == [("error", 12200, "<Parameter>")]
    assert found(connect(inside="<Parameter name='track' value='both'/>")) == [
        ("warning", None, "<Parameter>")
    ]


def test_status_callback_must_be_absolute():
    assert found(connect("statusCallback='/status'")) == [
        ("warning", 11100, "<Stream statusCallback>")
    ]


def test_size_is_checked_for_inline_and_for_fetched_documents():
    long = f"<Response><Say>{'a' * 4000}</Say></Response>"
    assert found(long) == [("warning", 32018, "TwiML")]
    huge = f"<Response><Say>{'a' * 65536}</Say></Response>"
    assert found(huge) == [("error", 11750, "TwiML"), ("warning", 32018, "TwiML")]


def test_deep_nesting_is_refused_where_it_begins():
    depth = 200
    [objection] = review_twiml("<Response>\n" + "<a>\n" * depth + "</a>" * depth + "</Response>")
    assert objection.problem == "nests more than 100 elements in line 101"


PIECES = st.sampled_from(
    [
        *("<Response>", "</Response>", "<Connect>", "</Connect>", "<Start>", "</Start>"),
        *("<Stream url='wss://a.b/c'>", "</Stream>", "<Stream/>", "<stream url='ws://x?y'/>"),
        *(
            "<Parameter name='a'/>",
            "<Say>",
            "</Say>",
            "&amp;",
            "&",
            "<",
            "<!--",
            "-->",
            "<![CDATA[",
        ),
        *("<?xml version='1.0'?>", "<?xml version='1.0' encoding='x'?>", "<!DOCTYPE a>", "é", " "),
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters()) | st.lists(PIECES, max_size=12).map("".join))
def test_review_of_any_text_never_raises(xml):
    for objection in review_twiml(xml):
        assert str(objection).encode()
        assert objection.problem


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60) | st.lists(PIECES, max_size=8).map("".join).map(str.encode))
def test_review_of_any_bytes_never_raises(xml):
    for objection in review_twiml(xml):
        assert objection.problem


def test_bytes_are_read_as_utf_8_and_nothing_else_is_taken():
    assert review_twiml(bytearray(b"<Response/>")) == []
    assert review_twiml(b"<Response><Say>\xc3\xa4</Say></Response>") == []
    with pytest.raises(TypeError, match=r"TwiML is int; give a str, such as str\(response\)"):
        review_twiml(5)


NUMBER = "<Number>+15550100001</Number>"

RIGHT_ONES = [
    (
        "<Gather input='dtmf speech' timeout='3' numDigits='1' action='/key' method='GET'"
        " finishOnKey='#' speechTimeout='auto' hints='yes, no'><Say>Press 1.</Say><Pause/>"
        "<Play>https://example.com/a.mp3</Play></Gather>{connect}"
    ),
    "<Gather action='/key' actionOnEmptyResult='false'/>{connect}",
    (
        "<Say voice='Polly.Joanna' language='en-US' loop='2'>Hello <break time='1s'/>"
        "<prosody rate='slow'><emphasis level='strong'>you</emphasis></prosody></Say>{connect}"
    ),
    "<Say><speak><lang xml:lang='fr-FR'>Bonjour</lang></speak></Say>{connect}",
    "<Play digits='ww12#'/><Pause length='2'/>{connect}<Hangup/>",
    "<Connect action='/next' method='GET'><Stream url='wss://example.com/m' name='a'/></Connect>",
    "<Start><Stream url='wss://example.com/m' track='both_tracks'/></Start><Dial>"
    + NUMBER
    + "</Dial>",
    "<Start><Transcription statusCallbackUrl='https://example.com/t'/></Start>{connect}",
    "<Start><Recording recordingStatusCallback='https://example.com/r'/></Start>{connect}",
    "<Start><Siprec connectorName='a'><Parameter name='b' value='c'/></Siprec></Start>{connect}",
    "<Stop><Stream name='a'/></Stop>{connect}",
    (
        "<Dial timeout='20' answerOnBridge='true' callReason='support' callerId='+15550100009'>"
        "+15550100001</Dial>{connect}"
    ),
    (
        "<Dial action='/done' record='record-from-answer-dual' trim='trim-silence'>"
        "<Number sendDigits='12' statusCallback='https://example.com/s'>+15550100001</Number>"
        "<Client><Identity>alice</Identity><Parameter name='a' value='b'/></Client></Dial>"
    ),
    (
        "<Dial>\n  <Sip username='a' password='b'>sip:alice@example.com;transport=tls?x-a=b</Sip>\n"
        "</Dial>"
    ),
    "<Dial><Sip>sips:alice@example.com</Sip></Dial>",
    "<Dial><Conference startConferenceOnEnter='true' beep='false'>Room 1</Conference></Dial>",
    "<Dial><Queue url='/about'>support</Queue></Dial><Redirect method='POST'>/again</Redirect>",
    "<Dial><Application><ApplicationSid>APx</ApplicationSid></Application></Dial>",
    "<Dial>415-123-4567</Dial>",
    "<Enqueue waitUrl='/wait' workflowSid='WWx'><Task priority='1'>{{}}</Task></Enqueue>",
    "<Enqueue waitUrl='/wait'>support</Enqueue>{connect}",
    "<Record maxLength='30' finishOnKey='#' transcribe='true' playBeep='true'/>",
    (
        "<Pay chargeAmount='20.45'><Prompt for='postal-code'><Say>Your code.</Say></Prompt>"
        "<Parameter name='a' value='b'/></Pay>"
    ),
    "<Refer><Sip>sip:alice@example.com</Sip></Refer>",
    (
        "<Connect><ConversationRelay url='wss://example.com/m'><Language code='en-US'/>"
        "<Parameter name='a' value='b'/></ConversationRelay></Connect>"
    ),
    "<Connect><Room participantIdentity='a'>Daily</Room></Connect>",
    "<Connect><VirtualAgent connectorName='a'><Config name='b'/></VirtualAgent></Connect>",
    "<Reject reason='busy'/>",
    "<Leave/>",
    "<Echo/>",
    "<!-- a comment -->\n  {connect}\n  <!-- another -->\n",
]


@pytest.mark.parametrize("verbs", RIGHT_ONES)
def test_what_is_documented_meets_notes_at_most(verbs):
    xml = f"<Response>{verbs.format(connect=f'<Connect>{STREAM}</Connect>')}</Response>"
    assert [each for each in review_twiml(xml) if each.severity != "note"] == []


@pytest.mark.parametrize(
    "alone",
    [
        f"<Connect>{STREAM}</Connect>",
        f"<Dial>{NUMBER}</Dial>",
        "<Gather><Say>Hello</Say></Gather>",
        "<Enqueue>q</Enqueue>",
        "<Pay><Prompt/></Pay>",
        "<Refer><Sip>sip:alice@example.com</Sip></Refer>",
        "<Say>Hello</Say>",
        "<Redirect>/x</Redirect>",
        "<Stop><Stream name='a'/></Stop>",
        STREAM,
        NUMBER,
        "<Sip>sip:alice@example.com</Sip>",
        "<ConversationRelay url='wss://example.com/m'/>",
    ],
)
def test_a_verb_without_response_is_objected_to_for_that_alone(alone):
    (objection,) = review_twiml(alone)
    assert (objection.code, objection.field) == (12102, "TwiML")
    assert "<Response>" in objection.fix


@pytest.mark.parametrize(
    "parent", ["Gather", "Say", "Play", "Pause", "Enqueue", "Prompt", "Record"]
)
def test_connect_inside_a_verb_that_holds_none_is_objected_to(parent):
    xml = f"<Response><{parent}><Connect>{STREAM}</Connect></{parent}></Response>"
    objection = review_twiml(xml)[0]
    assert (objection.code, objection.field) == (12200, "<Connect>")
    assert objection.fix.startswith("Put it directly inside <Response>, after <")


@pytest.mark.parametrize(
    "stream", [f"<Connect>{STREAM}</Connect>", f"<Start>{STREAM}</Start><Echo/>"]
)
@pytest.mark.parametrize(
    ("verb", "field"),
    [
        ("<Dial action='/x'>+15550100001</Dial>", "<Dial action>"),
        ("<Enqueue action='/x'>q</Enqueue>", "<Enqueue action>"),
        ("<Pay action='/x'/>", "<Pay action>"),
        ("<Connect action='/x'><Room>a</Room></Connect>", "<Connect action>"),
        ("<Gather actionOnEmptyResult='true' action='/x'/>", "<Gather actionOnEmptyResult>"),
        ("<Say loop='0'>Hello</Say>", "<Say loop>"),
        ("<Play loop='0'>https://example.com/a.mp3</Play>", "<Play loop>"),
    ],
)
def test_a_verb_that_never_comes_to_the_stream_is_an_error(verb, field, stream):
    (objection,) = (each for each in review_twiml(f"<Response>{verb}{stream}</Response>")
                    if each.severity == "error")  # fmt: skip
    assert (objection.field, objection.fix[:12]) == (field, "Leave it out")
    assert objection.consequence.endswith("would never begin")


@pytest.mark.parametrize("verb", ["<Dial>+15550100001</Dial>", "<Enqueue>q</Enqueue>", "<Echo/>"])
def test_a_verb_that_the_stream_waits_for_is_noted(verb):
    (note,) = review_twiml(f"<Response>{verb}<Connect>{STREAM}</Connect></Response>")
    assert (note.severity, note.problem) == ("note", "stands before <Connect>")
    assert review_twiml(f"<Response>{verb}</Response>") == []


def test_a_verb_after_a_connect_with_an_action_never_runs():
    xml = f"<Response><Connect action='/x'>{STREAM}</Connect><Say>Bye</Say></Response>"
    assert found(xml) == [("warning", None, "<Say>")]


@pytest.mark.parametrize(
    ("xml", "field", "fix"),
    [
        (f"<Response>Hi<Connect>{STREAM}</Connect></Response>", "<Response>", "<Say>Hi</Say>"),
        (f"<Response><Connect>{STREAM}</Connect>Hi</Response>", "<Response>", "<Say>Hi</Say>"),
        ("<Response><Gather>Press 1</Gather></Response>", "<Gather>", "<Say>Press 1</Say>"),
        (f"<Response><Dial>{NUMBER} or so</Dial></Response>", "<Dial>", "Leave the text out"),
        ("<Response><Hangup>Bye</Hangup></Response>", "<Hangup>", "Leave the text out"),
    ],
)
def test_text_that_no_element_holds_is_objected_to_as_a_probable_fault(xml, field, fix):
    (objection,) = review_twiml(xml)
    assert (objection.severity, objection.field) == ("warning", field)
    assert "would probably leave it out" in objection.consequence
    assert fix in objection.fix


def test_a_url_as_text_is_named_as_the_url_it_is():
    (objection,) = review_twiml(
        "<Response><Connect><Stream>wss://a.b/m</Stream></Connect></Response>"
    )
    assert (objection.code, objection.fix) == (31923, 'Write <Stream url="wss://a.b/m"/>')


@pytest.mark.parametrize(
    ("address", "fix"),
    [
        ("alice@example.com", "Write sip:alice@example.com"),
        ("//alice@example.com", "Write sip:alice@example.com"),
        ("alice", "Write sip:user@host, with the address of who is called"),
    ],
)
def test_an_address_of_sip_without_its_scheme_is_objected_to(address, fix):
    (objection,) = review_twiml(f"<Response><Dial><Sip>{address}</Sip></Dial></Response>")
    assert (objection.field, objection.fix) == ("<Sip>", fix)


@pytest.mark.parametrize("number", ["911", "112", "+911", "999", "41411", "*67", "#31#"])
@pytest.mark.parametrize("xml", ["<Dial>{}</Dial>", "<Dial><Number>{}</Number></Dial>"])
def test_a_short_number_is_not_to_be_completed_by_a_country(xml, number):
    (objection,) = review_twiml(f"<Response>{xml.format(number)}</Response>")
    assert "too short for E.164: an emergency or short number" in objection.problem
    assert objection.fix.startswith("Dial the whole number of who is meant")


def test_a_number_of_the_united_states_is_noted_because_twilio_takes_it():
    (note,) = review_twiml("<Response><Dial>(415) 555-1212</Dial></Response>")
    assert (note.severity, note.fix.rpartition(": ")[2][:12]) == ("note", "+14155551212")
