"""A bot that beeps, says each key back as its tone, and closes the stream after ``#``."""

import twistream_kit as kit

BEEP = kit.Clip.tone(800, 0.3)


async def answer(stream: kit.MediaStream) -> None:
    """Serve one call."""
    stream.play(BEEP, mark="beep")
    async for event in stream.events():
        if isinstance(event, kit.from_twilio.Dtmf):
            stream.clear()  # a key interrupts what is playing
            if event.digit == "#":
                break
            stream.play(kit.Clip.dtmf(event.digit), mark=event.digit)
    stream.close()
