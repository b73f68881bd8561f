"""Telephones without a screen: `Phone`, what the person at the other end can do, and `Phones`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import get_args

from twistream_kit.audio.clip import Clip
from twistream_kit.errors import CallRefused, ServerStopped
from twistream_kit.pending import HomeLoop, Pending, fail, fulfil
from twistream_kit.simulator.call.call import Calls, SimulatedCall
from twistream_kit.simulator.call.context import CallContext
from twistream_kit.simulator.call.endpoint import AnswerMode, Endpoint, EndpointState
from twistream_kit.simulator.model.numbers import require_e164
from twistream_kit.simulator.rest.account import AccountRecord
from twistream_kit.simulator.rest.call_request import incoming_plan
from twistream_kit.simulator.stream.leg import DIGITS
from twistream_kit.sound_file import FROM_CALLER, check_payload


class Phone:
    """One telephone of the simulated world.  Everything here may be called from any thread.

    Args:
        line: Its line to the exchange.
        home: The way to the simulator's loop.
        place: Makes a call from this line to a number of the account, on that loop.
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
        line.on_state.append(self._note)

    @property
    def number(self) -> str:
        """Its number, E.164."""
        return self._endpoint.number

    @property
    def answers(self) -> AnswerMode:
        """What it does when it rings; `SimulatedTwilio.phone` sets it."""
        return self._endpoint.mode

    @property
    def state(self) -> EndpointState:
        """``idle``, ``dialling``, ``ringing`` or ``in-call``."""
        return self._endpoint.state

    @property
    def call(self) -> SimulatedCall | None:
        """The call that rings or is talked on, or None."""
        return self._endpoint.call

    @property
    def heard(self) -> Clip:
        """What reached the ear since the newest call was answered, without gaps."""
        return self._endpoint.heard

    @property
    def told(self) -> tuple[str, ...]:
        """What was read to it in the newest answered call, in words, where `heard` has beeps.

        That is every ``<Say>``, and what Twilio itself says on a trial account.
        """
        return () if self._newest is None else self._newest.told

    def __repr__(self) -> str:
        told = f", last told {self.told[-1]!r}" if self.told else ""
        return f"<Phone {self.number}: {self.state}, {self.heard.seconds:.2f} s heard{told}>"

    def until(self, state: EndpointState) -> Pending[str]:
        """Return a `Pending` that is done as soon as the telephone is in `state`.

        Raises:
            ValueError: If there is no such state.
        """
        if state not in ("idle", "dialling", "ringing", "in-call"):
            raise ValueError(
                f"a phone is never {state!r}; it is idle, dialling, ringing or in-call"
            )
        pending: Pending[str] = self._home.make_pending()
        self._endpoint.watch(state, pending)
        return pending

    def follow(self, listener: Callable[[EndpointState], None]) -> Callable[[], None]:
        """Have `listener` called with each new state from now on, on the simulator's loop.

        ``in-call`` is announced before the first frame of the call is heard.

        Returns:
            What ends it; calling that twice does no harm.
        """
        self._endpoint.on_state.append(listener)

        def end() -> None:
            if listener in self._endpoint.on_state:
                self._endpoint.on_state.remove(listener)

        return end

    def answer(self) -> None:
        """Pick up.

        Raises:
            CallRefused: If it does not ring.
        """
        if self.state != "ringing":
            raise self._wrong_moment(
                "answered", "does not ring", 'Wait for it: phone.until("ringing").result(5)'
            )
        self._home.call(self._endpoint.decide, "answered")

    def hang_up(self) -> None:
        """Hang up, decline what rings, or give up dialling.

        Raises:
            CallRefused: If there is no call.
        """
        if self.state == "idle":
            raise self._wrong_moment("hung up", "is in no call", "Place one first")
        self._home.call(self._hang_up)

    def press(self, digits: str) -> None:
        """Press one key or several: each becomes a dtmf message on a bidirectional stream.

        Raises:
            ValueError: If `digits` is empty or holds something that no telephone has.
            CallRefused: If it is in no call.
        """
        wrong = sorted(set(digits) - DIGITS)
        if wrong or not digits:
            what = " ".join(map(repr, wrong)) if wrong else "nothing"
            raise ValueError(f"cannot press {what}: the keys are 0 to 9, *, # and A to D")
        self._require_call("press a key")
        self._home.call(self._press, digits)

    def say(self, clip: Clip | bytes) -> Pending[float]:
        """Say something into the telephone, after what is being said already.

        Args:
            clip: What to say: a `Clip`, or bare PCMU.

        Returns:
            The seconds that were said: all of it, or less when the call ends earlier.

        Raises:
            TypeError: If `clip` is neither.
            LocalProtocolError: If it is or holds a WAV file.
            CallRefused: If it is in no call.
        """
        if not isinstance(clip, Clip | bytes):
            raise TypeError(
                f"say() takes a Clip or PCMU bytes, not {type(clip).__name__}; "
                "a file becomes one with kit.load_clip(path)"
            )
        payload = check_payload(bytes(clip), FROM_CALLER)
        self._require_call("say something")
        pending: Pending[float] = self._home.make_pending()
        self._home.call(self._say, payload, pending)
        return pending

    def dial(self, number: str) -> Pending[SimulatedCall]:
        """Call a number of the account.

        Returns:
            The call, as soon as it is answered or has failed: its `status` says which.

        Raises:
            CallRefused: If the account has no such number, or the telephone is in use.
        """
        if self.state != "idle":
            raise self._wrong_moment("used to dial", f"is {self.state}", "Hang up first")
        pending: Pending[SimulatedCall] = self._home.make_pending()
        self._home.call(self._place, self._endpoint, number, pending)
        return pending

    def _note(self, state: EndpointState) -> None:
        if state == "in-call":
            self._newest = self._endpoint.call

    def _hang_up(self) -> None:
        call = self._endpoint.call
        if self._endpoint.state == "ringing":
            self._endpoint.decide("rejected")
        elif call is not None:
            call.end("completed" if self._endpoint.state == "in-call" else "no-answer")

    def _press(self, digits: str) -> None:
        if self._endpoint.call is not None:
            for digit in digits:
                self._endpoint.call.press(digit)

    def _say(self, payload: bytes, pending: Pending[float]) -> None:
        if self._endpoint.call is None or self._endpoint.state != "in-call":
            fulfil(pending, 0.0)
            return
        mouth = self._endpoint.call.handset.mouth

        def said(seconds: float) -> None:
            fulfil(pending, seconds)

        mouth.say(payload, said)

    def _require_call(self, what: str) -> None:
        if self.state != "in-call":
            raise CallRefused(
                f"nobody hears {self.number} {what}: it is {self.state}",
                consequence="Nothing was sent",
                fix='Wait until it is in a call: phone.until("in-call").result(5)',
            )

    def _wrong_moment(self, what: str, why: str, fix: str) -> CallRefused:
        return CallRefused(f"{self.number} cannot be {what}: it {why}", fix=fix)


class Phones:
    """The telephones by number.

    Args:
        account: Whose numbers they can dial.
        home: The way to the simulator's loop.

    Attributes:
        calls: All calls, to these telephones and from them.
    """

    def __init__(self, account: AccountRecord, home: HomeLoop) -> None:
        self._account = account
        self._home = home
        self._endpoints: dict[str, Endpoint[SimulatedCall]] = {}
        self._phones: dict[str, Phone] = {}
        self._lock = threading.Lock()
        self._context: CallContext | None = None
        self.calls = Calls(self._endpoints)

    def at(self, number: str, answer: AnswerMode) -> Phone:
        """Return the telephone with that number, put there if need be; for any thread.

        Raises:
            ValueError: For a number that is not E.164, belongs to the account, or another `answer`.
        """
        require_e164(number)
        if answer not in get_args(AnswerMode):
            raise ValueError(
                f"answer is {answer!r}; it must be one of {', '.join(get_args(AnswerMode))}"
            )
        if self._account.own(number) is not None:
            raise ValueError(
                f"{number} is a number of the account, not a telephone; "
                "use another one, such as +15550100001"
            )
        with self._lock:
            if number not in self._phones:
                self._endpoints[number] = Endpoint(number, answer)
                self._phones[number] = Phone(self._endpoints[number], self._home, self._dial)
            self._endpoints[number].mode = answer
            return self._phones[number]

    def connect(self, context: CallContext) -> None:
        """Let the telephones dial from now on."""
        self._context = context

    def disconnect(self) -> None:
        """Let them dial no longer."""
        self._context = None

    def end_watches(self) -> None:
        """Fail what waits for the state of a telephone, because the simulator has stopped."""
        for endpoint in self._endpoints.values():
            for pending in endpoint.end_watches():
                fail(pending, ServerStopped.before("the phone got into that state"))

    def _dial(
        self, endpoint: Endpoint[SimulatedCall], number: str, pending: Pending[SimulatedCall]
    ) -> None:
        """Begin an incoming call; on the loop."""
        own = self._account.own(number)
        if own is None or self._context is None:
            fail(pending, self._nobody_at(number))
        elif endpoint.call is not None:
            fail(
                pending, CallRefused(f"{endpoint.number} is in a call already", fix="Hang up first")
            )
        elif refusal := self._account.refuse_incoming(endpoint.number, own, self.calls.running):
            fail(pending, refusal)
        else:
            plan = incoming_plan(endpoint.number, own)
            call = self.calls.receive(self._context, plan, endpoint)
            call.on_decided = lambda: fulfil(pending, call)

    def _nobody_at(self, number: str) -> CallRefused:
        own = (number.phone_number for number in self._account.numbers.values())
        return CallRefused(
            f"the account has no number {number}",
            consequence="The call was not placed",
            fix=f"Dial one of {', '.join(own)}",
        )
