"""Machine detection in one running call: who waits for the verdict, and who is notified (§6.8)."""

from __future__ import annotations

import asyncio

from twistream_kit.simulator.call.context import DetectionPlan
from twistream_kit.simulator.call.machine_detection import MachineDetector, Verdict
from twistream_kit.simulator.call.web import Callbacks


class DetectionRun:
    """The machine detection of one call.  It belongs to the loop of the call.

    Args:
        plan: What was asked for.
        callbacks: Sends the verdict, if it is found in the background.
        call_sid: The SID of the call.
        account_sid: The SID of its account.

    Attributes:
        verdict: The verdict, or None until there is one.
    """

    def __init__(
        self,
        plan: DetectionPlan,
        callbacks: Callbacks,
        *,
        call_sid: str,
        account_sid: str,
    ) -> None:
        self.verdict: Verdict | None = None
        self._plan = plan
        self._callbacks = callbacks
        self._call_sid, self._account_sid = call_sid, account_sid
        self._detector: MachineDetector | None = MachineDetector(plan.settings)
        self._is_over = asyncio.Event()

    def feed(self, frame: bytes) -> None:
        """Take the next 20 ms of the callee's sound; nothing happens after the verdict."""
        if self._detector is None:
            return
        self.verdict = self._detector.feed(frame)
        if self.verdict is not None:
            self._detector = None
            self._is_over.set()
            if self._plan.in_background:
                self._tell(self.verdict)

    async def wait(self) -> None:
        """Wait for the verdict, or until `give_up`; not at all if it is found in the background."""
        if not self._plan.in_background:
            await self._is_over.wait()

    def give_up(self) -> None:
        """Let the call go on without a verdict, because its TwiML was replaced (§10.44)."""
        self._is_over.set()

    async def wait_delivered(self) -> None:
        """Wait until the callback was answered, at most two seconds."""
        await self._callbacks.wait_delivered()

    def drop(self) -> None:
        """Cancel the callback if it was not answered; the call is over, and nothing follows."""
        self._callbacks.drop()
        self._detector = None
        del self._callbacks

    def make_params(self) -> dict[str, str]:
        """Return what voice requests and status callbacks say of the verdict (§6.8, §10.45)."""
        return {} if self.verdict is None else {"AnsweredBy": self.verdict.answered_by}

    def _tell(self, verdict: Verdict) -> None:
        if not self._plan.callback.url:
            return  # 21262, of which the request was warned
        params = {
            "CallSid": self._call_sid,
            "AccountSid": self._account_sid,
            "AnsweredBy": verdict.answered_by,
            "MachineDetectionDuration": str(verdict.duration_ms),
        }
        self._callbacks.send(self._plan.callback, params)
