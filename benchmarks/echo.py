"""The short form of `server.py`: what a media message costs beside a bare echo, in some 40 s.

python benchmarks/run.py echo              the ratios
python benchmarks/run.py echo --profile    also what the server spends its time on

The profile is taken in rounds of its own, because it makes the server slower: by more, the more
functions it calls.  Its shares say where to look; what a change is worth, the ratios say.
"""

from __future__ import annotations

from measuring import Figure, kept_off_the_first_core
from server import TINY, WHAT, Cost, Load, compare, make_figures, measure_once

KINDS = ["bare", "speak", "play", "clip and reader"]
QUICK = Load(40, 0.8, 1.5, 3)
MOST_ROWS = 45


def measure(*, tiny: bool = False, profile: bool = False) -> list[Figure]:
    """Measure the ratios; with `profile`, print one of each kind."""
    load = TINY if tiny else QUICK
    if profile:
        with kept_off_the_first_core():
            for kind in KINDS:
                print(_describe(kind, measure_once(kind, load, profile=True)), flush=True)
    return make_figures(compare(KINDS, load))


def _describe(kind: str, cost: Cost) -> str:
    count = cost.messages
    rows = [
        f"{own / count * 1e6:8.2f} {whole / count * 1e6:8.2f} {calls / count:7.2f}  {name}"
        for name, calls, own, whole in cost.profile[:MOST_ROWS]
    ]
    head = f"\n{WHAT.get(kind, 'bare echo')}: {cost.microseconds:.0f} µs a media message, profiled"
    return "\n".join([head, "  own µs  with µs   calls  for a media message", *rows])
