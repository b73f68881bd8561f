"""Executes the TwiML of one call, verb after verb (PROTOCOL.md §1)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from io import BytesIO
from typing import Protocol, assert_never

from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.twiml import review_twiml
from twistream_kit.errors import WavError
from twistream_kit.protocol.ending import EndCause
from twistream_kit.simulator.call._speech import VerbAudio, make_error_tone, make_key_tones
from twistream_kit.simulator.call._trial import intercept
from twistream_kit.simulator.call.context import CallContext, Source
from twistream_kit.simulator.call.streams import CallStreams
from twistream_kit.simulator.call.twiml import (
    ConnectStream,
    Hangup,
    Pause,
    PlainVerb,
    Play,
    PlayBody,
    Redirect,
    Reject,
    Say,
    StartStream,
    StopStream,
    TwimlFault,
    TwimlScript,
)
from twistream_kit.simulator.call.web import SOUND_BYTES, WebClient, obtain
from twistream_kit.simulator.model.assumptions import FAILED_STREAM_HANGS_UP_AFTER_SECONDS

HANG_UP = Source()
"""The result of a verb that ends the call, instead of the source of the next document."""


class Party(Protocol):
    """The methods of a call that the interpreter needs."""

    sid: str

    def make_params(self) -> Mapping[str, str]:
        """Return the parameters of a voice request, with the present status."""

    def pick_up(self) -> None:
        """Answer an incoming call if it is not answered yet."""

    def reject(self, reason: str) -> bool:
        """Refuse an incoming call; return False if it was answered already."""

    async def wait_reported(self) -> None:
        """Wait, for a limited time, until the status callbacks so far were delivered."""


class TwimlInterpreter:
    """Executes the TwiML of one call, document after document.

    Args:
        call: The call.
        context: The objects that all calls share.
        web: Fetches TwiML and sound files.
        speech: Plays the sound of Say and Play.
        streams: The streams of the call.
    """

    def __init__(
        self,
        call: Party,
        context: CallContext,
        web: WebClient,
        speech: VerbAudio,
        streams: CallStreams,
    ) -> None:
        self._call = call
        self._context = context
        self._web = web
        self._speech = speech
        self._streams = streams

    async def run(self, source: Source) -> None:
        """Execute the TwiML of `source`, and the documents that follow, until no verb is left.

        Cancelling it ends the running verb at once; a stream gets its `stop`.
        """
        hops = 0
        while source is not HANG_UP:
            source = intercept(source, hops, self._context.behaviour)
            hops += 1
            try:
                script = await obtain(source, self._web, self._call.make_params(), self._log)
                for remark in script.remarks:
                    self._context.debugger.log(remark.code, remark.text, call_sid=self._call.sid)
                for note in script.notes:
                    self._context.debugger.note(note, call_sid=self._call.sid)
                source = await self._perform(script)
            except TwimlFault as fault:
                await self._fail(fault)
                return

    async def _perform(self, script: TwimlScript) -> Source:
        for position, verb in enumerate(script.verbs):
            if isinstance(verb, Reject) and self._call.reject(verb.reason):
                return HANG_UP
            if isinstance(verb, Hangup | Reject):
                self._call.pick_up()
                return HANG_UP
            if isinstance(verb, Redirect):
                return Source(page=verb.to)
            if not isinstance(verb, Pause):
                # A <Pause> at the beginning lets an incoming call continue to ring.
                self._call.pick_up()
            if isinstance(verb, ConnectStream):
                onward = await self._connect(verb, is_last=position + 1 == len(script.verbs))
                if onward is not None:
                    return onward
            else:
                await self._act(verb)
        self._call.pick_up()
        return HANG_UP

    async def _act(self, verb: PlainVerb) -> None:
        match verb:
            case Say():
                await self._speech.read(verb.text, verb.loop)
            case Play() if verb.digits:
                await self._speech.say(make_key_tones(verb.digits), verb.loop)
            case Play():
                await self._speech.say(await self._fetch_sound(verb.url), verb.loop)
            case PlayBody():
                await self._speech.say(await self._decode(verb.content, "the TwiML's answer"))
            case Pause():
                await asyncio.sleep(verb.seconds)
            case StartStream():
                await self._call.wait_reported()
                self._streams.start(verb.stream)
            case StopStream():
                self._stop(verb)
            case _:
                assert_never(verb)

    async def _connect(self, verb: ConnectStream, *, is_last: bool) -> Source | None:
        """Run a bidirectional stream; return the next document, or None for the next verb."""
        # The answered callback arrives before the WebSocket connects (§6.6).
        await self._call.wait_reported()
        worked = await self._streams.connect(verb.stream)
        if not worked and not self._context.behaviour.continues_after_failure:
            return HANG_UP
        if verb.action is not None:
            return Source(page=verb.action)
        if is_last and not worked:
            await asyncio.sleep(FAILED_STREAM_HANGS_UP_AFTER_SECONDS)
        return None

    def _stop(self, verb: StopStream) -> None:
        stream = self._streams.find(verb.name)
        if stream is None:
            text = f"<Stop> names the stream {verb.name!r}, which this call does not have"
            self._context.debugger.log(12200, text, call_sid=self._call.sid)
        else:
            self._streams.stop(stream, EndCause("twiml-went-on", detail="<Stop>"))

    async def _fetch_sound(self, url: str) -> bytes:
        try:
            page = (await self._web.fetch(url, "GET", limit=SOUND_BYTES)).check_status()
        except TwimlFault as fault:
            # Twilio's behaviour is not known; here a missing sound file does not end the call.
            self._log(fault)
            return b""
        return await self._decode(page.content, url)

    async def _decode(self, content: bytes, where: str) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            clip = await loop.run_in_executor(self._context.executor, _load, content)
        except WavError as error:
            self._log(TwimlFault(12300, f"{where} is not a sound that can be played: {error}"))
            return b""
        return clip.payload

    async def _fail(self, fault: TwimlFault) -> None:
        self._log(fault)
        self._call.pick_up()
        await self._speech.say(make_error_tone())

    def _log(self, fault: TwimlFault) -> None:
        document = fault.document
        self._context.debugger.log(
            fault.code,
            fault.text,
            call_sid=self._call.sid,
            message=document,
            objections=() if document is None else review_twiml(document),
        )


def _load(content: bytes) -> Clip:
    from twistream_kit.audio.load import load_clip

    return load_clip(BytesIO(content))
