"""Advice that works when it is followed: URLs, keys, recordings, transfers, servers in cells."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

import twistream_kit as kit
from support.cases import CASES
from support.waiting import eventually
from twistream_kit.errors import LocalProtocolError

MEANT = "wss://voice.example.com/media"


def review(name):
    return kit.review_twiml((CASES / name).read_text(encoding="utf-8"))


def run(name):
    done = subprocess.run(
        [sys.executable, str(CASES / name)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("f01.xml", "names two schemes, wss:// and https://"),
        ("f02.xml", "the colon is missing"),
        ("f03.xml", "has a blank after it"),
        ("f04.xml", "has a blank before and after it"),
    ],
)
def test_f01_to_f04_url_that_is_written_wrongly_is_given_as_it_is_meant(name, said):
    (objection,) = review(name)
    assert (objection.severity, objection.field) == ("error", "<Stream url>")
    assert said in objection.problem
    assert objection.fix.startswith(f"Write {MEANT}")
    assert "tunnel" not in str(objection)
    assert "percent" not in str(objection)


@pytest.mark.parametrize(
    "url",
    [
        "wss://https://voice.example.com/media",
        "wss//voice.example.com/media",
        f"{MEANT} ",
        f"\n  {MEANT}\n",
    ],
)
async def test_f01_to_f04_are_refused_before_a_call_is_placed(url):
    with pytest.raises(LocalProtocolError, match=f"Write {MEANT}"):
        kit.connect_stream(url)
    async with kit.SimulatedTwilio() as twilio:
        numbers = {"to": "+15550100001", "from_": twilio.numbers[0]}
        with pytest.raises(LocalProtocolError, match=f"Write {MEANT}"):
            kit.place_call(twilio.client, stream_url=url, **numbers)
        assert not twilio.calls


def test_f03_a_blank_is_to_be_taken_away_and_not_encoded():
    (objection,) = review("f03.xml")
    assert "%20 would make another path" in objection.fix


def test_f05_keys_are_sent_before_the_stream_and_neither_through_it_nor_as_sound():
    (objection,) = kit.review(json.loads((CASES / "f05.json").read_text()))
    assert "cannot be sent through a stream" in objection.fix
    assert "nor does their sound arrive as keys" in objection.fix
    assert "send_digits='1'" in objection.fix
    assert '<Play digits="1"/> before <Connect>' in objection.fix
    assert "ends the stream" in objection.fix
    assert "Clip.dtmf" not in str(objection)


@pytest.mark.parametrize(("digit", "said"), [("#", "#"), ("D", "D"), (1, "1"), ("{x}", "1")])
def test_f05_the_key_of_the_message_is_the_one_to_send(digit, said):
    (objection,) = kit.review({"event": "dtmf", "dtmf": {"digit": digit}})
    assert f"send_digits='{said}'" in objection.fix


@pytest.mark.parametrize("name", ["f07.xml", "f08.xml"])
def test_f07_and_f08_a_record_takes_a_message_and_the_talk_is_recorded_otherwise(name):
    (objection,) = review(name)
    assert objection.field == "<Record>"
    assert "it takes a message, and records no talk" in objection.problem
    assert "record=True" in objection.fix
    assert "client.calls(call_sid).recordings.create()" in objection.fix
    assert "beside" not in objection.fix


def test_f08_the_stream_begins_only_after_the_message():
    (objection,) = review("f08.xml")
    assert objection.consequence == "The stream begins only when the caller has left a message"


def test_f11_the_words_name_what_does_not_work():
    printed, raised = run("f11.py")
    assert "run() cannot be called from a running event loop" in raised
    assert "asyncio.Runner does not, nor what makes one, such as uvicorn.run()" in printed
    assert "kit.start(kit.ServerProcess(" in printed


def test_f12_a_server_of_ones_own_is_led_to_a_process_of_its_own():
    printed, raised = run("f12.py")
    assert printed == ""
    assert "start() takes an async context manager" in raised
    assert "A server of your own" in raised
    assert "kit.start(kit.ServerProcess(" in raised


def test_h01_number_of_a_transfer_is_asked_for_in_e164():
    (objection,) = review("h01.xml")
    assert objection.field == "<Dial>"
    assert "not E.164" in objection.problem
    assert objection.fix.startswith("Write it with + and the country's code")


async def test_h01_the_simulator_says_that_no_transfer_can_be_tried():
    async with kit.SimulatedTwilio(ring_seconds=0) as twilio:
        phone = twilio.phone("+15550100001")
        call = await asyncio.to_thread(
            twilio.client.calls.create,
            to=phone.number, from_=twilio.numbers[0], twiml=(CASES / "h01.xml").read_text(),
        )  # fmt: skip
        await eventually(lambda: twilio.calls[0].over)
        assert call.sid == twilio.calls[0].sid
        number, transfer = twilio.debugger.unlogged
    assert twilio.debugger.codes == []
    assert "not E.164" in str(number)
    assert "a transfer" in transfer.objection.consequence
    assert "cannot be tried here" in transfer.objection.consequence
