"""Flask-Sock on Werkzeug's own server: ``python flask_sock_server.py PORT TONE``."""

from __future__ import annotations

import os
import sys

from flask import Flask
from flask_sock import Sock
from script import Script

app = Flask(__name__)
sock = Sock(app)


@sock.route("/<wanted>")
def stream(socket, wanted):
    script = Script(wanted, sys.argv[2])
    while True:
        for act, *what in script.react(socket.receive()):
            if act == "send":
                socket.send(what[0])
            elif act == "close":
                socket.close(reason=what[0], message=what[1])
            elif act == "exits":
                os._exit(1)
            else:
                raise RuntimeError("no customer of that name")


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
