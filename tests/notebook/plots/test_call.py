"""The picture of a call."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.notebook.plots._labels import Label
from twistream_kit.notebook.plots.call import _join_names, plot_timeline
from twistream_kit.notebook.plots.style import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
    MARK_COLOUR,
    QUIET_COLOUR,
    YOUR_COLOUR,
)
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ" + "0" * 32
TONE = Clip.tone(440, 1.0).payload


@pytest.fixture
def capture():
    """Four seconds: a greeting of one second cut off after half, then a goodbye that is heard."""
    capture = Capture(SID)
    said = [to_twilio.Media(SID, TONE), to_twilio.Mark(SID, "greeting#1"), to_twilio.Clear(SID)]
    last = [to_twilio.Media(SID, TONE), to_twilio.Mark(SID, "goodbye#2")]
    timed = list(zip([0.5, 0.5, 1.0, 2.5, 2.5], said + last, strict=True))
    timed += [
        (1.02, from_twilio.Mark(SID, "greeting#1")),
        (3.51, from_twilio.Mark(SID, "goodbye#2")),
    ]
    timed += [(0.2, from_twilio.Dtmf(SID, "5")), (4.0, from_twilio.Stop(SID))]
    for chunk in range(200):
        media = from_twilio.Media(SID, TONE[:160], chunk + 2, "inbound", chunk + 1, chunk * 20)
        timed.append((chunk * 0.02, media))
    for at, message in sorted(timed, key=lambda pair: pair[0]):
        capture.append(message, at)
    return capture


def colours(lines) -> list[str]:
    return [hex_of(line.get_color()) for line in lines]


def vertical(axes, colour: str) -> list[float]:
    """The times of the vertical lines of a colour."""
    lines = [line.get_xdata() for line in axes.lines if hex_of(line.get_color()) == colour]
    for drawn in axes.collections:
        if isinstance(drawn, LineCollection) and hex_of(drawn.get_color()[0]) == colour:
            lines += [segment[:, 0] for segment in drawn.get_segments()]
    return sorted({x for line in lines for x in line if len(line) and line[0] == line[-1]})


def hex_of(colour) -> str:
    return to_hex(colour).upper()


def lane(figure, name: str):
    """The lane whose label begins so."""
    (found,) = [axes for axes in figure.axes if axes.get_ylabel().startswith(name)]
    return found


def legend(figure) -> list[str]:
    """What stands below the picture."""
    return [text.get_text() for each in figure.legends for text in each.get_texts()]


def signs(axes) -> dict[str, list[float]]:
    """The times of the signs in a lane, by what the legend says of them."""
    return {line.get_label(): list(line.get_xdata()) for line in axes.lines if line.get_marker()}


def test_lanes_have_names_and_units_over_one_time(capture):
    figure = plot_timeline(capture)
    received, _, sent, buffered, _, _, heard = figure.axes
    assert [axes.get_ylabel().replace("\n", " ") for axes in figure.axes] == [
        "caller says (int16)",
        "keys",
        "you send (s per 0.1 s)",
        "waits at Twilio (s)",
        "marks",
        "clears",
        "caller hears (int16)",
    ]
    assert heard.get_xlabel() == "time since the stream began (s)"
    assert (
        received.get_xlim() == sent.get_xlim() == buffered.get_xlim() == heard.get_xlim() == (0, 4)
    )


def test_the_caller_is_drawn_in_one_colour_and_you_in_the_other(capture):
    received, _, sent, buffered, _, _, heard = plot_timeline(capture).axes
    assert to_hex(received.collections[0].get_facecolor()[0]).upper() == CALLER_COLOUR
    assert to_hex(sent.patches[0].get_facecolor()).upper() == YOUR_COLOUR
    assert YOUR_COLOUR in colours(buffered.lines)
    assert to_hex(heard.collections[0].get_facecolor()[0]).upper() == YOUR_COLOUR


def test_marks_stand_where_they_came_back_and_say_by_sign_and_colour_how_they_ended(capture):
    marks = lane(plot_timeline(capture), "marks")
    assert signs(marks) == {
        "mark back: heard": [pytest.approx(3.51)],
        "mark back: cleared": [pytest.approx(1.02)],
    }
    assert len({line.get_marker() for line in marks.lines}) == 2
    assert len({hex_of(line.get_markerfacecolor()) for line in marks.lines}) == 2
    names = {text.get_text(): hex_of(text.get_color()) for text in marks.texts}
    assert names == {"greeting": CLEAR_COLOUR, "goodbye": MARK_COLOUR}


def test_a_mark_that_never_came_back_stands_where_it_should_have():
    capture = Capture(SID)
    capture.append(to_twilio.Media(SID, TONE), 0.5)
    capture.append(to_twilio.Mark(SID, "gone"), 0.5)
    capture.append(from_twilio.Stop(SID), 4.0)
    figure = plot_timeline(capture)
    assert signs(lane(figure, "marks")) == {"mark missing": [pytest.approx(1.5)]}
    assert figure.get_suptitle() == "4.0 s of call, no marks returned, 1 missing"


def test_what_the_marks_are_sent_for_stands_above_the_sound(capture):
    sent = lane(plot_timeline(capture), "you send")
    assert [list(line.get_xdata()) for line in sent.lines if line.get_marker() == "v"] == [
        [0.5, 2.5]
    ]


def test_a_clear_crosses_all_lanes_and_has_its_label_in_a_lane_of_its_own(capture):
    figure = plot_timeline(capture)
    for axes in figure.axes:
        assert vertical(axes, CLEAR_COLOUR) == [pytest.approx(1.0)]
    (label,) = lane(figure, "clears").texts
    assert label.get_text() == "clear, then 1.5 s of silence"


def test_the_silence_after_a_clear_is_shaded_and_given_in_the_title(capture):
    figure = plot_timeline(capture)
    heard = lane(figure, "caller hears")
    (shade,) = [path.get_extents() for each in heard.collections
                if isinstance(each, PolyCollection) and each.get_alpha()
                for path in each.get_paths()]  # fmt: skip
    assert (shade.x0, shade.x1) == (pytest.approx(1.0), pytest.approx(2.5, abs=0.02))
    title = "4.0 s of call, 2 marks returned, 1 clear, then 1.5 s of silence"
    assert figure.get_suptitle() == title


def test_clears_say_which_silence_is_theirs():
    capture = Capture(SID)
    capture.append(to_twilio.Media(SID, TONE), 0.0)
    for at in (0.5, 4.5):
        capture.append(to_twilio.Clear(SID), at)
    capture.append(to_twilio.Media(SID, TONE), 5.0)
    capture.append(to_twilio.Clear(SID), 8.0)
    capture.append(from_twilio.Stop(SID), 60.0)
    figure = plot_timeline(capture)
    texts = [text.get_text() for text in lane(figure, "clears").texts]
    assert texts == ["clear, then 4.5 s of silence", "2 clears"]
    assert figure.get_suptitle().endswith("3 clears, after one 4.5 s of silence")


def test_a_clear_for_nothing_has_no_silence():
    capture = Capture(SID)
    capture.append(to_twilio.Clear(SID), 1.0)
    capture.append(from_twilio.Stop(SID), 60.0)
    figure = plot_timeline(capture)
    (label,) = lane(figure, "clears").texts
    assert label.get_text() == "clear, nothing waited"
    assert figure.get_suptitle() == "60.0 s of call, no marks returned, 1 clear"
    assert legend(figure) == ["clear sent"]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["greeting", "reply", "greeting", "greeting"], "4 marks: greeting and reply"),
        (["a", "b", "c", "a"], "4 marks: a, b …"),
        (["a", "b", "c"], "3 marks: a … c"),
        (["a", "a"], "2 × a"),
    ],
)
def test_names_that_are_joined_say_what_they_stand_for(names, text):
    assert _join_names([Label(0.0, name) for name in names], "marks") == text


def test_no_two_entries_of_the_legend_look_the_same():
    capture = Capture(SID)
    capture.append(from_twilio.Stop(SID), 4.0)
    figure = plot_timeline(note(capture, [(-1.0, "ringing"), (4.1, "completed")]))
    keys = [key for each in figure.legends for key in each.legend_handles]
    looks = {str(key.get_linestyle()) for key in keys}
    looks = {"solid" if look in ("-", "[(0.0, None)]") else look for look in looks}
    assert len(looks) == len(legend(figure)) == 2


def test_the_deaf_window_is_shaded_up_to_the_clear_that_ended_it(capture):
    figure = plot_timeline(capture)
    (shade,) = lane(figure, "waits at").patches
    assert shade.get_hatch()
    assert (shade.get_x(), shade.get_width()) == (pytest.approx(0.5), pytest.approx(0.5))
    assert "deaf window: 1.0 s, but for the clear" in legend(figure)


def test_a_deaf_window_without_a_clear_lasts_as_long_as_the_sound():
    capture = Capture(SID)
    capture.append(to_twilio.Media(SID, TONE * 2), 0.5)
    capture.append(from_twilio.Stop(SID), 4.0)
    figure = plot_timeline(capture)
    (shade,) = lane(figure, "waits at").patches
    assert (shade.get_x(), shade.get_width()) == (pytest.approx(0.5), pytest.approx(2.0))
    assert "deaf window: 2.0 s" in legend(figure)


@pytest.mark.parametrize("statuses", [[], [(6.0, "completed")]])
def test_a_deaf_window_ends_with_the_stream_whatever_was_reported_later(statuses):
    capture = Capture(SID)
    capture.append(to_twilio.Media(SID, TONE * 20), 0.5)
    capture.append(from_twilio.Stop(SID), 4.0)
    figure = plot_timeline(note(capture, statuses))
    (shade,) = lane(figure, "waits at").patches
    assert (shade.get_x(), shade.get_width()) == (pytest.approx(0.5), pytest.approx(3.5))
    assert "deaf window: 3.5 s, to the end" in legend(figure)


def test_underruns_have_a_sign_and_are_counted_in_the_title():
    capture = Capture(SID)
    for at in (0.0, 1.2, 2.4):
        capture.append(to_twilio.Media(SID, TONE), at)
    capture.append(from_twilio.Stop(SID), 4.0)
    figure = plot_timeline(capture)
    (line,) = [each for each in lane(figure, "waits").lines if each.get_marker() == "^"]
    assert list(line.get_xdata()) == [pytest.approx(1.0), pytest.approx(2.2)]
    assert figure.get_suptitle() == "4.0 s of call, no marks returned, 2 underruns"
    assert "underrun" in legend(figure)


def test_what_has_a_capture_can_be_drawn(capture):
    stream = SimpleNamespace(capture=capture)
    assert plot_timeline(stream).get_suptitle() == plot_timeline(capture).get_suptitle()


def test_the_callers_keys_are_shown(capture):
    keys = lane(plot_timeline(capture), "keys")
    assert [text.get_text() for text in keys.texts] == ["5"]
    assert vertical(keys, CALLER_COLOUR) == [pytest.approx(0.2)]


def test_what_the_lines_mean_stands_below(capture):
    assert legend(plot_timeline(capture)) == [
        "caller's sound", "your sound", "key pressed", "mark sent", "mark back: heard",
        "mark back: cleared", "clear sent", "silence after a clear",
        "deaf window: 1.0 s, but for the clear",
    ]  # fmt: skip


def test_legend_names_only_what_is_there():
    capture = Capture(SID)
    capture.append(from_twilio.Stop(SID), 4.0)
    assert plot_timeline(capture).legends == []


def test_marks_that_are_too_many_for_their_names_are_counted():
    capture = Capture(SID)
    for number in range(200):
        capture.append(to_twilio.Mark(SID, f"m{number}"), number)
        capture.append(from_twilio.Mark(SID, f"m{number}"), number + 0.1)
    marks = lane(plot_timeline(capture), "marks")
    assert len(signs(marks)["mark back: heard"]) == 200
    texts = [text.get_text() for text in marks.texts]
    assert texts[0].startswith("40 marks: m0 … m39")
    assert sum(int(text.split()[0]) for text in texts) == 200


def test_marks_of_one_name_at_one_place_are_counted_with_it():
    capture = Capture(SID)
    for number in range(9):
        at = 1 + number / 1000
        capture.append(to_twilio.Mark(SID, f"tick#{number + 1}"), at)
        capture.append(from_twilio.Mark(SID, f"tick#{number + 1}"), at + 0.1)
    capture.append(from_twilio.Stop(SID), 10.0)
    assert [text.get_text() for text in lane(plot_timeline(capture), "marks").texts] == ["9 × tick"]


def test_keys_pressed_quickly_are_written_one_after_the_other():
    capture = Capture(SID)
    for number, digit in enumerate("15550"):
        capture.append(from_twilio.Dtmf(SID, digit), 1 + number * 0.05)
    capture.append(from_twilio.Stop(SID), 60.0)
    assert [text.get_text() for text in lane(plot_timeline(capture), "keys").texts] == ["1 5 5 5 0"]


def test_what_waits_is_drawn_as_it_was_however_many_messages_there_were():
    capture = Capture(SID)
    for count in range(6000):
        capture.append(to_twilio.Media(SID, b"\x20" * 40), 5.0 + count / 1_000_000)
    capture.append(to_twilio.Clear(SID), 20.0)
    capture.append(to_twilio.Media(SID, TONE), 60.0)
    capture.append(from_twilio.Stop(SID), 100.0)
    line = lane(plot_timeline(capture), "waits").lines[0]
    times, seconds = line.get_data()
    assert len(times) < 5000
    for at, waiting in [(4, 0), (6, 29), (19.9, 15.1), (20.1, 0), (59, 0), (60.5, 0.5), (70, 0)]:
        assert np.interp(at, times, seconds) == pytest.approx(waiting, abs=0.01)


def ten_minutes(folder):
    """30,000 media messages in each direction and 1,200 marks, in a file."""
    capture = Capture(SID)
    capture.append(from_twilio.Start(SID), 0.0)
    for chunk in range(30_000):
        at = chunk * 0.02
        voice = from_twilio.Media(SID, TONE[:160], chunk + 2, "inbound", chunk + 1, chunk * 20)
        capture.append(voice, at + 0.001)
        capture.append(to_twilio.Media(SID, TONE[:160]), at + 0.002)
        if chunk % 50 == 49:
            capture.append(to_twilio.Mark(SID, f"m{chunk}"), at + 0.003)
            capture.append(from_twilio.Mark(SID, f"m{chunk}"), at + 0.023)
    capture.append(from_twilio.Stop(SID), 600.1)
    return capture.save(folder / "call.jsonl")


@pytest.mark.slow
def test_ten_minutes_are_loaded_summarised_and_drawn(tmp_path):
    path = ten_minutes(tmp_path)
    capture = Capture.load(path)
    assert capture.summary().to_twilio == {"media": 30_000, "mark": 600}
    plot_timeline(capture).savefig(io.BytesIO(), format="png")


PROGRESS = [
    (-1.9, "initiated"), (-1.7, "ringing"), (-0.2, "in-progress"), (0.003, "stream-started"),
    (4.05, "stream-stopped"), (4.2, "completed"),
]  # fmt: skip
QUEUED = [
    (-3600, "initiated"), (-9, "ringing"), (-0.2, "in-progress"), (0.003, "stream-started"),
    (4.001, "stream-error"), (4.02, "busy"), (4.03, "completed"), (70, "failed"),
]  # fmt: skip


def note(capture, statuses):
    for at, name in statuses:
        capture.note_status(at, name)
    return capture


def test_the_progress_of_the_call_has_a_lane_of_its_own_above_the_others(capture):
    progress, received, *_, heard = plot_timeline(note(capture, PROGRESS)).axes
    assert progress.get_ylabel() == "call"
    assert received.get_ylabel().startswith("caller says")
    assert [text.get_text() for text in progress.texts] == [name for _, name in PROGRESS]
    begin, end = heard.get_xlim()
    assert (begin, end) == (pytest.approx(-1.9), pytest.approx(4.2))


def test_a_call_without_reports_is_drawn_as_before(capture):
    figure = plot_timeline(capture)
    assert not [axes for axes in figure.axes if axes.get_ylabel() == "call"]


def test_a_call_without_marks_has_no_lane_for_them():
    capture = Capture(SID)
    capture.append(from_twilio.Stop(SID), 4.0)
    figure = plot_timeline(capture)
    assert len(figure.axes) == 4
    assert figure.get_figheight() == 5.2


def test_where_the_stream_began_is_marked_when_there_is_something_before_it(capture):
    _, *lanes = plot_timeline(note(capture, PROGRESS)).axes
    assert all(vertical(lane, QUIET_COLOUR) == [0] for lane in lanes)


def test_an_hour_in_a_queue_does_not_squash_the_call(capture):
    figure = plot_timeline(note(capture, QUEUED))
    begin, end = figure.axes[-1].get_xlim()
    assert 4.0 / (end - begin) > 0.5
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:2] == ["‹ initiated 60 min before", "‹ ringing 9 s before"]
    assert texts[-1] == "failed 66 s later ›"


def test_what_went_wrong_is_in_bold_type(capture):
    lane = plot_timeline(note(capture, QUEUED)).axes[0]
    bold = {text.get_text() for text in lane.texts if text.get_fontweight() == "bold"}
    assert bold == {"stream-error", "busy", "failed 66 s later ›"}


def test_reports_that_are_too_many_are_counted(capture):
    statuses = [(number / 1000, "ringing") for number in range(30)]
    lane = plot_timeline(note(capture, statuses)).axes[0]
    assert [text.get_text() for text in lane.texts] == ["30 × ringing"]
    assert len(lane.collections) == 30


def test_a_capture_with_reports_and_nothing_else_can_be_drawn():
    figure = plot_timeline(note(Capture(SID), [(-5, "ringing"), (0, "busy")]))
    figure.savefig(io.BytesIO(), format="png")


def test_a_call_without_marks_keeps_its_lanes_in_place():
    capture = Capture(SID)
    for number in range(100):
        capture.append(to_twilio.Media(SID, TONE[:160]), number * 0.024)
    figure = plot_timeline(capture)
    figure.savefig(io.BytesIO(), format="png")  # matplotlib warns when lanes are squashed
    heights = [axes.get_position().height for axes in figure.axes]
    assert min(heights) > 0.1


def test_an_empty_capture_can_be_drawn():
    figure = plot_timeline(Capture())
    figure.savefig(io.BytesIO(), format="png")
    assert figure.get_suptitle() == "0.0 s of call, no marks returned"


def test_something_else_than_a_capture_is_refused_with_where_one_is():
    with pytest.raises(TypeError, match=r"stream\.capture is one. This is a Clip."):
        plot_timeline(Clip(b""))
