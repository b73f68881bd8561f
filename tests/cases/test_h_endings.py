"""Who ended a call or a stream, and why: at the simulator's side, where the truth is known."""

from __future__ import annotations

import asyncio

import websockets

from support.cases import CASES
from support.media_server import MediaServer
from support.waiting import eventually, soon
from twistream_kit.simulator.twilio import SimulatedTwilio


async def test_h02_a_stream_ended_by_new_twiml_says_so():
    server = MediaServer()
    new = (CASES / "h02.xml").read_text(encoding="utf-8")
    async with (
        SimulatedTwilio(ring_seconds=0) as twilio,
        websockets.serve(server.serve, "127.0.0.1", 0, close_timeout=0.2) as running,
    ):
        url = f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/media"
        phone = twilio.phone("+15550100001")
        made = await asyncio.to_thread(
            twilio.client.calls.create,
            to=phone.number,
            from_=twilio.numbers[0],
            twiml=f'<Response><Connect><Stream url="{url}"/></Connect></Response>',
        )
        call = twilio.calls[0]
        first = await eventually(lambda: call.streams.all[0] if call.streams.all else None)
        await eventually(lambda: first.connected)
        new = new.replace("wss://voice.example.com/media", url)
        await asyncio.to_thread(twilio.client.calls(made.sid).update, twiml=new)
        await eventually(lambda: first.ended)
        assert first.ended.cause == "twiml-replaced"
        assert repr(first).endswith("stopped, the call's TwiML was replaced during the stream>")
        assert "its stream ended: the call's TwiML was replaced" in repr(phone)
        assert "its stream ended: the call's TwiML was replaced" in repr(call)
        second = await eventually(lambda: call.streams.all[1] if call.streams.all[1:] else None)
        await eventually(lambda: second.connected)
        phone.hang_up()
        await soon(phone.until("idle"))
        await eventually(lambda: second.ended)
        assert second.ended.cause == phone.ended.cause == call.ended_by.cause == "callee-hung-up"
        assert repr(phone).endswith(", the callee hung up>")
    assert [entry.code for entry in twilio.debugger] == []
