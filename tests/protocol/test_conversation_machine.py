"""Any order of events: every handle gets exactly one ending."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.conversation import MARK_PAUSE_SECONDS, Conversation
from twistream_kit.protocol.marks import MarkOutcome, PlayOutcome

SID = "MZ00000000000000000000000000000000"
SEND_AHEAD_SECONDS = 1.0
SEND_AHEAD_BYTES = 8000
FRAME_BYTES = 160


class AnyOrder(RuleBasedStateMachine):
    """A user, a socket, a clock and a Twilio, none of whom agree on an order.

    The payload of each playback is a byte of its own, so that every frame on the wire shows
    whose it is.
    """

    def __init__(self):
        super().__init__()
        self.now = 1000.0
        self.conversation = Conversation(SID, send_ahead_seconds=SEND_AHEAD_SECONDS)
        self.asked = {}  # handle -> size in bytes, None for a mark
        self.endings = {}
        self.own_byte = {}  # first byte of the payload -> handle
        self.written = {}  # handle of a speech -> its own byte
        self.stopped = set()  # speeches that were finished or cleared
        self.cleared = set()  # handles asked for before the last clear
        self.sent_media = {}  # handle -> bytes on the wire
        self.sent_marks = []
        self.ended = False

    def note(self, outcomes):
        for outcome in outcomes:
            assert outcome.handle in self.asked, "an ending for a handle that nobody has"
            assert outcome.handle not in self.endings, "a second ending"
            self.endings[outcome.handle] = outcome
            size = self.asked[outcome.handle]
            if size is None:
                assert isinstance(outcome, MarkOutcome)
                assert outcome.after_ms >= 0
                continue
            assert isinstance(outcome, PlayOutcome)
            assert outcome.total_ms == round(size / 8)
            assert 0 <= outcome.heard_ms <= outcome.total_ms
            assert outcome.heard_ms <= round(self.sent_media.get(outcome.handle, 0) / 8)
            if outcome.ending == "heard":
                assert outcome.heard_ms == outcome.total_ms
                assert self.sent_media.get(outcome.handle, 0) == size

    @precondition(lambda self: not self.ended and len(self.own_byte) < 250)
    @rule(
        size=st.integers(0, 500) | st.sampled_from([7999, 8000, 8001, 24000]),
        mark=st.sampled_from([None, None, "part", "a#1"]),
    )
    def play(self, size, mark):
        byte = len(self.own_byte) + 1
        handle = self.conversation.play(bytes([byte]) * size, self.now, mark=mark)
        assert handle not in self.asked
        self.asked[handle] = size
        self.own_byte[byte] = handle

    @precondition(lambda self: not self.ended and len(self.own_byte) < 250)
    @rule(mark=st.sampled_from([None, "part"]))
    def speak(self, mark):
        handle = self.conversation.speak(self.now, mark=mark)
        assert handle not in self.asked
        self.asked[handle] = 0
        self.own_byte[len(self.own_byte) + 1] = handle
        self.written[handle] = len(self.own_byte)

    @precondition(lambda self: self.written)
    @rule(choice=st.integers(0, 10**6), size=st.integers(0, 500) | st.sampled_from([8000, 24000]))
    def write(self, choice, size):
        handle = sorted(self.written)[choice % len(self.written)]
        taken = self.conversation.write(handle, bytes([self.written[handle]]) * size)
        assert taken == (handle not in self.endings and handle not in self.stopped)
        if taken:
            self.asked[handle] += size

    @precondition(lambda self: self.written)
    @rule(choice=st.integers(0, 10**6), size=st.sampled_from([160, 160, 160, 100]))
    def pass_frame(self, choice, size):
        handle = sorted(self.written)[choice % len(self.written)]
        payload = bytes([self.written[handle]]) * size
        was_quiet = not self.conversation.has_waiting
        waits = self.conversation.pass_frame(handle, payload, self.now)
        if waits is None:
            return
        assert waits == self.conversation.has_waiting
        assert was_quiet, "it overtook what was queued"
        assert size == FRAME_BYTES
        assert handle not in self.stopped
        self.asked[handle] += size
        self.check_message(to_twilio.Media(SID, payload))

    @precondition(lambda self: self.written)
    @rule(choice=st.integers(0, 10**6))
    def finish(self, choice):
        handle = sorted(self.written)[choice % len(self.written)]
        self.conversation.finish(handle)
        self.stopped.add(handle)

    @precondition(lambda self: not self.ended)
    @rule(name=st.sampled_from(["part", "a#1", "play#1@1s"]))
    def mark(self, name):
        handle = self.conversation.mark(name, self.now)
        assert handle not in self.asked
        self.asked[handle] = None

    @rule()
    def clear(self):
        if not self.ended:
            self.cleared = set(self.asked)
            self.stopped |= set(self.written)
        self.note(self.conversation.clear(self.now))

    @rule(most=st.integers(1, 120))
    def send(self, most):
        for _ in range(most):
            message = self.conversation.take_message(self.now)
            if message is None:
                break
            self.check_message(message)

    def check_message(self, message):
        assert not self.ended
        assert message.stream_sid == SID
        if isinstance(message, to_twilio.Mark):
            assert message.name not in self.sent_marks, "a name used twice on the wire"
            self.sent_marks.append(message.name)
        elif isinstance(message, to_twilio.Media):
            (byte,) = set(message.payload)
            handle = self.own_byte[byte]
            assert 0 < len(message.payload) <= FRAME_BYTES
            assert handle not in self.cleared, "audio from before a clear"
            assert handle not in self.endings, "audio of something that has ended"
            assert (
                self.conversation.model.count_buffered(self.now) <= SEND_AHEAD_BYTES + FRAME_BYTES
            )
            self.sent_media[handle] = self.sent_media.get(handle, 0) + len(message.payload)
            assert self.sent_media[handle] <= self.asked[handle]

    @precondition(lambda self: self.sent_marks)
    @rule(choice=st.integers(0, 10**6))
    def echo(self, choice):
        name = self.sent_marks[choice % len(self.sent_marks)]
        outcomes = self.conversation.receive(from_twilio.Mark(SID, name), self.now)
        self.note(outcomes)
        if name in self.asked:
            assert name in self.endings

    @rule(name=st.sampled_from(["", "part", "part#1", "play#2", "play#1@1s", "nobody"]))
    def echo_of_a_guess(self, name):
        known = name in self.sent_marks
        before = set(self.endings)
        self.note(self.conversation.receive(from_twilio.Mark(SID, name), self.now))
        if not known and name in self.asked:
            assert (name in self.endings) == (name in before)

    @rule()
    def media_arrives(self):
        self.note(self.conversation.receive(from_twilio.Media(SID, b"\xff" * 160), self.now))

    @rule()
    def let_time_pass(self):
        self.note(self.conversation.advance(self.now))

    @rule(seconds=st.floats(0, 1) | st.sampled_from([0.02, 0.25, 5.5, 31.0, 45.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def wait_as_long_as_it_says(self):
        wait = self.conversation.wait_seconds(self.now)
        if wait is None:
            assert self.conversation.take_message(self.now) is None
            return
        assert 0 <= wait <= SEND_AHEAD_SECONDS + 50, "nothing waits for ever"
        self.now += wait
        message = self.conversation.take_message(self.now)
        if message is None:  # a mark was held back
            wait = self.conversation.wait_seconds(self.now)
            assert wait is not None
            assert 0 < wait < MARK_PAUSE_SECONDS + 0.002, "the sender must not spin"
            self.now += wait
            message = self.conversation.take_message(self.now)
        assert message is not None, "it said that there would be something to send"
        self.check_message(message)

    @precondition(lambda self: len(self.asked) >= 5)  # early ends are the teardown's
    @rule(by_message=st.booleans())
    def end(self, by_message):
        if by_message:
            self.note(self.conversation.receive(from_twilio.Stop(SID), self.now))
        else:
            self.note(self.conversation.end("closed", self.now))
        self.ended = True
        assert set(self.endings) == set(self.asked), "left over at the end"

    @invariant()
    def open_handles_are_those_without_an_ending(self):
        assert self.conversation.open_handles == [h for h in self.asked if h not in self.endings]

    @invariant()
    def nothing_heard_exceeds_what_was_sent(self):
        for handle in self.conversation.open_handles:
            heard = self.conversation.count_heard(handle, self.now)
            assert 0 <= heard <= self.sent_media.get(handle, 0)

    def teardown(self):
        self.note(self.conversation.end("teardown", self.now))
        assert set(self.endings) == set(self.asked)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
