"""Records the times of a run of 120 simulated calls, from which tests merge histograms.

    python tests/support/record_load.py > tests/diagnosis/load_samples.json

The server is a process of its own.  It greets each caller, stops when it is interrupted, thinks for
a time that differs from turn to turn, and lets its sound run out now and then.
"""

from __future__ import annotations

import asyncio
import json
import platform
import random
import subprocess
import sys

import twistream_kit as kit
from twistream_kit import caller

CALLS = 120
SEED = 19


async def answer(stream: kit.MediaStream) -> None:
    """Serve one caller."""
    chance = random.Random(stream.parameters["customer"])
    talking = asyncio.create_task(talk(stream, chance))
    trigger, was_speaking = kit.VoiceTrigger(), False
    async for samples in stream.audio():
        trigger.push(samples)
        if trigger.speaking and not was_speaking:
            talking.cancel()
            stream.clear()
        elif was_speaking and not trigger.speaking:
            talking = asyncio.create_task(talk(stream, chance))
        was_speaking = trigger.speaking
    talking.cancel()


async def talk(stream: kit.MediaStream, chance: random.Random) -> None:
    """Think, and say a tone in two pieces, of which the second one comes late now and then."""
    await asyncio.sleep(min(1.5, chance.lognormvariate(-1.8, 0.6)))  # sleeps: the server thinks
    stream.play(kit.Clip.tone(440, 1.0))
    late = max(0.0, chance.gauss(0.0, 0.05))
    await asyncio.sleep(1.0 + late)  # sleeps: the sound runs out meanwhile
    stream.play(kit.Clip.tone(440, 1.0))


async def serve() -> None:
    """Say the address, and serve until the input ends."""
    async with kit.StreamServer(answer) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Make the calls, and print their times as JSON."""
    server = subprocess.Popen(
        [sys.executable, __file__, "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    voice = kit.load_clip("sample_audio/question.wav")
    try:
        report = kit.simulate_calls(
            server.stdout.readline().strip(),
            CALLS,
            seconds=15,
            ramp_seconds=5,
            seed=SEED,
            parameters=lambda number: {"customer": str(number)},
            script=[
                caller.interrupt(voice, after=caller.vary(0.3, 1.2)),
                caller.interrupt(voice, after=caller.vary(0.3, 1.2)),
                caller.listen(limit=4),
                caller.hang_up(),
            ],
        ).result()
    finally:
        server.communicate()
    sys.stderr.write(f"{report!r}\n")
    samples = {name: [] for name in ("first_sound_ms", "response_ms", "barge_in_ms", "gap_ms")}
    for call in report.to_dict()["calls"]:
        samples["first_sound_ms"] += [call["first_sound_ms"]]
        samples["response_ms"] += call["response_ms"]
        samples["barge_in_ms"] += call["barge_in_ms"]
        samples["gap_ms"] += call["gaps_ms"]
    bins = report.own_late_ms.list_bins()
    samples["own_late_ms"] = [round(end, 3) for _, end, times in bins for _ in range(times)][::40]
    made = f"{CALLS} calls, Python {platform.python_version()}, {platform.system()}"
    lines = [f'"made": {json.dumps(made)}']
    lines += [f'"{name}": {json.dumps(values)}' for name, values in samples.items()]
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main()
