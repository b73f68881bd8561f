"""What a URL was meant to be that is written wrongly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.addresses import MALFORMED
from twistream_kit.errors import LocalProtocolError, SettingsError
from twistream_kit.live.server.addresses import check_public_url
from twistream_kit.protocol.twiml import build_stream_url, connect_stream, review_stream_url
from twistream_kit.protocol.url_repair import repair_url

MEANT = "wss://voice.example.com/media"
REST = MEANT.removeprefix("wss://")

SCHEMES = [
    *("wss://https://", "wss://wss://", "https://wss://", "wss://http://", "https://https://"),
    *("WSS://HTTPS://", "wss://https//", "wss://https:/", "wss://https:", "wss://https/"),
    *("wss://https://wss://", "wss%3A//", "wss:%2F%2F", "ws//", "https//", "http:"),
    *("wss//", "wss:/", "wss:", "wss;//", "wss;/", "wss.//", "wss:///", "wss:\\\\", "wss/"),
    *("wsss//", "wss//:", "wss:// https://", "wss ://", "wss: //", "wss:// "),
]

AROUND = [" ", "  ", "\t", "\n", "\r\n", "\n    ", "\u00a0", "\u200b", "\ufeff", "\u2028", "\u3000"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_scheme_that_is_doubled_or_broken_is_mended(scheme):
    repair = repair_url(scheme + REST)
    assert (repair.url, repair.fix) == (MEANT, f"Write {MEANT}")


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("ws:localhost:5000/m", "ws://localhost:5000/m"),
        ("ws//127.0.0.1:5000/m", "ws://127.0.0.1:5000/m"),
        ("wss://http://127.0.0.1:5000/m", "ws://127.0.0.1:5000/m"),
        ("wss//[::1]:5000/m", "wss://[::1]:5000/m"),
        ("wss//nas:5000/m", "wss://nas:5000/m"),
        ("wss://https://nas/m", "wss://nas/m"),
        ("wss//voice.example.com", "wss://voice.example.com"),
        ("wss:\\\\voice.example.com\\media\\a", "wss://voice.example.com/media/a"),
        ("wss//voice.example.com?a=b", "wss://voice.example.com?a=b"),
        (f"{MEANT} # the live one", MEANT),
        (f"{MEANT} (live)", MEANT),
        (f"{MEANT} {MEANT}2", MEANT),
        (f'"{MEANT}"', MEANT),
        (f"'{MEANT}'", MEANT),
        (f"“{MEANT}”", MEANT),
        (f"<{MEANT}>", MEANT),
        (f" '{MEANT}' ", MEANT),
    ],
)
def test_rest_of_the_url_is_kept_as_it_is_meant(url, meant):
    assert repair_url(url).url == meant


@pytest.mark.parametrize("space", AROUND)
def test_what_stands_around_a_url_is_taken_away_and_never_encoded(space):
    for url in (space + MEANT, MEANT + space, space + MEANT + space):
        repair = repair_url(url)
        assert repair.url == MEANT
        assert repair.fix.startswith(
            f"Write {MEANT} with nothing around it: %20 would make another"
        )
        assert review_stream_url(repair.url) == []


@pytest.mark.parametrize(
    ("url", "meant", "other"),
    [
        ("wss://voice.exam\u200bple.com/media", MEANT, ""),
        ("wss://voice.example.com/me\ndia", MEANT, ""),
        ("wss://voice.example.com/\r\n    media", MEANT, ""),
        ("wss://voice. example.com/media", MEANT, ""),
        ("wss://voice.example.com /media", MEANT, ""),
        ("wss://voice.example.com/me dia", MEANT, "wss://voice.example.com/me%20dia"),
    ],
)
def test_blank_inside_is_taken_away_and_only_in_the_path_it_may_be_meant(url, meant, other):
    repair = repair_url(url)
    assert (repair.url, repair.other) == (meant, other)
    assert repair.fix == f"Write {meant}" + (
        f"; or {other}, if its path really has a blank there" if other else ""
    )


@pytest.mark.parametrize(
    "url",
    [
        MEANT,
        *(
            "wss://wss.example.com/media",
            "wss.example.com/media",
            "https.example.com",
            "ws-1/media",
        ),
        *("wss://https.example.com/m", "wss://https:8443/m", "wss://ws:secret@example.com/m"),
        *("https://example.com", "ws://127.0.0.1:5000/m", "wss:80/m", "wss", "wss:", "wss://"),
        *(
            "/media",
            "media",
            "",
            "  ",
            "wss//media",
            "wss:/media",
            "wss:///media",
            "wss://{host}/m",
        ),
        *("wss://[2001:db8::1]:8443/m", "wss://voice.example.com/it's/media'"),
        *("wss://voice.example.com/http/voice.example.com", "wss://bücher.example/m"),
    ],
)
def test_url_that_is_written_properly_or_beyond_repair_is_left_alone(url):
    assert repair_url(url) is None


@pytest.mark.parametrize("url", MALFORMED)
def test_password_is_in_neither_problem_nor_fix(url):
    for scheme in ("", "wss://", "https//"):
        if repair := repair_url(scheme + url):
            assert "hunter2" not in f"{repair.problem} {repair.fix}"


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("https://https://voice.example.com", "https://voice.example.com"),
        ("https://http://voice.example.com", "http://voice.example.com"),
        ("https//voice.example.com", "https://voice.example.com"),
        ("wss://https://voice.example.com", "https://voice.example.com"),
        ("https://voice.example.com ", "https://voice.example.com"),
    ],
)
def test_address_of_a_server_is_refused_with_the_one_that_is_meant(url, meant):
    for refuse, error in (
        (build_stream_url, LocalProtocolError),
        (check_public_url, SettingsError),
    ):
        with pytest.raises(error) as caught:
            refuse(url)
        assert caught.value.fix.startswith(f"Write {meant}")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_review_and_connect_stream_agree(scheme):
    first, *rest = review_stream_url(scheme + REST)
    assert (first.severity, first.code, rest) == ("error", 31923, [])
    with pytest.raises(LocalProtocolError) as caught:
        connect_stream(scheme + REST)
    assert caught.value.fix == first.fix == f"Write {MEANT}"


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("ws:htp/\\;.%3aF2 \n\u200bA@'\"<>[]1#?"), max_size=30))
def test_mended_url_needs_no_second_repair_of_the_same_kind(url):
    if repair := repair_url(url):
        assert repair.url != url
        assert repair.problem
        again = repair_url(repair.url)
        assert again is None or again.url != repair.url


@pytest.mark.parametrize("url", ["wss//a\ud800", '"\ud800', "a" * 4001, " wss//" + "a" * 4000])
def test_what_cannot_be_written_into_a_fix_is_not_repaired(url):
    assert repair_url(url) is None


@pytest.mark.parametrize("blank", [" ", "\n ", "\t", "\u200b"])
def test_line_breaks_with_blanks_around_them_are_taken_out(blank):
    assert repair_url(f"wss://a.example/b{blank}\n  /c").url == "wss://a.example/b/c"
