"""A bot that beeps, says keys back as tones, answers speech, and closes the stream after ``#``."""

import asyncio

import twistream_kit as kit

BEEP = kit.Clip.tone(800, 0.3)
ANSWER = kit.Clip.tone(600, 2.0)


async def answer(stream: kit.MediaStream) -> None:
    """Serve one call."""
    listening = asyncio.create_task(listen(stream))
    stream.play(BEEP, mark="beep")
    async for event in stream.events():
        if isinstance(event, kit.from_twilio.Dtmf):
            stream.clear()  # a key interrupts what is playing
            if event.digit == "#":
                break
            stream.play(kit.Clip.dtmf(event.digit), mark=event.digit)
    stream.close()
    listening.cancel()


async def listen(stream: kit.MediaStream) -> None:
    """Answer when the caller has spoken, and fall silent when the caller speaks."""
    trigger, is_asked = kit.VoiceTrigger(), False
    async for samples in stream.audio():
        if trigger.push(samples):
            stream.clear()
            is_asked = True
        if is_asked and not trigger.speaking:
            stream.play(ANSWER, mark="answer")
            is_asked = False
