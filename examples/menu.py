"""A menu that is controlled by keys: a prompt, a sound for each key, and a key that hangs up.

A key interrupts what is playing, as callers expect of a menu.  A caller who presses nothing hears
the prompt again; after the third time the call ends.

    python examples/menu.py
    twistream call ws://127.0.0.1:8080/media --press 2
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import twistream_kit as kit

SOUNDS = Path(__file__).parent.parent / "sample_audio"

# Yours to replace: any sound file that says what the keys do, and one for each key.
PROMPT = kit.load_clip(SOUNDS / "greeting.wav")
CHOICES = {
    "1": kit.load_clip(SOUNDS / "reply.wav"),
    "2": kit.load_clip(SOUNDS / "speech_float.wav"),
}
UNKNOWN_KEY = kit.Clip.tone(300, 0.3)
HANG_UP_KEY = "#"

WAIT_SECONDS = float(os.environ.get("WAIT_SECONDS", "5"))
"""How long a caller has for a key after the prompt."""

PROMPTS = 3
"""How often the prompt is played in a row to a caller who presses nothing."""


async def wait_for_key(
    events: AsyncIterator[kit.from_twilio.Message], seconds: float
) -> str | None:
    """Return the next key, or None if none is pressed in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for event in events:
                if isinstance(event, kit.from_twilio.Dtmf):
                    return event.digit
    return None


async def answer(stream: kit.MediaStream) -> None:
    """Play the prompt, and what the keys ask for, until the caller has finished."""
    events = stream.events()  # one reader for all waits: no key is missed between two of them
    unanswered = 0
    while unanswered < PROMPTS:
        stream.play(PROMPT, mark="prompt")
        key = await wait_for_key(events, PROMPT.seconds + WAIT_SECONDS)
        unanswered += 1
        while key is not None and key != HANG_UP_KEY:
            unanswered = 0
            sound = CHOICES.get(key, UNKNOWN_KEY)
            stream.clear()  # a caller who presses a key has heard enough
            stream.play(sound, mark=f"key {key}")
            key = await wait_for_key(events, sound.seconds)
        if key == HANG_UP_KEY:
            stream.clear()
            break
    stream.close()  # after what is still queued was heard


async def main() -> None:
    """Serve until Ctrl-C."""
    async with kit.StreamServer(answer, port=int(os.environ.get("PORT", "8080"))) as server:
        print(server.url, flush=True)
        await server.stopped


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
