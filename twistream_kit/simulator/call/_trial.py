"""The restrictions of calls of a trial account (PROTOCOL.md §0, §6.7).

There are two regimes.  Under the older one, a call begins with an announcement that asks for a key,
and without a key it ends before its TwiML.  The callee hears it, or the caller of an incoming call
[OBS]; it is played after the answer, which is reported first [OBS], and before the TwiML is fetched
[ASM].  Under the regime of 2026, Twilio changes the TwiML of the account and replaces every blocked
verb or noun by a spoken refusal [DOC].  `Behaviour.trial` selects the regime.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import AnyStr
from xml.etree import ElementTree as ET

from twistream_kit.protocol.twiml import FETCHED_LIMIT
from twistream_kit.simulator.call._speech import VerbAudio
from twistream_kit.simulator.call.context import CallContext, CallPlan, Source
from twistream_kit.simulator.call.twiml import TwimlFault, parse_count, parse_root
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
"""The warning that a call of a trial account has reached its ten minutes (§5.2)."""


class TrialPrompt:
    """The announcement of the older regime, and the wait for a key.

    It belongs to one loop.

    Args:
        speech: Plays the announcement.
    """

    def __init__(self, speech: VerbAudio) -> None:
        self._speech = speech
        self._key: asyncio.Future[None] | None = None

    def press(self) -> bool:
        """Take a key; return False if no key is expected, so that the key is not for this."""
        if self._key is None:
            return False
        if not self._key.done():
            self._key.set_result(None)
        return True

    async def wait_for_key(self) -> bool:
        """Play the announcement and wait; return whether a key was pressed, even during it."""
        key = self._key = asyncio.get_running_loop().create_future()
        asking = asyncio.create_task(self._announce())
        try:
            await asyncio.wait({key, asking}, return_when=asyncio.FIRST_COMPLETED)
            return key.done()
        finally:
            self._key = None
            asking.cancel()
            # The announcement must end before the next sound begins.
            await asyncio.wait({asking})

    async def _announce(self) -> None:
        await self._speech.read(TRIAL_ANNOUNCEMENT)
        await asyncio.sleep(TRIAL_KEY_SECONDS)


class TrialWebClient(WebClient):
    """Fetches TwiML as Twilio does for a trial account: with a shorter timeout, and filtered.

    Args:
        context: The objects that all calls share.
    """

    def __init__(self, context: CallContext) -> None:
        super().__init__(context.auth_token, context.connector)
        self._is_of_2026 = context.behaviour.trial == "blocked"

    def _get_timeout(self, limit: int) -> tuple[float, str]:
        if limit != FETCHED_LIMIT:  # a sound file
            return super()._get_timeout(limit)
        return TRIAL_FETCH_SECONDS, ", the timeout of a trial account"

    async def fetch_document(self, url: str, method: str, params: Mapping[str, str]) -> FetchedPage:
        """Request TwiML; under the regime of 2026 without a signature, and filtered."""
        if not self._is_of_2026:
            return await super().fetch_document(url, method, params)
        # Seen live: "Try out Voice" signs no webhook (§10.32).
        page = await self.fetch(url, method, params, signed=False)
        if page.content_type in {*TWIML_TYPES, "text/plain"}:
            return replace(page, content=sanitise(page.content))
        return page


def make_web_client(context: CallContext) -> WebClient:
    """Return the web client of one call, by the rules of the account."""
    if context.behaviour.trial == "off":
        return WebClient(context.auth_token, context.connector)
    return TrialWebClient(context)


def intercept(source: Source, hops: int, behaviour: Behaviour) -> Source:
    """Apply the restrictions of the account to `source`.

    Args:
        source: The source of the TwiML.
        hops: The number of documents before it.
        behaviour: Says whether this is a trial account.

    Returns:
        `source`, without blocked verbs if it is inline; or, after too many hops, one sentence and a
        hang-up.
    """
    if behaviour.trial == "off":
        return source
    if hops >= TRIAL_HOPS:
        return Source(twiml=f"<Response><Say>{TRIAL_LAST_HOP}</Say><Hangup/></Response>")
    if behaviour.trial == "blocked" and source.page is None:
        return replace(source, twiml=sanitise(source.twiml))
    return source


def limit_time(
    context: CallContext, plan: CallPlan, call_sid: str, end: Callable[[], object]
) -> asyncio.TimerHandle | None:
    """Call `end` when the call, which was answered just now, has reached its time limit.

    The limit is that of the plan, or else that of a trial account, which is logged when reached.
    """

    def end_trial() -> None:
        context.debugger.log(TRIAL_OVER, call_sid=call_sid)
        end()

    loop, wanted = asyncio.get_running_loop(), plan.time_limit
    is_trial = context.behaviour.trial != "off"
    if is_trial and (wanted is None or wanted > TRIAL_CALL_SECONDS):
        return loop.call_later(TRIAL_CALL_SECONDS, end_trial)
    return None if wanted is None else loop.call_later(wanted, end)


def sanitise(document: AnyStr) -> AnyStr:
    """Replace each blocked verb or noun of a document by a spoken refusal.

    A document that is not TwiML is returned unchanged: `read_twiml` then reports its error.
    """
    try:
        root = parse_root(document)
    except TwimlFault:
        return document
    if not _sanitise_tree(root):
        return document
    text = ET.tostring(root, encoding="unicode")
    return text if isinstance(document, str) else text.encode()


def _sanitise_tree(root: ET.Element) -> bool:
    """Change `root` as needed; return whether it was changed."""
    verbs = list(root)
    allowed = [each for verb in verbs for each in _replace_verb(verb)]
    root[:] = allowed
    loops = [_limit_loop(play) for play in root.iter("Play")]
    return allowed != verbs or any(loops)


def _replace_verb(verb: ET.Element) -> list[ET.Element]:
    """Return the elements that replace `verb`.

    A verb that is left without a noun is removed too, with its `action`; that is an assumption.
    """
    if verb.tag in TRIAL_BLOCKED:
        return [_make_refusal(verb.tag)]
    names = TRIAL_BLOCKED | TRIAL_BLOCKED_IN_DIAL if verb.tag == "Dial" else TRIAL_BLOCKED
    blocked = [noun for noun in verb if noun.tag in names]
    for noun in blocked:
        verb.remove(noun)
    refusals = [_make_refusal(noun.tag) for noun in blocked]
    return [*refusals, verb] if len(verb) or not blocked else refusals


def _make_refusal(verb: str) -> ET.Element:
    say = ET.Element("Say")
    say.text = TRIAL_REFUSAL.format(verb=verb)
    return say


def _limit_loop(play: ET.Element) -> bool:
    """Reduce the `loop` of a ``<Play>``; return whether it was changed."""
    text = play.get("loop", "1")
    count = parse_count(text)
    loop = 1 if count is None else min(count, TRIAL_PLAY_LOOPS)
    play.set("loop", str(loop))
    return str(loop) != text
