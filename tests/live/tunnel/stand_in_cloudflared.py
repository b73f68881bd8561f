"""Behaves like `cloudflared tunnel --url …` in one of five ways, without any network.

What it prints is worded as the real program does (cloudflare/cloudflared issues #456, #555, #972;
versions 2022 to 2025).  The way is in STAND_IN_WAY; the edge that it registers at is a file,
STAND_IN_EDGE, which holds the origin for as long as the tunnel stands.
"""

import os
import signal
import sys
import threading
from pathlib import Path

NAME = "four-dashed-random-words"
BAR = "+" + "-" * 92 + "+"
API = "https://api.trycloudflare.com/tunnel"


def log(line, level="INF"):
    sys.stderr.write(f"2025-01-28T06:13:37Z {level} {line}\n")
    sys.stderr.flush()


def main():
    arguments, way = sys.argv[1:], os.environ["STAND_IN_WAY"]
    assert arguments[:5] == ["tunnel", "--config", os.devnull, "--no-autoupdate", "--url"], (
        arguments
    )
    assert "TUNNEL_TOKEN" not in os.environ
    assert "PRIVATE_KEY" not in os.environ
    if way == "silent":
        threading.Event().wait()
    log(
        "Thank you for trying Cloudflare Tunnel. Doing so, without a Cloudflare account, is a "
        "quick way to experiment and try it out. However, be aware that these account-less Tunnels "
        "have no uptime guarantee. See https://developers.cloudflare.com/cloudflare-one/."
    )
    log("Requesting new quick Tunnel on trycloudflare.com...")
    if way == "no network":
        sys.exit(
            f'failed to request quick Tunnel: Post "{API}": dial tcp: lookup '
            "api.trycloudflare.com: no such host"
        )
    if way == "429":
        log(
            'Error unmarshaling QuickTunnel response: error code: 1015 error="invalid character '
            '\'e\' looking for beginning of value" status_code="429 Too Many Requests"',
            "ERR",
        )
        sys.exit(
            "failed to unmarshal quick Tunnel: invalid character 'e' looking for beginning of value"
        )
    serve(Path(os.environ["STAND_IN_EDGE"]), arguments[5], way)


def serve(edge, origin, way):
    terminated = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: terminated.set())
    log(BAR)
    words = (
        "Your quick Tunnel has been created! Visit it at (it may take some time to be reachable):"
    )
    log(f"|  {words}  |")
    log(f"|  https://{NAME}.trycloudflare.com{' ' * 40}|")
    log(BAR)
    log("Version 2025.1.0 (Checksum 8734f79d)")
    log("Initial protocol quic")
    if way == "blocked":
        retry = 'error="failed to dial to edge with quic: timeout: no recent network activity"'
        log(f"Failed to create new quic connection {retry} connIndex=0 event=0", "WRN")
        terminated.wait()
        sys.exit(0)
    edge.write_text(origin)
    log(
        "Registered tunnel connection connIndex=0 connection=5c94b68c-6732-40c1-9b49-9f8f6c23521d "
        "event=0 ip=198.51.100.67 location=las01 protocol=quic"
    )
    if way == "dies later":
        while edge.exists():
            terminated.wait(0.02)
        log('Initiating shutdown error="Unauthorized: Tunnel not found"', "ERR")
        sys.exit(1)
    terminated.wait()
    log("Initiating graceful shutdown due to signal terminated ...")
    edge.unlink()
    log("Unregistered tunnel connection connIndex=0 event=0 ip=198.51.100.67")


if __name__ == "__main__":
    main()
