"""The scope without a browser: the state that it would be drawn from."""

from __future__ import annotations

import re
import threading
import time
from html.parser import HTMLParser

import numpy as np
import pytest

from support.drawings import drawings_in
from support.waiting import LIMIT_SECONDS
from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.notebook.plots import style
from twistream_kit.notebook.runtime.activity_log import PUMP
from twistream_kit.notebook.widgets.scope import LiveScope


@pytest.fixture
def scope_of():
    """Make scopes; they are closed with the test."""
    made = []

    def make(stream):
        made.append(LiveScope(stream))
        return made[-1]

    yield make
    for scope in made:
        scope.close()


def lane(scope, name):
    return np.frombuffer(scope.picture[name], np.int8).reshape(-1, 2).astype(int)


def is_loud(scope, name):
    return np.ptp(lane(scope, name), axis=1).max() > 20


def test_both_voices_and_a_clear_show_while_the_call_goes_on(make_call, scope_of, tone, until):
    up = make_call()
    scope = scope_of(up.stream)
    assert scope.state == "In a call."
    playing = up.stream.play(tone, mark="tone")
    up.phone.say(tone)
    until(lambda: is_loud(scope, "caller") and is_loud(scope, "heard"))
    until(lambda: scope.summary == "Waveform of the call: the caller speaks and hears you")
    up.stream.clear()
    playing.result(LIMIT_SECONDS)
    until(lambda: "clear" in [kind for _, kind, _ in scope.picture["events"]])
    until(lambda: "hears silence; in view: 1 mark back, 1 clear" in scope.summary)
    until(
        lambda: ["mark back", "tone (cleared)"] in [event[1:] for event in scope.picture["events"]]
    )
    heard = np.ptp(lane(scope, "heard"), axis=1) > 20
    assert heard.sum() * 20 == pytest.approx(playing.result(0).heard_ms, abs=60)


def test_it_ends_with_the_stream_and_keeps_its_last_seconds(make_call, scope_of, tone, until):
    up = make_call()
    scope = scope_of(up.stream)
    up.stream.play(tone).heard(0.2).result(LIMIT_SECONDS)
    assert scope.picture["running"]
    up.phone.hang_up()
    until(lambda: not scope.picture["running"])
    until(lambda: scope._update not in PUMP._updates)
    assert scope.state == "Ended: the callee hung up (probably)."
    assert is_loud(scope, "heard")
    assert scope.picture["now"] == pytest.approx(up.stream.capture.seconds, abs=0.001)


def test_a_stream_that_has_ended_shows_its_end_at_once(make_call, scope_of, tone):
    up = make_call()
    up.stream.play(tone).heard(0.2).result(LIMIT_SECONDS)
    up.phone.hang_up()
    up.stream.closed.result(LIMIT_SECONDS)
    scope = scope_of(up.stream)
    assert not scope.picture["running"]
    assert is_loud(scope, "heard")
    assert scope._update not in PUMP._updates


def test_closing_takes_it_off_the_pump_and_leaves_the_stream(make_call, until):
    up = make_call()
    scope = LiveScope(up.stream)
    until(lambda: scope.picture["now"] > 0.2)
    scope.close()
    assert scope._update not in PUMP._updates
    assert scope.comm is None
    assert up.stream.is_open


def test_two_scopes_of_one_stream_show_the_same(make_call, scope_of, tone, until):
    up = make_call()
    one, other = scope_of(up.stream), scope_of(up.stream)
    up.stream.play(tone)
    until(lambda: is_loud(one, "heard") and is_loud(other, "heard"))


@pytest.mark.realtime
def test_it_is_updated_ten_times_a_second_at_most_and_in_small_pieces(make_call, scope_of, tone):
    up = make_call()
    up.stream.play(tone)
    scope = scope_of(up.stream)
    times, enough = [], threading.Event()

    def note(_change):
        times.append(time.monotonic())
        if len(times) > 5:
            enough.set()

    scope.observe(note, "picture")
    assert enough.wait(LIMIT_SECONDS)
    assert times[5] - times[0] >= 5 * 0.095
    assert len(scope.picture["caller"]) + len(scope.picture["heard"]) == 1600


def test_its_colours_are_those_of_the_plots(make_call, scope_of):
    scope = scope_of(make_call().stream)
    assert scope.colours["caller"] == style.CALLER_COLOUR
    assert scope.colours["yours"] == style.YOUR_COLOUR
    assert "#" not in str(LiveScope._css)  # one place for all colours
    assert "export default" in LiveScope._esm


class Tags(HTMLParser):
    """Collects tags, and fails on one that is closed out of turn."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag != "img":  # which has no end
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_page_without_a_kernel_shows_a_small_still_picture(make_call, scope_of, tone, until):
    up = make_call()
    up.stream.play(tone, mark='<b>"tone"')
    up.stream.clear()
    up.stream.play(tone)
    scope = scope_of(up.stream)
    until(lambda: "clear" in [kind for _, kind, _ in scope.picture["events"]])
    until(lambda: is_loud(scope, "heard"))
    bundle, _ = scope._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == repr(scope) == f"<LiveScope of {up.stream!r}>"
    [(words, still)] = drawings_in(bundle["text/html"])
    assert words.startswith("Waveform of the call: the caller")
    tags = Tags()
    tags.feed(still)
    assert tags.open == []
    assert "<b>" not in still
    assert style.YOUR_COLOUR in still
    assert len(bundle["text/html"]) < 12_000
    assert not re.search(r"\bnan\b", still)
    assert "the caller hears" in still
    assert "clear" in [re.sub("<.*?>", "", each) for each in re.findall("<text.*?</text>", still)]


def test_after_the_call_the_whole_of_it_can_be_looked_at(make_call, scope_of, tone, until):
    up = make_call()
    scope = scope_of(up.stream)
    up.phone.press("5")
    playing = up.stream.play(tone, mark="tone")
    playing.heard(0.2).result(LIMIT_SECONDS)
    up.stream.clear()
    outcome = playing.result(LIMIT_SECONDS)  # its mark is back
    assert outcome.ending == "cleared"
    assert scope.whole == {}, "while the call runs, nothing but its last seconds is sent"
    up.phone.hang_up()
    until(lambda: scope.whole)
    whole = scope.whole
    assert whole["seconds"] == pytest.approx(up.stream.capture.seconds, abs=0.001)
    kinds = {kind for _, kind, _ in whole["events"]}
    assert kinds == {"key", "mark sent", "mark back", "clear"}
    assert re.match(r"\d\.\d s of call, .*, 1 mark back, 1 clear, 1 key$", whole["figures"])
    top = np.frombuffer(whole["top"], np.int8).reshape(-1, 4).astype(int)
    assert len(top) == whole["counts"][-1]
    heard = ((top[:, 3] - top[:, 2]) > 20).sum() * 0.02
    assert heard == pytest.approx(outcome.heard_ms / 1000, abs=0.1)


def test_a_page_gets_the_tiles_that_it_asks_for_and_nothing_else(make_call, scope_of, until):
    up = make_call()
    scope = scope_of(up.stream)
    up.phone.hang_up()
    until(lambda: scope.whole)
    sent = []
    scope.send = lambda content, buffers=None: sent.append((content, buffers))
    wrong = [
        {"kind": "peaks", "level": 9, "tile": 0}, {"kind": "peaks", "level": 0, "tile": -1},
        {"kind": "peaks", "level": 0, "tile": 10**9}, {"kind": "peaks", "level": "0", "tile": 0},
        {"kind": "peaks", "level": True, "tile": 0}, {"kind": "peaks"}, {"kind": "other"}, [], None,
    ]  # fmt: skip
    for each in wrong:
        scope._handle_request(scope, each, [])
    assert sent == []
    scope._handle_request(scope, {"kind": "peaks", "level": 0, "tile": 0}, [])
    ((content, (peaks,)),) = sent
    assert content == {"kind": "peaks", "level": 0, "tile": 0}
    assert len(peaks) == 4 * scope.whole["counts"][0]


def test_its_last_picture_shows_the_whole_call_with_figures(make_call, scope_of, tone, until):
    up = make_call()
    scope = scope_of(up.stream)
    assert scope._draw_last_picture() is None
    up.stream.play(tone, mark="<b>tone").heard(0.2).result(LIMIT_SECONDS)
    up.phone.hang_up()
    until(lambda: scope._has_last_picture)
    still = scope._draw_last_picture()
    [(_, drawing)] = drawings_in(still)
    tags = Tags()
    tags.feed(still)
    tags.feed(drawing)
    assert tags.open == []
    assert "<b>" not in drawing
    assert "Ended: the callee hung up (probably). " in still
    assert "of call, sound of the caller in" in still
    assert "<b>" not in still
    assert len(still) < 12_000


def test_it_says_so_when_sound_is_no_longer_kept(make_call, scope_of, until):
    up = make_call()
    up.stream.capture._room = dict.fromkeys(up.stream.capture._room, 0)
    scope = scope_of(up.stream)
    until(lambda: "Sound is kept for 15 minutes and not drawn after them." in scope.state)


@pytest.mark.parametrize("wrong", [Capture(), Clip.silence(1), None])
def test_it_refuses_what_is_no_stream_and_says_what_to_do(wrong):
    with pytest.raises(TypeError, match=r"MediaStream.*next_stream.*plot_timeline"):
        LiveScope(wrong)
