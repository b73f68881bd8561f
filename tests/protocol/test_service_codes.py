"""The numbers of other services, and whose page an HTTP answer is."""

import tomllib
from importlib import resources

import pytest

from twistream_kit.protocol.codes import TWILIO_CODES
from twistream_kit.protocol.service_codes import (
    explain_ngrok,
    find_service_code,
    identify_answer,
    read_service_codes,
)

CODES = list(read_service_codes().values())
FILE = resources.files("twistream_kit.protocol").joinpath("service_codes.toml")


@pytest.mark.parametrize("code", CODES, ids=lambda code: f"{code.service}-{code.number}")
def test_every_number_is_explained(code):
    assert len(code.name) > 1
    assert code.meaning.endswith(".")
    assert code.fix.endswith(".")
    assert code.twilio is None or code.twilio in TWILIO_CODES
    lines = repr(code).splitlines()
    assert lines[0] == f"{code.title} (not a code of Twilio's)"
    assert max(map(len, lines)) <= 120


def test_numbers_that_users_paste_are_there():
    ngrok = {103, 108, 121, 123, 725, 727, 3200, 4018, 6024, 8012, 9040}
    assert ngrok <= {code.number for code in CODES if code.service == "ngrok"}
    assert {530, 1015, 1033} <= {code.number for code in CODES if code.service == "cloudflare"}
    closes = {code.number for code in CODES if code.service == "websocket"}
    assert closes == set(range(1000, 1016)) - {1004}  # 1004 is reserved and has no meaning


def test_the_file_is_in_order_and_has_the_fields_of_its_head():
    entries = tomllib.loads(FILE.read_text())
    for numbers in entries.values():
        assert [int(number) for number in numbers] == sorted(map(int, numbers))
        assert {tuple(entry) for entry in numbers.values()} <= {
            ("name", "meaning", "fix"),
            ("name", "meaning", "fix", "twilio"),
        }
    assert max(map(len, FILE.read_text().splitlines())) <= 100


def test_an_unknown_number_of_ngroks_leads_to_its_page():
    code = explain_ngrok(777)
    assert code.fix.endswith("https://ngrok.com/docs/errors/err_ngrok_777.")


@pytest.mark.parametrize(
    ("status", "headers", "body", "found"),
    [
        (404, {"Ngrok-Error-Code": "ERR_NGROK_3200"}, "", ("ngrok", 3200)),
        (404, {"ngrok-error-code": "err_ngrok_3200"}, "", ("ngrok", 3200)),
        (502, {}, "<b>Bad</b> <p>ERR_NGROK_8012</p>", ("ngrok", 8012)),
        (403, {"NGROK-ERROR-CODE": "ERR_NGROK_31999"}, "", ("ngrok", 31999)),
        (530, {"server": "cloudflare"}, "error code: 1033", ("cloudflare", 1033)),
        (
            530,
            {"CF-RAY": "8a-FRA"},
            '<h1><span>Error</span> <span class="cf-error-code">1033</span></h1>',
            ("cloudflare", 1033),
        ),
        (429, {"server": "cloudflare"}, "error code: 1015", ("cloudflare", 1015)),
        (530, {"server": "cloudflare"}, "", ("cloudflare", 530)),
        (502, {"server": "cloudflare"}, "<html>", ("cloudflare", 502)),
        (404, {"server": "cloudflare"}, "no such page", None),
        (404, {"server": "uvicorn"}, "Not Found", None),
        (403, {"server": "nginx"}, "error code: 1033", None),
        (200, {"server": "nginx"}, "our notes on ERR_NGROK_3200", None),
        (400, {}, "", None),
    ],
)
def test_whose_answer_it_is(status, headers, body, found):
    code = identify_answer(status, headers, body)
    assert (code and (code.service, code.number)) == found


def test_a_number_of_another_service_is_not_found():
    assert find_service_code("http", 1033) is None
