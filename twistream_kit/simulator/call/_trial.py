"""What becomes of a call when the account is a trial account (PROTOCOL.md §0, §6.7).

There are two regimes.  In the older one a call begins with an announcement that asks for a key,
and without a key ends before its TwiML.  Who was called hears it, and so does who calls [OBS]; it
sounds after the answer, which is told before it [OBS], and before the TwiML is fetched [ASM].  In
the regime of 2026 Twilio stands between the account and its TwiML, and puts a spoken refusal in
the place of what is blocked [DOC].  Which of them an account is under is `Behaviour.trial`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import AnyStr
from xml.etree import ElementTree as ET

from twistream_kit.protocol.twiml import FETCHED_LIMIT
from twistream_kit.simulator.call._speech import Speech
from twistream_kit.simulator.call.context import CallContext, CallPlan, Source
from twistream_kit.simulator.call.twiml import TwimlFault, root_of
from twistream_kit.simulator.call.web import TWIML_TYPES, FetchedPage, WebClient
from twistream_kit.simulator.model.assumptions import (
    TRIAL_ANNOUNCEMENT,
    TRIAL_BLOCKED,
    TRIAL_BLOCKED_IN_DIAL,
    TRIAL_CALL_SECONDS,
    TRIAL_FETCH_SECONDS,
    TRIAL_HOPS,
    TRIAL_KEY_SECONDS,
    TRIAL_LAST_HOP,
    TRIAL_PLAY_LOOPS,
    TRIAL_REFUSAL,
    Behaviour,
)

TRIAL_OVER = 13805
"""A trial account's call has lasted its ten minutes (§5.2)."""


class TrialPrompt:
    """The announcement of the older regime, and the wait for a key of the caller's.

    It belongs to one loop.

    Args:
        speech: Where the announcement sounds.
    """

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self._key: asyncio.Future[None] | None = None

    def press(self) -> bool:
        """Take a key; False when none is waited for, and the key is for somebody else."""
        if self._key is None:
            return False
        if not self._key.done():
            self._key.set_result(None)
        return True

    async def wait_for_key(self) -> bool:
        """Announce and wait; tell whether a key was pressed, be it while the sentence sounds."""
        key = self._key = asyncio.get_running_loop().create_future()
        asking = asyncio.create_task(self._announce())
        try:
            await asyncio.wait({key, asking}, return_when=asyncio.FIRST_COMPLETED)
            return key.done()
        finally:
            self._key = None
            asking.cancel()
            # The sentence is over before that which follows it begins to sound.
            await asyncio.wait({asking})

    async def _announce(self) -> None:
        await self._speech.read(TRIAL_ANNOUNCEMENT)
        await asyncio.sleep(TRIAL_KEY_SECONDS)


class TrialWebClient(WebClient):
    """Fetches TwiML as Twilio does for a trial account: with less patience, and not all of it.

    Args:
        context: What calls share.
    """

    def __init__(self, context: CallContext) -> None:
        super().__init__(context.auth_token, context.connector)
        self._is_of_2026 = context.behaviour.trial == "blocked"

    def _patience(self, limit: int) -> tuple[float, str]:
        if limit != FETCHED_LIMIT:  # a sound
            return super()._patience(limit)
        return TRIAL_FETCH_SECONDS, ", which is all that a trial account waits"

    async def fetch_document(self, url: str, method: str, params: Mapping[str, str]) -> FetchedPage:
        """Ask a webhook for TwiML; since 2026 without a signature, and what is blocked is cut."""
        if not self._is_of_2026:
            return await super().fetch_document(url, method, params)
        # Seen live: "Try out Voice" signs no webhook (§10.32).
        page = await self.fetch(url, method, params, signed=False)
        if page.content_type in {*TWIML_TYPES, "text/plain"}:
            return replace(page, content=sanitised(page.content))
        return page


def web_client(context: CallContext) -> WebClient:
    """Return what fetches the TwiML of one call, by the rules of the account."""
    if context.behaviour.trial == "off":
        return WebClient(context.auth_token, context.connector)
    return TrialWebClient(context)


def intercepted(source: Source, hops: int, behaviour: Behaviour) -> Source:
    """Return what the account may have of `source`.

    Args:
        source: Where the TwiML is to come from.
        hops: How many documents led to it.
        behaviour: Says whether this is a trial.

    Returns:
        `source`, without what is blocked if it is inline; or, after too many hops, one sentence
        and a hang-up.
    """
    if behaviour.trial == "off":
        return source
    if hops >= TRIAL_HOPS:
        return Source(twiml=f"<Response><Say>{TRIAL_LAST_HOP}</Say><Hangup/></Response>")
    if behaviour.trial == "blocked" and source.page is None:
        return replace(source, twiml=sanitised(source.twiml))
    return source


def time_limit(
    context: CallContext, plan: CallPlan, call_sid: str, end: Callable[[], object]
) -> asyncio.TimerHandle | None:
    """Have `end` called when the call has lasted as long as it may; it was answered just now.

    The limit is that of the plan, or else the trial's, which is logged when it is reached.
    """

    def end_trial() -> None:
        context.debugger.log(TRIAL_OVER, call_sid=call_sid)
        end()

    loop, wanted = asyncio.get_running_loop(), plan.time_limit
    is_trial = context.behaviour.trial != "off"
    if is_trial and (wanted is None or wanted > TRIAL_CALL_SECONDS):
        return loop.call_later(TRIAL_CALL_SECONDS, end_trial)
    return None if wanted is None else loop.call_later(wanted, end)


def sanitised(document: AnyStr) -> AnyStr:
    """Return a document with a spoken refusal in place of each verb or noun that is blocked.

    What is not TwiML comes back as it is: the reader that comes next says what is wrong with it.
    """
    try:
        root = root_of(document)
    except TwimlFault:
        return document
    if not _sanitise(root):
        return document
    text = ET.tostring(root, encoding="unicode")
    return text if isinstance(document, str) else text.encode()


def _sanitise(root: ET.Element) -> bool:
    """Change `root` as needed; tell whether that was necessary."""
    verbs = list(root)
    allowed = [each for verb in verbs for each in _in_place_of(verb)]
    root[:] = allowed
    loops = [_limit_loop(play) for play in root.iter("Play")]
    return allowed != verbs or any(loops)


def _in_place_of(verb: ET.Element) -> list[ET.Element]:
    """Return what stands where `verb` stood.

    A verb that is left without a noun goes too, and with it its `action`; that is an assumption.
    """
    if verb.tag in TRIAL_BLOCKED:
        return [_refusal(verb.tag)]
    names = TRIAL_BLOCKED | TRIAL_BLOCKED_IN_DIAL if verb.tag == "Dial" else TRIAL_BLOCKED
    blocked = [noun for noun in verb if noun.tag in names]
    for noun in blocked:
        verb.remove(noun)
    refusals = [_refusal(noun.tag) for noun in blocked]
    return [*refusals, verb] if len(verb) or not blocked else refusals


def _refusal(verb: str) -> ET.Element:
    say = ET.Element("Say")
    say.text = TRIAL_REFUSAL.format(verb=verb)
    return say


def _limit_loop(play: ET.Element) -> bool:
    """Reduce the `loop` of a ``<Play>``; tell whether that was necessary."""
    text = play.get("loop", "1")
    # By way of float, for `int` refuses to read thousands of digits.
    loop = int(min(float(text), TRIAL_PLAY_LOOPS)) if text.isdecimal() else 1
    play.set("loop", str(loop))
    return str(loop) != text
