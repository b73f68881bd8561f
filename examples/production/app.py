"""A FastAPI application that answers calls of Twilio: the webhook of the number, and the streams.

Run it in this folder, with the account's token and the address at which Twilio reaches it:

    pip install -r requirements.txt
    export TWILIO_AUTH_TOKEN=…  PUBLIC_URL=https://example.com  GREETING=greeting.wav
    uvicorn app:app --port 8000 --workers 2 --proxy-headers --timeout-graceful-shutdown 5

Then set the number's voice URL to `PUBLIC_URL` with `/voice/twiml`.  What has to be kept in mind in
production is in docs/PRODUCTION.md of the package.
"""

from __future__ import annotations

import logging
import os

from fastapi import FastAPI

import twistream_kit as kit

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
# Loaded once for each worker: a clip is never changed, so all streams play the same.
GREETING = kit.load_clip(os.environ["GREETING"])


async def answer(stream: kit.MediaStream) -> None:
    """Greet the caller, and say back each key that is pressed, until ``#``."""
    caller = stream.start.custom_parameters.get("from", "somebody")
    logging.getLogger("app").info("call %s from %s", stream.call_sid, caller)
    stream.play(GREETING)
    async for event in stream.events():
        if isinstance(event, kit.from_twilio.Dtmf):
            stream.clear()  # a caller who presses a key has heard enough
            if event.digit == "#":
                break
            stream.play(kit.Clip.dtmf(event.digit))
    stream.close()


voice = kit.StreamApp(
    answer,
    auth_token=os.environ["TWILIO_AUTH_TOKEN"],
    public_url=os.environ["PUBLIC_URL"] + "/voice",
    drain_seconds=20,
)

app = FastAPI()
app.mount("/voice", voice)


@app.get("/")
def show_state() -> dict[str, int]:
    """Return how many calls this worker serves."""
    return {"open streams of this worker": sum(stream.is_open for stream in voice.streams)}
