"""What the controls of a call say and allow when its tunnel, a real ``ssh -R``, is killed."""

from __future__ import annotations

import functools
import html
import threading

import psutil
import pytest

from support.sshd import kill_ssh, ssh_tunnel
from support.waiting import LIMIT_SECONDS
from twistream_kit.errors import TunnelError
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.server.local_proxy import LocalProxy
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.tunnel.tunnel import open_tunnel
from twistream_kit.notebook.widgets.controls import StreamControls
from twistream_kit.simulator.twilio import SimulatedTwilio

BUTTONS = ("send", "speak_over", "mark", "clear", "hang_up")


@pytest.fixture
def world(background_loop, sshd):
    """Bring up all that a notebook's cells start; return what they give."""

    def begin():
        twilio = background_loop.start(SimulatedTwilio(ring_seconds=0.02))
        server = background_loop.start(StreamServer(auth_token=twilio.auth_token))
        return twilio, server, background_loop.start(ssh_tunnel(server, sshd))

    begin.tunnel_to = functools.partial(ssh_tunnel, host=sshd)
    return begin


def ring(twilio, server, number="+15550100001"):
    phone = twilio.phone(number)
    call = place_call(
        twilio.client, to=phone.number, from_=twilio.numbers[0], stream_url=server.stream_url
    ).result(LIMIT_SECONDS)
    return call, server.next_stream(call).result(LIMIT_SECONDS)


def processes(host):
    """Our children, and what names the key to `host`: guards and ssh clients, orphans too."""
    options = host.options()
    key = options[options.index("-i") + 1]
    found = {child.pid for child in psutil.Process().children(recursive=True)}
    for each in psutil.process_iter(["cmdline", "status"]):
        is_there = each.info["status"] != psutil.STATUS_ZOMBIE
        if is_there and key in (each.info["cmdline"] or ()):
            found.add(each.pid)
    return found


def test_controls_say_that_the_address_is_gone_and_let_nothing_be_pressed(world, tone, until):
    twilio, server, tunnel = world()
    call, stream = ring(twilio, server)
    controls = StreamControls(stream, clips=[tone], call=call)
    controls.send_button.click()
    until(lambda: controls.progress.value > 0.005)
    kill_ssh()
    why = tunnel.ended.result(LIMIT_SECONDS)
    assert why.endswith("was killed (signal 9)")
    words = f"<b>The public address was lost</b>: {html.escape(why)}"
    until(lambda: words in controls.state.value)
    # The stream ends after the tunnel, when the server sees that its connection is gone.
    until(lambda: controls.state.value.startswith("<b>Ended</b>: the tunnel was lost: "))
    until(lambda: all(getattr(controls, f"{button}_button").disabled for button in BUTTONS))
    until(lambda: controls.progress.bar_style == "danger")
    until(lambda: " of 20.0 s, lost: the tunnel was lost" in controls._heard_text.value)
    until(lambda: "tone was lost after" in controls.log_view.value)
    # Twilio has no way left to report the end of the call; asking for it shows it.
    assert call.hang_up().result(LIMIT_SECONDS) == "completed"
    until(lambda: "<br>The call: completed, " in controls.state.value)
    assert words in controls.state.value
    controls.close()


def test_reason_that_is_known_only_after_the_connection_broke_is_still_shown(
    background_loop, tone, until
):
    twilio = background_loop.start(SimulatedTwilio(ring_seconds=0.02))
    server = background_loop.start(StreamServer(auth_token=twilio.auth_token))
    proxy = background_loop.start(LocalProxy(server))
    background_loop.start(open_tunnel(server, "static", url=proxy.url))
    _, stream = ring(twilio, server)
    controls = StreamControls(stream, clips=[tone])
    background_loop.stop(proxy)
    assert stream.closed.result(LIMIT_SECONDS).reason == "lost"
    until(lambda: controls.state.value.startswith("<b>Ended</b>: the connection was lost"))
    server.lose_public_url("the proxy was stopped")
    until(lambda: "<b>The public address was lost</b>: the proxy was" in controls.state.value)
    controls.close()


def test_controls_of_the_next_call_know_nothing_of_the_lost_tunnel(
    world, background_loop, tone, until
):
    twilio, server, tunnel = world()
    _, lost = ring(twilio, server)
    kill_ssh()
    assert tunnel.ended.result(LIMIT_SECONDS)
    lost.closed.result(LIMIT_SECONDS)
    # The cell is run again: the same key, so the dead tunnel is put away first.
    again = background_loop.start(world.tunnel_to(server))
    call, stream = ring(twilio, server, "+15550100002")
    assert server.stream_url.startswith(again.public_url.replace("http", "ws"))
    controls = StreamControls(stream, clips=[tone], call=call)
    controls.send_button.click()
    until(lambda: controls.progress.value > 0.005)
    until(lambda: "<b>Playing</b>" in controls.state.value)
    assert "gone" not in controls.state.value
    controls.hang_up_button.click()
    until(lambda: "<b>Ended</b>: the call was ended by a request" in controls.state.value)
    assert "gone" not in controls.state.value
    controls.close()


def test_stopping_everything_after_the_loss_leaves_nothing(world, background_loop, sshd, until):
    before, threads = processes(sshd), set(threading.enumerate())
    twilio, server, tunnel = world()
    _, stream = ring(twilio, server)
    assert len(processes(sshd) - before) >= 2  # the guard, and ssh
    waits = [stream.play(b"\xff" * 40_000), stream.mark("never"), server.next_stream()]
    kill_ssh()
    assert [wait.exception(LIMIT_SECONDS) is None for wait in waits] == [True, True, False]
    with pytest.raises(TunnelError, match="the public address is gone"):
        waits[-1].result(0)
    tunnel.ended.result(LIMIT_SECONDS)
    background_loop.stop()
    assert background_loop.running() == []
    until(lambda: processes(sshd) <= before)
    kept = ("twistream_kit",)  # the kit's loop and its widgets live as long as the process
    until(lambda: not [t for t in set(threading.enumerate()) - threads if t.name not in kept])
