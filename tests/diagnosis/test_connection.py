"""Why no connection came about, by the errors of three client libraries."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import pytest
import requests
import urllib3

from twistream_kit.diagnosis.connection import explain_connection_error

URL = "https://me:hunter2@paper-boat.trycloudflare.com/health"


def caused_by(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


NAMELESS = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
PROXY = urllib3.exceptions.ProxyError("Unable to connect to proxy", OSError("Tunnel: 403"))
CASES = [
    (NAMELESS, "name"),
    (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "name-server"),
    (requests.ConnectionError(caused_by(Exception("pool"), NAMELESS)), "name"),
    (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "refused"),
    (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] …"), "refused"),
    (OSError(errno.ENETUNREACH, "Network is unreachable"), "unreachable"),
    (OSError(errno.EHOSTUNREACH, "No route to host"), "unreachable"),
    (TimeoutError("timed out"), "timeout"),
    (requests.exceptions.ReadTimeout("read"), "timeout"),
    (requests.exceptions.ConnectTimeout("connect"), "timeout"),
    (requests.exceptions.SSLError(certificate_error()), "certificate"),
    (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "tls"),
    (requests.exceptions.ProxyError(PROXY), "proxy"),
    (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "closed"),
    (asyncio.IncompleteReadError(b"", 2), "closed"),
    (requests.exceptions.InvalidHeader("odd"), "other"),
]


@pytest.mark.parametrize(("error", "kind"), CASES, ids=lambda each: str(each)[:30])
@pytest.mark.parametrize("url", [URL, "ws://127.0.0.1:1/media", "ws://[::1]/"])
def test_cause_is_found_in_the_chain_and_no_password_is_shown(error, kind, url) -> None:
    for opened_before in (None, 7.0):
        fault = explain_connection_error(error, url, opened_before=opened_before)
        assert fault.kind == kind
        assert fault.problem
        assert fault.fix
        assert "hunter2" not in str(fault)


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_AGAIN])
def test_new_name_may_be_missing_for_a_while_and_an_old_one_is_wrong(number: int) -> None:
    error = socket.gaierror(number, "why")
    new = explain_connection_error(error, URL, opened_before=12.4)
    assert "does not resolve yet: the tunnel was opened 12 s ago" in new.problem
    assert "some seconds" in new.consequence
    assert "30 minutes" in new.consequence
    assert "another tunnel" in new.fix
    old = explain_connection_error(error, URL)
    assert old.problem.startswith("does not resolve: ")
    assert "30 minutes" not in str(old)


def test_chain_that_leads_back_to_itself_is_searched_once() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert explain_connection_error(first, URL).kind == "other"
