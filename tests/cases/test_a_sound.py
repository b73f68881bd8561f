"""Kind A, and F06: payloads of right μ-law whose samples were wrong before they were encoded."""

import json
from base64 import b64encode

import pytest

import twistream_kit as kit
from support.cases import CASES, frames_of
from twistream_kit.errors import Objections

ROWS = {
    "a01.ulaw": ("made before the μ-law coding", "encoded twice"),
    "a02.ulaw": ("made before the μ-law coding", "encoded twice"),
    "a03.ulaw": ("made before the μ-law coding", "encoded twice"),
    "a04.ulaw": ("made before the μ-law coding", "encoded twice"),
    "a05.ulaw": ("jumps over the whole scale", "wrapped around", "Scale or clip before the cast"),
    "a06.ulaw": ("is noise", "narrowed to 16 bits and not scaled"),
    "a07.ulaw": ("is noise", "from 1.1 s on", "a byte is missing or too many"),
    "a08.ulaw": ("is noise", "made before the μ-law coding", "byte order"),
    "a09.ulaw": ("read as text", "EF BF BD", "response.content", "arraybuffer"),
    "a10.ulaw": ("read as text", "Latin-1", "response.content"),
    "a11.ulaw": ("read as text", "ASCII", "response.content"),
    "a12.ulaw": ("half of all codes are missing", "7 bits", "read as text"),
    "f06.ulaw": ("tones of telephone keys", "'1234567890'", "<Play digits=", "send_digits"),
}

OTHER_CODINGS = ("is A-law", "is PCM", "is float32", "8-bit", "load_clip(sound")


def whole(name: str) -> str:
    payload = b64encode((CASES / name).read_bytes()).decode()
    media = {"event": "media", "streamSid": "MZ" + "0" * 32, "media": {"payload": payload}}
    return json.dumps(media)


def assert_found(found: Objections, facts: tuple[str, ...]) -> None:
    text = str(found)
    assert len(found) == 1, text
    assert [fact for fact in facts if fact not in text] == []
    assert [name for name in OTHER_CODINGS if name in text] == []
    assert found[0].consequence.startswith(("The caller hears", "The other side hears"))


@pytest.mark.parametrize("name", ROWS)
def test_what_happened_before_the_coding_is_found_in_frames(name):
    assert_found(kit.review_sound(frames_of(name)), ROWS[name])


@pytest.mark.parametrize("name", ROWS)
def test_what_happened_before_the_coding_is_found_in_one_message(name):
    assert_found(kit.review(whole(name)), ROWS[name])


def test_hexadecimal_digits_in_the_place_of_base64():
    text = (CASES / "a13.json").read_text(encoding="utf-8")
    [objection] = kit.review(text)
    assert "hexadecimal digits" in objection.problem
    assert "b64encode(bytes.fromhex(digits))" in objection.fix
    message = json.loads(text)
    digits = message["media"]["payload"]
    message["media"]["payload"] = b64encode(bytes.fromhex(digits)).decode()
    assert kit.review(json.dumps(message)) == []


@pytest.mark.parametrize("seconds", [0.99, 1.0, 1.2, 1.26, 1.42, 1.49, 1.6])
def test_keys_are_found_in_a_sound_of_any_length(seconds):
    payload = (CASES / "f06.ulaw").read_bytes()[: int(8000 * seconds)]
    frames = [payload[at : at + 160] for at in range(0, len(payload), 160)]
    (found,) = kit.review_sound(frames)
    assert "telephone keys: '1234" in found.problem
