"""Simulated telephones without a screen: `Phone`, operated by code, and the collection `Phones`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import get_args

from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.payload import refuse_no_sound
from twistream_kit.errors import (
    CallRefused,
    ServerStopped,
    WrongState,
    WrongType,
    WrongValue,
    quote,
    require_type,
)
from twistream_kit.guard import Guard
from twistream_kit.listing import Series
from twistream_kit.pending import HomeLoop, Pending, Subject, fail, fulfil, on_worker
from twistream_kit.protocol.ending import EndCause
from twistream_kit.protocol.playout import BYTES_PER_SECOND
from twistream_kit.simulator._script_run import ScriptRun
from twistream_kit.simulator.call.call import Calls, SimulatedCall
from twistream_kit.simulator.call.context import CallContext
from twistream_kit.simulator.call.endpoint import AnswerMode, Endpoint, EndpointState
from twistream_kit.simulator.call.key_listener import KeyListener
from twistream_kit.simulator.call.mailbox import Mailbox, MailboxSettings, MailboxState
from twistream_kit.simulator.caller import CallerAct, Script, Step, make_script
from twistream_kit.simulator.model.numbers import require_e164
from twistream_kit.simulator.rest.account import AccountRecord
from twistream_kit.simulator.rest.call_request import make_incoming_plan
from twistream_kit.simulator.stream.leg import DIGITS
from twistream_kit.sound_file import FROM_CALLER


class Phone:
    """One simulated telephone.  All its methods may be called from any thread.

    Args:
        line: The network side of the telephone.
        home: Runs functions on the simulator's loop.
        place: Places a call from this telephone to a number of the account, on that loop.

    Attributes:
        on_news: Functions called on the loop when a key was heard, or the mailbox goes on.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0))
        >>> phone = twilio.phone("+15550100001")
        >>> call = phone.dial(twilio.numbers[0])
        >>> phone.until("in-call").result(10)
        'in-call'
        >>> phone.press("5")
        >>> phone.say(kit.Clip.tone(440, 0.1)).result(10)
        0.1
        >>> phone.hang_up()
    """

    def __init__(
        self,
        line: Endpoint[SimulatedCall],
        home: HomeLoop,
        place: Callable[[Endpoint[SimulatedCall], str, Pending[SimulatedCall]], None],
    ) -> None:
        self._endpoint = line
        self._home = home
        self._place = place
        self._newest: SimulatedCall | None = None
        self._listener: KeyListener | None = None
        self._mailbox: Mailbox | None = None
        self.on_news: list[Callable[[], None]] = []
        line.on_state.append(self._note)

    @property
    def number(self) -> str:
        """Its number in E.164 form."""
        return self._endpoint.number

    @property
    def answers(self) -> AnswerMode:
        """Its reaction when it rings; `SimulatedTwilio.phone` sets it."""
        return self._endpoint.mode

    @property
    def state(self) -> EndpointState:
        """``idle``, ``dialling``, ``ringing`` or ``in-call``."""
        return self._endpoint.state

    @property
    def call(self) -> SimulatedCall | None:
        """The ringing or active call, or None."""
        return self._endpoint.call

    @property
    def heard(self) -> Clip:
        """The sound that reached the ear since the newest call was answered, without gaps."""
        return self._endpoint.heard

    @property
    def keys_heard(self) -> str:
        """The keys whose tones reached the ear since the newest call was answered, in order.

        They are those of ``SendDigits``, and of every other DTMF sound that is played to it.
        """
        return "" if self._listener is None else self._listener.keys

    @property
    def mailbox(self) -> MailboxState | None:
        """What the mailbox that took the newest answered call does; None without a mailbox.

        ``greeting``, ``beep``, ``recording``, or ``done`` when it has hung up or the call is over.
        `until` waits for each of them.
        """
        return self._endpoint.mailbox_state

    @property
    def recorded(self) -> Clip:
        """What the mailbox has recorded of the newest answered call, after its beep.

        It ends with the last sound; empty without a mailbox, and before the beep is over.  The name
        of an empty one says why.
        """
        if self._mailbox is not None:
            return self._mailbox.recorded
        return Clip(b"", f"nothing recorded: {self._say_why_no_mailbox()}")

    @property
    def transcript(self) -> tuple[str, ...]:
        """The spoken texts of the newest answered call, which are beeps in `heard`.

        These are the texts of every ``<Say>``, and Twilio's own sentences for a trial account.
        """
        return () if self._newest is None else self._newest.transcript

    @property
    def ended(self) -> EndCause | None:
        """Who ended the newest answered call, and why; None while it runs, and before it."""
        return None if self._newest is None else self._newest.ended_by

    @property
    def last_end(self) -> str:
        """Who ended the newest answered call, or else its newest stream, in words; or empty."""
        return "" if self._newest is None else self._newest.describe_end()

    def __repr__(self) -> str:
        said = f", transcript ends with {self.transcript[-1]!r}" if self.transcript else ""
        end = f", {self.last_end}" if self.last_end else ""
        keys = f", keys {self.keys_heard} heard" if self.keys_heard else ""
        mailbox = "" if self._mailbox is None else f", {self.recorded.seconds:.2f} s recorded"
        # Of a mailbox one wants to know that it is one, and in a call what it does.
        mode = f", answer {self.answers!r}"
        doing = f" ({self.mailbox})" if self.state == "in-call" and self.mailbox else ""
        return (
            f"<Phone {self.number}: {self.state}{doing}{mode}, {self.heard.seconds:.2f} s heard"
            f"{keys}{mailbox}{said}{end}>"
        )

    def until(self, state: EndpointState | MailboxState) -> Pending[str]:
        """Return a `Pending` that completes as soon as the telephone is in `state`.

        Args:
            state: ``idle``, ``dialling``, ``ringing`` or ``in-call``; of a mailbox also what it
                does: ``greeting``, ``beep``, ``recording`` or ``done`` (see `mailbox`).

        Raises:
            ValueError: If there is no such state, or if it is that of a mailbox, and the telephone
                is none.
        """
        if state in get_args(MailboxState):
            if self._mailbox is None and self._endpoint.mailbox is None:
                raise WrongValue(
                    f"{self.number} will never be in state {state!r}: {self._say_why_no_mailbox()}"
                )
        elif state not in get_args(EndpointState):
            raise WrongValue(
                f"a phone is never {state!r}; it is {_list_states(EndpointState)}, and a mailbox "
                f"also {_list_states(MailboxState)}"
            )
        name = f"state {state!r} of phone {self.number}"
        pending: Pending[str] = self._home.make_pending(
            Subject(name, "state", self._say_state, kind=str)
        )
        self._endpoint.watch(state, pending)
        return pending

    def follow(self, listener: Callable[[EndpointState], None]) -> Callable[[], None]:
        """Call `listener` with each new state from now on, on the simulator's loop.

        It is called with ``in-call`` before the first frame of the call is heard.

        Returns:
            A function that ends this; it may be called more than once.

        Raises:
            TypeError: If `listener` cannot be called.
        """
        if not callable(listener):
            raise WrongType(f"listener is {quote(listener)}; give a function that takes the state")
        self._endpoint.on_state.append(listener)

        def end() -> None:
            if listener in self._endpoint.on_state:
                self._endpoint.on_state.remove(listener)

        return end

    def answer(self) -> None:
        """Answer the ringing call.

        Raises:
            CallRefused: If the telephone does not ring.
        """
        if self.state != "ringing":
            raise self._make_refusal(
                "answered", "does not ring", 'Wait for it: phone.until("ringing").result(5)'
            )
        self._home.call(self._endpoint.decide, "answered")

    def hang_up(self) -> None:
        """Hang up, decline a ringing call, or cancel dialling.

        Raises:
            CallRefused: If there is no call.
        """
        if self.state == "idle":
            raise self._make_refusal("hung up", "is in no call", "Place one first")
        self._home.call(self._hang_up)

    def press(self, digits: str) -> None:
        """Press one key or several: each becomes a dtmf message on a bidirectional stream.

        Raises:
            ValueError: If `digits` is empty or holds a character that is no key.
            CallRefused: If the telephone is in no call, or a mailbox has answered it.
        """
        require_type("a string", digits=digits)
        wrong = sorted(set(digits) - DIGITS)
        if wrong or not digits:
            what = " ".join(map(repr, wrong)) if wrong else "nothing"
            raise WrongValue(f"cannot press {what}: the keys are 0 to 9, *, # and A to D")
        self._require_call("press a key")
        self._home.call(self._press, digits)

    def say(self, clip: Clip | bytes) -> Pending[float]:
        """Say a clip into the telephone, after all earlier ones.

        Args:
            clip: A `Clip`, or bare PCMU.

        Returns:
            The seconds that were said: the whole length, or less if the call ends earlier.

        Raises:
            TypeError: If `clip` is neither.
            LocalProtocolError: If it is a file or text, or holds a WAV file.
            CallRefused: If the telephone is in no call, or a mailbox has answered it.
        """
        if not isinstance(clip, Clip | bytes):
            raise WrongType(
                f"say() takes a Clip or PCMU bytes, not {type(clip).__name__}; "
                "a file becomes one with kit.load_clip(path)"
            )
        payload = refuse_no_sound(bytes(clip), FROM_CALLER)
        self._require_call("say something")
        subject = Subject(
            f"saying {len(payload) / BYTES_PER_SECOND:.2f} s into phone {self.number}",
            "number of seconds",
            lambda: self.state,
            silence="phone.hang_up()",
            kind=float,
        )
        pending: Pending[float] = self._home.make_pending(subject)
        self._home.call(self._say, payload, pending)
        return pending

    def play_script(
        self, script: Script | Sequence[Step] | str | os.PathLike[str], *, seed: int | None = None
    ) -> Pending[Series[CallerAct]]:
        """Act as a script says, from now on: say, interrupt, press keys, wait for the server.

        Without a last ``hang_up()`` the call goes on after it.

        Args:
            script: Steps of `kit.caller`, or the name of a TOML file (`kit.caller.load_script`).
            seed: Decides what the script leaves to chance; by default the seed of the script.

        Returns:
            What was done in each step, with the time since the call was answered; as soon as the
            script is over, or the call has ended.

        Raises:
            TypeError, ValueError: If `script` is something else.
            ScriptError: If its file cannot be used; it names the line.
            CallRefused: If the telephone is in no call, or a mailbox has answered it.  If it plays
                a script already, the `Pending` fails.
        """
        made = make_script(script, seed)
        self._require_call("play a script")
        subject = Subject(
            f"script of {len(made.steps)} steps, played by phone {self.number}",
            "list of acts",
            lambda: self.state,
            silence="phone.hang_up()",
            kind=Series,
        )
        pending: Pending[Series[CallerAct]] = self._home.make_pending(subject)
        self._home.call(self._play_script, made, pending)
        return pending

    def dial(self, number: str) -> Pending[SimulatedCall]:
        """Call a number of the account.

        Returns:
            The call, as soon as it was answered or has failed; its `status` says which.

        Raises:
            CallRefused: If the account has no such number, or the telephone is in use.
        """
        if self.state != "idle":
            raise self._make_refusal("used to dial", f"is {self.state}", "Hang up first")
        subject = Subject(
            f"SimulatedCall to {number}", "SimulatedCall", lambda: self.state, kind=SimulatedCall
        )
        pending: Pending[SimulatedCall] = self._home.make_pending(subject)
        self._home.call(self._place, self._endpoint, number, pending)
        return pending

    def _note(self, state: EndpointState) -> None:
        if state == "in-call" and self._endpoint.call is not None:
            self._begin(self._endpoint.call)
        elif state == "idle" and self._newest is not None and self._newest.over:
            if self._listener is not None:
                self._listener.end()
            if self._mailbox is not None:
                self._mailbox.end()

    def _begin(self, call: SimulatedCall) -> None:
        self._newest, self._mailbox = call, None
        self._endpoint.note_mailbox(None)
        self._listener = KeyListener(call.handset.ear, self._tell)
        settings = self._endpoint.mailbox
        if settings is not None and call.direction != "inbound":
            self._mailbox = Mailbox(
                settings, call.handset, hang_up=self._end_recorded, on_state=self._note_mailbox
            )
            self._endpoint.note_mailbox(self._mailbox.state)
            self._mailbox.begin()

    def _note_mailbox(self) -> None:
        if self._mailbox is not None:
            self._endpoint.note_mailbox(self._mailbox.state)
        self._tell()

    def _tell(self) -> None:
        for listener in tuple(self.on_news):
            # An error in a widget must not end the call.
            with Guard("a listener to a phone failed", of_user=True):
                listener()

    def _end_recorded(self, why: str) -> None:
        if self._endpoint.call is not None:
            self._endpoint.call.end("completed", EndCause("callee-hung-up", detail=why))

    def _hang_up(self) -> None:
        call = self._endpoint.call
        if self._endpoint.state == "ringing":
            self._endpoint.decide("rejected")
        elif call is not None:
            is_caller = call.direction == "inbound"
            ended_by = EndCause("caller-hung-up" if is_caller else "callee-hung-up")
            call.end("completed" if self._endpoint.state == "in-call" else "no-answer", ended_by)

    def _press(self, digits: str) -> None:
        if self._endpoint.call is not None:
            for digit in digits:
                self._endpoint.call.press(digit)

    def _say(self, payload: bytes, pending: Pending[float]) -> None:
        if self._endpoint.call is None or self._endpoint.state != "in-call":
            fulfil(pending, 0.0)
            return
        mouth = self._endpoint.call.handset.mouth

        def finish(seconds: float) -> None:
            fulfil(pending, seconds)

        mouth.say(payload, finish)

    def _play_script(self, script: Script, pending: Pending[Series[CallerAct]]) -> None:
        call = self._endpoint.call
        if call is None or self._endpoint.state != "in-call":
            fail(pending, self._make_unheard_error("play a script"))
            return
        if call.handset.mouth.prompter is not None:
            fail(
                pending,
                WrongState(
                    f"{self.number} plays a script already", fix="Wait for that one, or hang up"
                ),
            )
            return

        def finish() -> None:
            if run.has_expectations:  # functions of the user, which may block
                name = f"expectations of phone {self.number}"
                on_worker(name, run.check_expectations).add_done_callback(pass_on)
            else:
                fulfil(pending, run.check_expectations())

        def pass_on(done: Future[Series[CallerAct]]) -> None:
            error = done.exception()
            if error is None:
                fulfil(pending, done.result())
            else:
                fail(pending, error)

        run = ScriptRun(
            script,
            call.handset,
            press=call.press,
            hang_up=self._hang_up,
            on_over=finish,
            count_cleared=call.streams.count_cleared,
        )
        run.begin()

    def _require_call(self, what: str) -> None:
        if self.state != "in-call":
            raise self._make_unheard_error(what)
        if self.mailbox is not None:
            raise CallRefused(
                f"nobody is at {self.number} to {what}: its mailbox has answered this call",
                consequence="Nothing was sent",
                fix='For a person, set it before the call: twilio.phone(number, answer="auto"); '
                "what the mailbox itself says is its greeting=",
            )

    def _say_state(self) -> str:
        in_mailbox = self.state == "in-call" and self.mailbox is not None
        return f"{self.state}, and its mailbox: {self.mailbox}" if in_mailbox else self.state

    def _say_why_no_mailbox(self) -> str:
        """Return why no mailbox has recorded anything, and what to do."""
        if self._endpoint.mailbox is None:
            return (
                f"this telephone is no mailbox (answer is {self.answers!r}); "
                'twilio.phone(number, answer="mailbox") makes it one'
            )
        return "its mailbox has not answered " + ("a" if self._newest is None else "this") + " call"

    def _make_unheard_error(self, what: str) -> CallRefused:
        return CallRefused(
            f"nobody hears {self.number} {what}: it is {self.state}",
            consequence="Nothing was sent",
            fix='Wait until it is in a call: phone.until("in-call").result(5)',
        )

    def _make_refusal(self, what: str, why: str, fix: str) -> CallRefused:
        return CallRefused(f"{self.number} cannot be {what}: it {why}", fix=fix)


def _list_states(states: object) -> str:
    *others, last = get_args(states)
    return f"{', '.join(others)} or {last}"


class Phones:
    """The telephones by number.

    Args:
        account: The account whose numbers they can dial.
        home: Runs functions on the simulator's loop.

    Attributes:
        calls: The calls to these telephones and from them.
    """

    def __init__(self, account: AccountRecord, home: HomeLoop) -> None:
        self._account = account
        self._home = home
        self._endpoints: dict[str, Endpoint[SimulatedCall]] = {}
        self._phones: dict[str, Phone] = {}
        self._lock = threading.Lock()
        self._context: CallContext | None = None
        self.calls = Calls(self._endpoints)

    def provide(
        self, number: str, answer: AnswerMode | None, mailbox: MailboxSettings | None = None
    ) -> Phone:
        """Return the telephone with that number, and create it if necessary; for any thread.

        If `answer` is None, one that exists stays as it is.

        Raises:
            ValueError: For a number that is not E.164, belongs to the account, or another `answer`.
        """
        require_e164(number)
        if answer is not None and answer not in get_args(AnswerMode):
            raise WrongValue(
                f"answer is {answer!r}; it must be one of {', '.join(get_args(AnswerMode))}"
            )
        if self._account.own(number) is not None:
            raise WrongValue(
                f"{number} is a number of the account, not a telephone; "
                "use another one, such as +15550100001"
            )
        with self._lock:
            if number not in self._phones:
                self._endpoints[number] = Endpoint(number, answer or "auto")
                self._phones[number] = Phone(self._endpoints[number], self._home, self._dial)
            if answer is not None:
                self._endpoints[number].mode = answer
                self._endpoints[number].mailbox = mailbox
            return self._phones[number]

    def connect(self, context: CallContext) -> None:
        """Allow the telephones to dial."""
        self._context = context

    def disconnect(self) -> None:
        """Forbid the telephones to dial."""
        self._context = None

    def end_watches(self) -> None:
        """Fail all `Pending` objects of `Phone.until`, because the simulator has stopped."""
        for endpoint in self._endpoints.values():
            for pending in endpoint.end_watches():
                fail(pending, ServerStopped.before("the phone got into that state"))

    def _dial(
        self, endpoint: Endpoint[SimulatedCall], number: str, pending: Pending[SimulatedCall]
    ) -> None:
        """Start an incoming call; on the loop."""
        own = self._account.own(number)
        if own is None or self._context is None:
            fail(pending, self._make_unknown_number_error(number))
        elif endpoint.call is not None:
            fail(
                pending, CallRefused(f"{endpoint.number} is in a call already", fix="Hang up first")
            )
        elif refusal := self._account.refuse_incoming(endpoint.number, own, self.calls.running):
            fail(pending, refusal)
        else:
            plan = make_incoming_plan(endpoint.number, own)
            call = self.calls.receive(self._context, plan, endpoint)
            call.on_decided = lambda: fulfil(pending, call)

    def _make_unknown_number_error(self, number: str) -> CallRefused:
        own = (number.phone_number for number in self._account.numbers.values())
        return CallRefused(
            f"the account has no number {number}",
            consequence="The call was not placed",
            fix=f"Dial one of {', '.join(own)}",
        )
