"""All telephones of one simulator, and their calls to the account's numbers."""

from __future__ import annotations

import threading
from typing import get_args

from twistream_kit.errors import CallRefused, ServerStopped
from twistream_kit.pending import HomeLoop, Pending, fail, fulfil
from twistream_kit.simulator.call.call import SimulatedCall
from twistream_kit.simulator.call.calls import Calls
from twistream_kit.simulator.call.context import Exchange
from twistream_kit.simulator.call.endpoint import AnswerMode, Line
from twistream_kit.simulator.model.numbers import require_e164
from twistream_kit.simulator.phone import Phone
from twistream_kit.simulator.rest.account_record import AccountRecord
from twistream_kit.simulator.rest.call_request import incoming_plan


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
        self._lines: dict[str, Line[SimulatedCall]] = {}
        self._phones: dict[str, Phone] = {}
        self._lock = threading.Lock()
        self._exchange: Exchange | None = None
        self.calls = Calls(self._lines)

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
                self._lines[number] = Line(number, answer)
                self._phones[number] = Phone(self._lines[number], self._home, self._dial)
            self._lines[number].mode = answer
            return self._phones[number]

    def connect(self, exchange: Exchange) -> None:
        """Let the telephones dial from now on."""
        self._exchange = exchange

    def disconnect(self) -> None:
        """Let them dial no longer."""
        self._exchange = None

    def end_watches(self) -> None:
        """Fail what waits for the state of a telephone, because the simulator has stopped."""
        for line in self._lines.values():
            for pending in line.end_watches():
                fail(pending, ServerStopped.before("the phone got into that state"))

    def _dial(
        self, line: Line[SimulatedCall], number: str, pending: Pending[SimulatedCall]
    ) -> None:
        """Begin an incoming call; on the loop."""
        own = self._account.own(number)
        if own is None or self._exchange is None:
            fail(pending, self._nobody_at(number))
        elif line.call is not None:
            fail(pending, CallRefused(f"{line.number} is in a call already", fix="Hang up first"))
        elif refusal := self._account.turned_away(line.number, own, self.calls.running):
            fail(pending, refusal)
        else:
            plan = incoming_plan(line.number, own)
            call = self.calls.receive(self._exchange, plan, line)
            call.on_decided = lambda: fulfil(pending, call)

    def _nobody_at(self, number: str) -> CallRefused:
        own = (number.phone_number for number in self._account.numbers.values())
        return CallRefused(
            f"the account has no number {number}",
            consequence="The call was not placed",
            fix=f"Dial one of {', '.join(own)}",
        )
