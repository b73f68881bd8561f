"""Which parts of a stream are listened to."""

from twistream_kit.diagnosis.sound import SoundWindow

FRAME = b"\x10" * 160


def fed(window, seconds):
    """Add so many seconds in frames; return when each piece came and how long it was."""
    pieces = []
    for n in range(round(seconds * 50)):
        pieces += [
            ((n + 1) / 50, len(piece.payload) / 8000, piece.is_round) for piece in window.add(FRAME)
        ]
    return pieces


def test_a_second_is_listened_to_then_three_then_ever_more_rarely():
    rounds = [(1.0, 1.0, False), (3.0, 3.0, True), (8.0, 1.0, False), (10.0, 3.0, True)]
    assert fed(SoundWindow(), 19) == [*rounds, (19.0, 1.0, False)]


def test_an_hour_is_listened_to_about_once_a_minute():
    pieces = fed(SoundWindow(), 3600)
    assert 100 < len(pieces) < 140


def test_streams_of_other_numbers_are_listened_to_at_other_moments():
    moments = [[at for at, *_ in fed(SoundWindow(number), 5.5)] for number in range(100)]
    assert moments[10] == [1.2, 3.2]
    assert len({first for first, _ in moments}) == 25
    assert len({second for _, second in moments}) == 100
    assert max(second for _, second in moments) < 5


def test_a_round_is_three_seconds_however_long_it_waited():
    window = SoundWindow(99)
    pieces = [piece for _ in range(249) for piece in window.add(FRAME)]
    assert [len(piece.payload) for piece in pieces] == [8000 + 24 * 160, 24000]
    assert len(pieces[1].borders) == 149


def test_a_round_that_still_waits_at_the_end_is_in_the_rest():
    window = SoundWindow(99)
    for _ in range(200):
        window.add(FRAME)
    assert window.take_rest().is_round


def test_one_long_message_is_looked_at_in_both_lengths_at_once():
    first, whole = SoundWindow().add(FRAME * 500)
    assert (len(first.payload), first.is_round) == (8000, False)
    assert (len(whole.payload), whole.is_round) == (24000, True)


def test_borders_are_where_messages_meet_and_no_break_was():
    window = SoundWindow()
    for n in range(150):
        if n == 7:
            window.interrupt()
        pieces = window.add(FRAME)
    (piece,) = pieces
    assert piece.borders == [160 * n for n in range(1, 150) if n != 7]


def test_the_second_of_a_piece_is_its_first_and_of_a_round_its_last():
    sound = bytes(range(240)) * 200
    first, whole = SoundWindow(5).add(sound)
    assert first.second == sound[:8000]
    assert whole.second == sound[16000:24000]


def test_the_rest_is_all_of_a_round_that_was_not_completed():
    window = SoundWindow()
    assert window.take_rest() is None
    window.add(FRAME * 30)
    assert window.take_rest().payload == FRAME * 30
    window.add(FRAME * 20)
    assert window.take_rest().payload == FRAME * 50
