"""The picture of a call."""

from __future__ import annotations

import io

import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from twistream_kit.audio.clip import Clip
from twistream_kit.notebook.colours import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
    MARK_COLOUR,
    QUIET_COLOUR,
    YOUR_COLOUR,
)
from twistream_kit.notebook.plots_call import MOST_LABELS, plot_timeline
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.capture import Capture

SID = "MZ" + "0" * 32
TONE = Clip.tone(440, 1.0).payload


@pytest.fixture
def capture():
    """Four seconds: a greeting of one second cut off after half, then a goodbye that is heard."""
    capture = Capture(SID)
    said = [to_twilio.Media(SID, TONE), to_twilio.Mark(SID, "greeting#1"), to_twilio.Clear(SID)]
    goodbye = [to_twilio.Media(SID, TONE), to_twilio.Mark(SID, "goodbye#2")]
    timed = list(zip([0.5, 0.5, 1.0, 2.5, 2.5], said + goodbye, strict=True))
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
    return [to_hex(line.get_color()).upper() for line in lines]


def vertical(axes, colour: str) -> list[float]:
    """The times of the vertical lines of a colour."""
    lines = [line for line in axes.lines if to_hex(line.get_color()).upper() == colour.upper()]
    return sorted(
        {
            x
            for line in lines
            for x in line.get_xdata()
            if line.get_xdata()[0] == line.get_xdata()[-1]
        }
    )


def test_four_lanes_have_names_and_units_over_one_time(capture):
    figure = plot_timeline(capture)
    received, sent, buffered, heard = figure.axes
    assert [axes.get_ylabel().replace("\n", " ") for axes in figure.axes] == [
        "caller says (int16)",
        "you send (s per 0.1 s)",
        "waits at Twilio (s)",
        "caller hears (int16)",
    ]
    assert heard.get_xlabel() == "time since the stream began (s)"
    assert (
        received.get_xlim() == sent.get_xlim() == buffered.get_xlim() == heard.get_xlim() == (0, 4)
    )


def test_the_caller_is_drawn_in_one_colour_and_you_in_the_other(capture):
    received, sent, buffered, heard = plot_timeline(capture).axes
    assert to_hex(received.collections[0].get_facecolor()[0]).upper() == CALLER_COLOUR
    assert to_hex(sent.patches[0].get_facecolor()).upper() == YOUR_COLOUR
    assert YOUR_COLOUR in colours(buffered.lines)
    assert to_hex(heard.collections[0].get_facecolor()[0]).upper() == YOUR_COLOUR


def test_marks_stand_where_they_came_back_and_say_how_they_ended(capture):
    heard = plot_timeline(capture).axes[3]
    assert vertical(heard, MARK_COLOUR) == [pytest.approx(1.02), pytest.approx(3.51)]
    assert {"greeting (cleared)", "goodbye"} <= {text.get_text() for text in heard.texts}


def test_a_clear_crosses_all_lanes_and_has_a_label(capture):
    figure = plot_timeline(capture)
    for axes in figure.axes:
        assert vertical(axes, CLEAR_COLOUR) == [pytest.approx(1.0)]
    assert "clear" in {text.get_text() for text in figure.axes[1].texts}


def test_the_silence_after_a_clear_is_shaded_and_told_in_the_title(capture):
    figure = plot_timeline(capture)
    heard = figure.axes[3]
    (shade,) = heard.patches
    assert shade.get_x() == pytest.approx(1.0)
    assert shade.get_x() + shade.get_width() == pytest.approx(2.5, abs=0.02)
    assert "silence" in {text.get_text() for text in heard.texts}
    title = "4.0 s of call, 2 marks returned, 1 clear, then 1.5 s of silence"
    assert figure.get_suptitle() == title


def test_the_callers_keys_are_shown(capture):
    assert "5" in {text.get_text() for text in plot_timeline(capture).axes[0].texts}


def test_what_the_lines_mean_stands_below(capture):
    (legend,) = plot_timeline(capture).legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["mark sent", "mark back", "clear sent", "silence after a clear"]


def test_many_marks_are_drawn_without_names():
    capture = Capture(SID)
    for number in range(MOST_LABELS + 1):
        capture.append(to_twilio.Mark(SID, f"m{number}"), number)
        capture.append(from_twilio.Mark(SID, f"m{number}"), number + 0.1)
    heard = plot_timeline(capture).axes[3]
    assert len(vertical(heard, MARK_COLOUR)) == MOST_LABELS + 1
    assert not heard.texts


def test_labels_do_not_cover_each_other_or_leave_the_picture(capture):
    figure = plot_timeline(capture)
    figure.savefig(io.BytesIO(), format="png")
    labels = [text.get_window_extent() for axes in figure.axes for text in axes.texts]
    inside = figure.bbox
    for number, label in enumerate(labels):
        assert inside.x0 <= label.x0 <= label.x1 <= inside.x1
        assert not any(label.overlaps(other) for other in labels[:number])


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
    assert len(figure.axes) == 4
    assert figure.get_figheight() == 5.4


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


@pytest.mark.parametrize("statuses", [PROGRESS, QUEUED, [(4.0, "in-progress")] * MOST_LABELS])
def test_names_of_reports_do_not_cover_each_other_or_leave_the_picture(capture, statuses):
    figure = plot_timeline(note(capture, statuses))
    figure.savefig(io.BytesIO(), format="png")
    lane, inside = figure.axes[0], figure.bbox
    labels = [Text.get_window_extent(text) for text in lane.texts]
    assert len(labels) == len(statuses)
    for number, label in enumerate(labels):
        assert inside.x0 <= label.x0 <= label.x1 <= inside.x1
        assert inside.y0 <= label.y0 <= label.y1 <= figure.axes[0].get_window_extent().y1 + 2
        assert not any(label.overlaps(other) for other in labels[:number])


def test_what_went_wrong_is_in_bold_type(capture):
    lane = plot_timeline(note(capture, QUEUED)).axes[0]
    bold = {text.get_text() for text in lane.texts if text.get_fontweight() == "bold"}
    assert bold == {"stream-error", "busy", "failed 66 s later ›"}


def test_many_reports_are_drawn_without_names(capture):
    statuses = [(number / 10, "ringing") for number in range(MOST_LABELS + 1)]
    lane = plot_timeline(note(capture, statuses)).axes[0]
    assert not lane.texts
    assert len(lane.collections) == MOST_LABELS + 1


def test_a_capture_with_reports_and_nothing_else_can_be_drawn():
    figure = plot_timeline(note(Capture(SID), [(-5, "ringing"), (0, "busy")]))
    figure.savefig(io.BytesIO(), format="png")


def test_an_empty_capture_can_be_drawn():
    figure = plot_timeline(Capture())
    figure.savefig(io.BytesIO(), format="png")
    assert figure.get_suptitle() == "0.0 s of call, no marks returned"


def test_something_else_than_a_capture_is_told_where_one_is():
    with pytest.raises(TypeError, match=r"stream\.capture is one. This is a Clip."):
        plot_timeline(Clip(b""))
