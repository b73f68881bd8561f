import re

import pytest

from twistream_kit.errors import TwistreamError
from twistream_kit.protocol.codes import TWILIO_CODES, UnknownCode, explain

# Written down by hand from PROTOCOL.md §5.1, §5.2 and §5.3.
STREAM = """
31900 31901 31902 31903 31904 31910 31920 31921 31922 31923 31924 31930 31931 31940 31941 31942
31950 31951 31952 31953 31960
"""
WEBHOOK = """
11100 11200 11201 11202 11203 11205 11206 11210 11215 11220 11235 11236 11237 11750 11770 12100
12101 12102 12200 12300 12400 13805 15003 15004 32014 32015 32016 32018
"""
CALL = """
20003 20005 10001 20008 20404 20422 20429 20500 20503 21201 21213 21205 21206 21207 21208 21209
21210 21211 21212 21214 21215 13227 21216 21217 21218 21219 21220 10004
"""
WARNINGS = {31930, 31931, 31950, 31951, 31953, 12200, 13805, 15003, 32014, 32015}
SECTIONS = [("5.1", STREAM), ("5.2", WEBHOOK), ("5.3", CALL)]
NUMBERS = [(section, int(number)) for section, text in SECTIONS for number in text.split()]


def test_every_known_code_is_in_the_table_and_no_other():
    assert set(TWILIO_CODES) == {number for _, number in NUMBERS}


@pytest.mark.parametrize(("section", "number"), NUMBERS)
def test_code_is_explained_with_meaning_causes_and_remedy(section, number):
    code = explain(number)
    assert (code.code, code.section) == (number, section)
    assert len(code.name) > 5
    assert code.meaning.endswith(".")
    assert code.remedy.endswith(".")
    assert code.causes
    assert all(len(cause) > 10 for cause in code.causes)
    assert code.level == ("warning" if number in WARNINGS else "error")


def test_texts_are_not_copies_of_each_other():
    meanings = [code.meaning for code in TWILIO_CODES.values()]
    assert len(set(meanings)) == len(meanings)


def test_refused_requests_have_their_http_status():
    assert explain(20003).http_status == 401
    assert explain(20404).http_status == 404
    assert explain(21211).http_status == 400
    assert explain(31951).http_status == 0


@pytest.mark.parametrize("text", ["31951", " 31951 ", "Error 31951", "31951 Stream - Protocol"])
def test_code_is_found_in_a_text(text):
    assert explain(text) is explain(31951)


def test_repr_of_a_code_is_a_report():
    lines = repr(explain(31950)).splitlines()
    assert lines[0] == "31950 (warning): Stream - Protocol - Malformed Message"
    assert lines[1].startswith("Your server sent a binary message; Twilio reads only text")
    assert lines[3:] == [
        "Usual causes:",
        "  - raw sound was sent instead of JSON around base64",
        "  - JSON was sent as bytes: websocket.send(text.encode())",
        "What to do: Send str, not bytes. kit.review(message) says what a message is.",
    ]


def test_no_line_of_any_report_is_longer_than_a_terminal():
    for code in TWILIO_CODES.values():
        assert max(map(len, repr(code).splitlines())) <= 100


def test_unknown_code_names_its_neighbours():
    with pytest.raises(UnknownCode) as caught:
        explain(31925)
    text = str(caught.value)
    assert text.startswith("31925 is not among the codes known here. Nearest are 31922 (")
    assert re.search(r"31924 \(Stream - Websocket - Protocol Error\)", text)
    assert text.endswith("https://www.twilio.com/docs/api/errors/31925.")
    assert caught.value.code == 31925


def test_unknown_code_is_a_lookup_error_and_one_of_ours():
    assert issubclass(UnknownCode, LookupError)
    assert issubclass(UnknownCode, TwistreamError)


@pytest.mark.parametrize("text", ["", "playload", "-", "9" * 5000])
def test_text_without_a_code_is_refused_in_words(text):
    with pytest.raises(UnknownCode, match="holds no code"):
        explain(text)


def test_table_cannot_be_changed():
    with pytest.raises(TypeError):
        TWILIO_CODES[1] = explain(31951)
