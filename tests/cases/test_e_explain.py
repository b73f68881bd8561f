"""Numbers that are not Twilio's: the lines of `e01.txt`, one row each."""

import pytest

import twistream_kit as kit
from support.cases import lines_of

LINES = list(lines_of("e01.txt"))


@pytest.mark.parametrize(("number", "code"), [(0, 20003), (1, 21210)], ids=["E01", "E02"])
def test_a_sentence_without_its_number_is_twilios(number, code):
    assert kit.explain(LINES[number]).code == code


@pytest.mark.parametrize(
    ("number", "service", "code", "words"),
    [
        (2, "ngrok", 3200, "offline"),
        (3, "cloudflare", 1033, "cloudflared"),
        (4, "websocket", 1006, "without a Close frame"),
        (5, "websocket", 1011, "exception"),
    ],
    ids=["E03", "E04", "E05", "E06"],
)
def test_a_number_of_another_service_is_its_own(number, service, code, words):
    found = kit.explain(LINES[number])
    assert (found.service, found.number) == (service, code)
    assert words in repr(found)


def test_what_twilio_logs_for_a_close_is_said():
    assert "Twilio logs 31903" in repr(kit.explain(LINES[4]))
    assert "Twilio logs 31921" in repr(kit.explain(LINES[5]))
