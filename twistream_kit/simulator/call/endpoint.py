"""The endpoint of a call: a telephone that rings, is answered, is busy (PROTOCOL.md §6.3)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, Literal, Protocol, TypeVar

from twistream_kit.audio.clip import Clip
from twistream_kit.guard import Guard
from twistream_kit.pending import Pending, fulfil
from twistream_kit.simulator.call.handset import Handset
from twistream_kit.simulator.call.mailbox import MailboxSettings, MailboxState

AnswerMode = Literal["auto", "manual", "busy", "never", "reject", "mailbox"]
"""The reaction of a telephone when it rings."""

EndpointState = Literal["idle", "dialling", "ringing", "in-call"]
"""The state of a telephone."""

_AFTER_RINGING = {
    "auto": "answered", "mailbox": "answered", "busy": "busy", "reject": "rejected",
}  # fmt: skip


class HasHandset(Protocol):
    """The interface of a call to its telephone."""

    @property
    def handset(self) -> Handset:
        """The mouth and the ear of the telephone in this call."""


CallT = TypeVar("CallT", bound=HasHandset)


class Endpoint(Generic[CallT]):
    """The network side of one telephone.  It belongs to the simulator's loop.

    `state`, `heard` and `watch` may be used from any thread.

    Args:
        number: The number in E.164 form.
        mode: The reaction when it rings.

    Attributes:
        mailbox: What it does after it was called and has answered; None for no mailbox.
        mailbox_state: What the mailbox that took the newest answered call does; None without one.
        on_state: Functions called on the loop with each new state, before any sound is heard in it.
    """

    def __init__(self, number: str, mode: AnswerMode) -> None:
        self.on_state: list[Callable[[EndpointState], None]] = []
        self.number = number
        self.mode = mode
        self.mailbox: MailboxSettings | None = None
        self.mailbox_state: MailboxState | None = None
        self.state: EndpointState = "idle"
        self.call: CallT | None = None
        self._newest: CallT | None = None
        self._choice: asyncio.Future[str] | None = None
        self._watchers: list[tuple[str, Pending[str]]] = []
        self._lock = threading.Lock()

    @property
    def heard(self) -> Clip:
        """The sound that reached the ear in the newest answered call."""
        return Clip(b"", "heard") if self._newest is None else self._newest.handset.heard

    async def ring(self, call: CallT, seconds: float, limit: float) -> str:
        """Ring until the call is answered, declined or given up.

        Args:
            call: The incoming call.
            seconds: How long an automatic telephone rings before it reacts.
            limit: The longest ringing time, in seconds.

        Returns:
            ``answered``, ``busy``, ``rejected`` or ``no-answer``.
        """
        if self.call is not None:
            return "busy"
        decides = _AFTER_RINGING.get(self.mode)
        patience = seconds if decides else limit
        self._take(call, "ringing")
        self._choice = asyncio.get_running_loop().create_future()
        answer = "no-answer"
        try:
            done, _ = await asyncio.wait({self._choice}, timeout=min(patience, limit))
            if done:
                answer = self._choice.result()
            elif decides and patience < limit:
                answer = decides
        finally:
            self._choice = None
            if answer != "answered":
                self.release(call)
        return answer

    def decide(self, answer: str) -> None:
        """Answer or decline the ringing call; nothing happens if it does not ring any more."""
        if self._choice is not None and not self._choice.done():
            self._choice.set_result(answer)

    def dial(self, call: CallT) -> None:
        """Start an outgoing call of this telephone."""
        self._take(call, "dialling")

    def note_answered(self, call: CallT) -> None:
        """Note that the call is answered."""
        if self.call is call:
            self._newest = call
            self._show("in-call")

    def release(self, call: CallT) -> None:
        """Note that the call is over."""
        if self.call is call:
            self.call = None
            self._show("idle")

    def watch(self, state: str, pending: Pending[str]) -> None:
        """Fulfil `pending` as soon as the telephone, or its mailbox, is in `state`."""
        with self._lock:
            if state not in (self.state, self.mailbox_state):
                self._watchers.append((state, pending))
                return
        fulfil(pending, state)

    def note_mailbox(self, state: MailboxState | None) -> None:
        """Note what the mailbox of this call does now; None if none has answered it."""
        with self._lock:
            self.mailbox_state = state
            ready = self._take_watchers(state)
        for pending in ready:
            fulfil(pending, str(state))

    def end_watches(self) -> list[Pending[str]]:
        """Remove and return all `Pending` objects of `watch`; the caller must settle them."""
        with self._lock:
            watchers, self._watchers = self._watchers, []
        return [pending for _, pending in watchers]

    def _take(self, call: CallT, state: EndpointState) -> None:
        self.call = call
        self._show(state)

    def _show(self, state: EndpointState) -> None:
        with self._lock:
            self.state = state
            ready = self._take_watchers(state)
        for listener in tuple(self.on_state):
            # An error in a widget must not end the call.
            with Guard("a listener to a phone failed", of_user=True):
                listener(state)
        for pending in ready:
            fulfil(pending, state)

    def _take_watchers(self, state: str | None) -> list[Pending[str]]:
        """Remove and return who waits for `state`; call it with the lock."""
        ready = [pending for wanted, pending in self._watchers if wanted == state]
        self._watchers = [each for each in self._watchers if each[0] != state]
        return ready
