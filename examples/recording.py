"""Record each call into a stereo file: left the caller, right what the caller heard.

    python examples/recording.py
    twistream call ws://127.0.0.1:8080/media --say sample_audio/question.wav

`FOLDER` in the environment chooses another folder than `recordings`, `SUFFIX` another format than
`.wav`: `.flac`, `.mp3`, `.ogg` or `.opus`.  A stream keeps the first 15 minutes
of sound.  Callers have to know that they are recorded, and in many countries to agree: say so in
the greeting.
"""

import asyncio
import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import twistream_kit as kit

FOLDER = Path(os.environ.get("FOLDER", "recordings"))
SUFFIX = os.environ.get("SUFFIX", ".wav")
SOUNDS = Path(__file__).parent.parent / "sample_audio"
GREETING = kit.load_clip(SOUNDS / "reply.wav")


def save(stream: kit.MediaStream, name: str) -> None:
    """Write the recording of a stream that has ended."""
    recording = stream.capture.recording
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = recording.save(FOLDER / (name + SUFFIX))
    print(f"{path}: {recording.seconds:.1f} s", flush=True)


def answer(writers: ThreadPoolExecutor, stream: kit.MediaStream) -> None:
    """Have the stream recorded, and play the greeting; your own conversation goes here."""
    name = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{stream.call_sid}_{stream.stream_sid}"
    # However the call ends, also by the stop of the server, it is saved.  A file takes time to
    # write, so a thread does it, and the other calls go on.
    stream.closed.add_done_callback(lambda _: writers.submit(save, stream, name))
    stream.play(GREETING)


async def main() -> None:
    """Serve until Ctrl-C; what is being written then is written whole."""
    port = int(os.environ.get("PORT", "8080"))
    with ThreadPoolExecutor(1) as writers:
        async with kit.StreamServer(partial(answer, writers), port=port) as server:
            print(server.url, flush=True)
            await server.stopped


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
