import re
import subprocess
import sys
import tomllib
from importlib import resources

import pytest

from twistream_kit.errors import TwistreamError
from twistream_kit.protocol.codes import TWILIO_CODES, TwilioCode, UnknownCode, get_code, read_codes

# Written down by hand from PROTOCOL.md §5.1, §5.2 and §5.3; a w behind a number is a warning.
STREAM = """
31900 31901 31902 31903 31904 31910 31920 31921 31922 31923 31924 31930w 31931w 31940 31941 31942
31950w 31951w 31952 31953w 31960
"""
WEBHOOK = """
11100 11200 11201 11202 11203 11205 11206 11210 11215 11220 11235 11236 11237 11750 11770 12100
12101 12102 12200w 12300 12400 13805w 15003w 15004 21262w 32014w 32015w 32016
32018
"""
CALL = """
20003 20005 10001 20008 20404 20422 20429 20500 20503 21201 21213 21205 21206 21207 21208 21209
21210 21211 21212 21214 21215 13227 21216 21217 21218 21219 21220 10004
"""
SECTIONS = [("5.1", STREAM), ("5.2", WEBHOOK), ("5.3", CALL)]
WRITTEN = [(section, number) for section, text in SECTIONS for number in text.split()]
CODES = [
    (section, int(number.removesuffix("w")), "warning" if number.endswith("w") else "error")
    for section, number in WRITTEN
]


FILE = resources.files("twistream_kit.protocol").joinpath("codes.toml")

GOOD = b"""
[31951]
name = "Stream - Protocol - Invalid Message"
level = "warning"
meaning = "Twilio dropped a message."
causes = ["a misspelt field", "a missing field"]
remedy = "Mend it."
section = "5.1"

[20003]
name = "Authenticate"
level = "error"
meaning = "Twilio does not accept the credentials."
causes = ["the token was renewed"]
remedy = "Copy it anew."
section = "5.3"
http_status = 401
"""


def test_every_known_code_is_in_the_table_and_no_other():
    assert set(TWILIO_CODES) == {number for _, number, _ in CODES}


@pytest.mark.parametrize(("section", "number", "level"), CODES)
def test_code_is_explained_with_meaning_causes_and_remedy(section, number, level):
    code = get_code(number)
    assert (code.code, code.section) == (number, section)
    assert len(code.name) > 5
    assert code.meaning.endswith(".")
    assert code.remedy.endswith(".")
    assert code.causes
    assert all(len(cause) > 10 for cause in code.causes)
    assert code.level == level


def test_texts_are_not_copies_of_each_other():
    meanings = [code.meaning for code in TWILIO_CODES.values()]
    assert len(set(meanings)) == len(meanings)


def test_refused_requests_have_their_http_status():
    assert get_code(20003).http_status == 401
    assert get_code(20404).http_status == 404
    assert get_code(21211).http_status == 400
    assert get_code(31951).http_status == 0


def test_repr_of_a_code_is_a_report():
    lines = repr(get_code(31950)).splitlines()
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
        get_code(31925)
    text = str(caught.value)
    assert text.startswith("31925 is not among the codes known here. Nearest are 31922 (")
    assert re.search(r"31924 \(Stream - Websocket - Protocol Error\)", text)
    assert text.endswith("https://www.twilio.com/docs/api/errors/31925.")
    assert caught.value.code == 31925


def test_unknown_code_is_a_lookup_error_and_one_of_ours():
    assert issubclass(UnknownCode, LookupError)
    assert issubclass(UnknownCode, TwistreamError)


@pytest.mark.parametrize("number", [10**9, 10**5000, -(10**5000)], ids=["10", "5001", "minus"])
def test_number_too_long_for_a_code_is_refused_in_words(number):
    with pytest.raises(UnknownCode, match="a number beyond 999999999 is no code"):
        get_code(number)


def test_table_cannot_be_changed():
    with pytest.raises(TypeError):
        TWILIO_CODES[1] = get_code(31951)


def test_shipped_file_keeps_every_rule_of_its_head():
    content = FILE.read_bytes()
    assert list(read_codes(content)) == list(TWILIO_CODES)  # raises, and says which code is wrong
    # Rules that are for the eye alone, and that the reader of the file need not know.
    text = content.decode()
    assert max(map(len, text.splitlines())) <= 100
    orders = {tuple(entry) for entry in tomllib.loads(text).values()}
    fields = ("name", "level", "meaning", "causes", "remedy", "section")
    assert orders <= {fields, (*fields, "http_status"), (*fields, "http_status", "said")}


def test_codes_that_share_a_remedy_share_its_words():
    for first, *others in [(21211, 21212, 21217), (20429, 20503), (11235, 11237)]:
        assert {get_code(other).remedy for other in others} == {get_code(first).remedy}


def test_entry_becomes_a_code():
    assert read_codes(GOOD) == {
        31951: TwilioCode(
            31951,
            "Stream - Protocol - Invalid Message",
            "warning",
            "Twilio dropped a message.",
            ("a misspelt field", "a missing field"),
            "Mend it.",
            "5.1",
        ),
        20003: TwilioCode(
            20003,
            "Authenticate",
            "error",
            "Twilio does not accept the credentials.",
            ("the token was renewed",),
            "Copy it anew.",
            "5.3",
            401,
        ),
    }


ONE_LINE = "is not a text of one line"

MALFORMED = [
    ("[31951]", "[3195]", "[3195] is not a code of five digits"),
    ("[31951]", "[031951]", "[031951] is not a code of five digits"),
    ("[31951]", "[stream]", "[stream] is not a code of five digits"),
    ("[31951]", "31952 = 1\n[31951]", "[31952] is not a table"),
    ('level = "warning"\n', "", "[31951] has no level"),
    ("http_status = 401\n", "", "[20003] has no http_status"),
    ("remedy = ", "remedi = ", "[31951] has no remedy; [31951] has a field that does not belong"),
    (
        "[20003]",
        "http_status = 400\n[20003]",
        "[31951] has a field that does not belong there: htt",
    ),
    ('"Mend it."', "31951", f"[31951] has a remedy that {ONE_LINE}: 31951"),
    ('"Mend it."', '""', f"[31951] has a remedy that {ONE_LINE}: ''"),
    ('"Mend it."', '"Mend  it."', f"[31951] has a remedy that {ONE_LINE}: 'Mend  it.'"),
    ('"Mend it."', '"""Mend\nit."""', f"[31951] has a remedy that {ONE_LINE}: 'Mend\\nit.'"),
    ('"warning"', '"warn"', "[31951] has a level that is none of error, warning: 'warn'"),
    ('"5.1"', '"5.4"', "[31951] has a section that is none of 5.1, 5.2, 5.3: '5.4'"),
    ('["a misspelt field", "a missing field"]', '"a"', "[31951] has a causes that is not a list"),
    ('["a misspelt field", "a missing field"]', "[]", "[31951] has a causes that is not a list"),
    ('"a missing field"', "1", "[31951] has a causes that is not a list of texts"),
    ("401", "true", "[20003] has a http_status that is not a whole number from 400 to 599: True"),
    ("401", "200", "[20003] has a http_status that is not a whole number from 400 to 599: 200"),
    ("[20003]", "[31951]", "codes.toml is not TOML in UTF-8: Cannot declare ('31951',) twice"),
    ('"Mend it."', '"Mend it.', "codes.toml is not TOML in UTF-8: Illegal character"),
    ('"5.3"', '"5.1"', "[20003] has a field that does not belong there: http_status"),
    ('"5.3"\nhttp_status = 401', '"5.1"', "[20003] of section 5.1 stands after [31951] of section"),
]


@pytest.mark.parametrize(("right", "wrong", "words"), MALFORMED)
def test_malformed_file_is_refused_in_words_that_name_the_code(right, wrong, words):
    content = GOOD.decode().replace(right, wrong, 1).encode()
    assert content != GOOD
    with pytest.raises(TwistreamError) as caught:
        read_codes(content)
    text = str(caught.value)
    assert text.startswith("codes.toml")
    assert words in text
    assert "None of Twilio's codes can be explained. Install twistream-kit again" in text


def test_file_in_another_encoding_is_refused_in_words():
    with pytest.raises(TwistreamError, match=r"codes\.toml is not TOML in UTF-8: .*0xe9"):
        read_codes(GOOD.replace(b"Mend", "Ménd".encode("latin-1")))


def in_a_new_process(program):
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )


def test_file_is_read_when_the_first_code_is_asked_for_and_once():
    done = in_a_new_process("""
import tomllib
reads = []
loads = tomllib.loads
tomllib.loads = lambda text: reads.append(1) or loads(text)
from twistream_kit.protocol.codes import TWILIO_CODES, get_code
print(len(reads))
get_code(31951), get_code(11200), len(TWILIO_CODES)
print(len(reads))
""")
    assert (done.stdout, done.stderr) == ("0\n1\n", "")


def test_missing_file_is_reported_in_words():
    done = in_a_new_process("""
from twistream_kit.errors import TwistreamError
from twistream_kit.protocol import codes
codes._FILE = "elsewhere.toml"
try:
    codes.get_code(31951)
except TwistreamError as error:
    print(error)
""")
    assert done.stderr == ""
    assert done.stdout.startswith("elsewhere.toml of the package cannot be read (")
    assert done.stdout.endswith("where you have edited the file, correct it.\n")
