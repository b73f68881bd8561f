"""The picture of a conversation."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis._turn_meter import WholeSound
from twistream_kit.diagnosis.turns import find_turns
from twistream_kit.errors import WrongType
from twistream_kit.notebook.plots.turns import plot_turns
from twistream_kit.protocol import from_twilio, to_twilio

TONE = Clip.tone(440, 1.0)


def place(*starts: float, seconds: float) -> Clip:
    """Return a tone of one second at each time, in silence."""
    sound = bytearray(b"\xff" * round(seconds * 8000))
    for at in starts:
        sound[round(at * 8000) : round(at * 8000) + 8000] = TONE.payload
    return Clip(bytes(sound))


@pytest.fixture
def measured():
    """A greeting that is interrupted, an answer, and a question without one."""
    said = place(1.5, 5.5, seconds=10.0)
    return find_turns(place(0.8, 2.9, seconds=10.0), said)


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_each_turn_is_a_bar_at_its_time(measured):
    figure = plot_turns(measured)
    caller, _, server = figure.axes
    bars = [
        [path.vertices[:, 0] for path in collection.get_paths()]
        for axes in (caller, server)
        for collection in axes.collections
        if "turn" in str(collection.get_label())
    ]
    spans = [[(round(min(x), 2), round(max(x), 2)) for x in each] for each in bars]
    assert spans == [[(1.5, 2.5), (5.5, 6.5)], [(0.8, 1.8), (2.9, 3.9)]]


def test_times_stand_between_the_parties(measured):
    figure = plot_turns(measured)
    assert sorted(texts(figure.axes[1])) == ["300 ms", "400 ms", "no answer"]
    segments = {
        (collection.get_label(), round(segment[0][0], 2), round(segment[1][0], 2))
        for collection in figure.axes[1].collections
        for segment in collection.get_segments()
    }
    assert segments == {
        ("response", 2.5, 2.9),
        ("barge-in", 1.5, 1.8),
        ("response", 6.5, 10.0),
    }


def test_title_gives_the_figures(measured):
    assert plot_turns(measured).get_suptitle() == (
        "10.0 s of call, 4 turns, response at most 400 ms, once never (2 values), barge-in 300 ms"
    )


def test_legend_explains_what_is_drawn(measured):
    legend = plot_turns(measured).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [
        "caller's turn",
        "server's turn",
        "response",
        "barge-in",
        "both speak",
        "dead air",
    ]


def test_words_that_nobody_heard_have_a_mark_at_the_end_of_the_call():
    figure = plot_turns(find_turns(place(0.5, seconds=4.0), acts=[], cut_off_seconds=0.8))
    assert texts(figure.axes[1]) == ["800 ms not heard"]
    crosses = [line.get_xdata()[0] for line in figure.axes[1].lines if line.get_marker() == "x"]
    assert crosses == [4.0]


def test_barge_in_that_stopped_nothing_says_so():
    heard = Clip(place(0.5, seconds=4.0).payload)
    said = SimpleNamespace(begins=0.9, ends=1.9, kind="say", clip=TONE, meant=True)
    whole = [WholeSound(0.5, 1.5, 0.6)]
    figure = plot_turns(find_turns(heard, acts=[said], whole=whole))
    assert "600 ms, to its end" in texts(figure.axes[1])


def test_dead_air_without_a_question_has_its_time():
    figure = plot_turns(find_turns(place(3.0, seconds=5.0), acts=[]))
    assert texts(figure.axes[1]) == ["3000 ms"]


def test_many_times_are_counted():
    starts = [2.0 * n for n in range(200)]
    said, heard = place(*starts, seconds=400.0), place(*(at + 1.2 for at in starts), seconds=401.0)
    figure = plot_turns(find_turns(heard, said))
    assert all(text.endswith(" times") for text in texts(figure.axes[1]))
    figure.savefig(io.BytesIO())


def test_call_in_which_nobody_spoke_is_drawn():
    figure = plot_turns(find_turns(place(seconds=2.0), acts=[]))
    assert figure.get_suptitle() == "2.0 s of call, no turns"
    figure.savefig(io.BytesIO())


def test_capture_is_drawn_as_an_estimate():
    capture = Capture("MZ" + "0" * 32)
    capture.append(from_twilio.Start(capture.stream_sid), 0.0)
    capture.append(to_twilio.Media(capture.stream_sid, TONE.payload), 0.5)
    capture.append(from_twilio.Stop(capture.stream_sid), 2.0)
    for call in (capture, SimpleNamespace(capture=capture)):
        figure = plot_turns(call)
        assert "estimates" in figure.axes[2].get_xlabel()
        assert figure.get_suptitle() == "2.0 s of call, 1 turn"


def test_something_else_is_refused():
    with pytest.raises(WrongType, match="turns takes a Capture"):
        plot_turns(Clip(b""))
