"""The errors of the package: their texts, their data, and what comes out of a process pool."""

from __future__ import annotations

import asyncio
import pickle

from common import Pages, format_error, outcome

import twistream_kit as kit


def record() -> dict[str, str]:
    """One entry for each error class and each way to make one."""
    pages = Pages()
    names = [name for name in kit.__all__ if _is_error(getattr(kit, name))]
    pages.add("errors", "classes", "\n".join(names))
    full = {"consequence": "Nothing was sent", "fix": "Try it again!"}
    more = {
        "WavError": {"source": "a.wav", "offset": 44},
        "CallRefused": {"code": 21211, "status": 400},
        "LocalProtocolError": {"field": "media", "twilio_code": 31951},
        "RemoteProtocolError": {"field": "media", "twilio_code": 31951},
    }
    for name in names:
        kind = getattr(kit, name)
        for options in ({}, full, more.get(name, {}), more.get(name, {}) | full):
            error = kind("something is wrong", **options)
            copy = pickle.loads(pickle.dumps(error))
            assert format_error(copy) == format_error(error)
            pages.add("errors", f"{name}({options})", f"{format_error(error)}\n{error!r}")
    pages.add("errors", "ServerStopped.before", kit.ServerStopped.before("the call was answered"))
    asyncio.run(_pending(pages))
    return pages.texts()


def _is_error(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseException)


async def _pending(pages: Pages) -> None:
    pending = kit.Pending(asyncio.get_running_loop())
    pages.add("pending", "result on the loop that brings it", outcome(pending.result))
    pages.add("pending", "set from outside", outcome(lambda: pending.set_result(7)))
    pages.add(
        "pending", "failed from outside", outcome(lambda: pending.set_exception(ValueError()))
    )
    pages.add("pending", "running", outcome(pending.set_running_or_notify_cancel))
    other, too_short = kit.Pending(), 0.01  # nothing ever brings it, so no machine is too slow
    pages.add("pending", "a wait that is too short", outcome(lambda: other.result(too_short)))
    pages.add("pending", "not done", f"{other.done()} {other.cancelled()} {other.running()}")
    pages.add("pending", "cancelled", f"{other.cancel()} {other.cancelled()} {other.done()}")
    pages.add("pending", "result of it", outcome(lambda: other.result(1)))
    failed = kit.simulate_call("ws://127.0.0.1:1/media")
    pages.add("pending", "failed", outcome(lambda: failed.result(60)))
    pages.add("pending", "its exception", format_error(failed.exception(60)))
