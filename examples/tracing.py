"""OpenTelemetry spans of streams and of their playbacks, made from the package's log records.

The package knows nothing of OpenTelemetry.  Its log records carry SIDs and values as attributes,
which docs/PRODUCTION.md lists under "Logging".  `SpanHandler` is all that a program of yours needs.

    pip install opentelemetry-sdk
    python examples/tracing.py
    twistream call ws://127.0.0.1:8080/media
"""

import asyncio
import contextlib
import logging
import os

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

import twistream_kit as kit

VALUES = ("stream_sid", "call_sid", "reason", "cause", "close_code", "error_code")
VALUES += ("playback", "mark", "ending", "heard_ms", "total_ms", "gaps", "gap_ms")


class SpanHandler(logging.Handler):
    """Makes a span of each stream, and in it one of each playback; it waits for nothing."""

    def __init__(self, tracer: trace.Tracer) -> None:
        super().__init__()
        self._tracer = tracer
        self._spans: dict[tuple[str, str], trace.Span] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Begin or end a span; the records of one stream come in order, on one thread."""
        kind, _, event = getattr(record, "event_name", "").partition(".")
        sid, at = getattr(record, "stream_sid", ""), int(record.created * 1e9)
        key = (sid, getattr(record, "playback", ""))
        if event in ("started", "queued"):
            stream = self._spans.get((sid, ""))
            context = trace.set_span_in_context(stream) if stream else None
            self._spans[key] = self._tracer.start_span(kind, context, start_time=at)
        if (span := self._spans.get(key)) is None:
            return
        for name in VALUES:
            if (value := getattr(record, name, None)) is not None:
                span.set_attribute(name, value)
        if record.exc_info and (error := record.exc_info[1]):  # the handler of the stream failed
            span.record_exception(error, timestamp=at)
            span.set_status(trace.StatusCode.ERROR, repr(error))
        if event == "ended":
            self._spans.pop(key).end(at)


def trace_streams(tracer: trace.Tracer) -> SpanHandler:
    """Make spans from now on; `logging.Logger.removeHandler` ends that."""
    logger, handler = logging.getLogger("twistream_kit.live"), SpanHandler(tracer)
    logger.setLevel(logging.DEBUG)  # with INFO there are spans of streams, and none of playbacks
    logger.addHandler(handler)
    return handler


async def answer(stream: kit.MediaStream) -> None:
    """Play two sounds, and close the stream after them."""
    stream.play(kit.Clip.tone(440, 0.5), mark="first")
    stream.play(kit.Clip.tone(660, 0.5), mark="second")
    stream.close()


async def main() -> None:
    """Serve until Ctrl-C, and print the spans."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    trace_streams(provider.get_tracer("twistream_kit"))
    try:
        port = int(os.environ.get("PORT", "8080"))
        async with kit.StreamServer(answer, port=port) as server:
            print(server.url, flush=True)
            await server.stopped
    finally:
        provider.shutdown()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
