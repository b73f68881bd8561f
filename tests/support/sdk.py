"""Twilio's SDK with a network of the test's, and with its refusals as values."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http import HttpClient
from twilio.http.response import Response


class Network(HttpClient):
    """Answers in the order given; an exception is raised.

    Attributes:
        requests: Method, URL and form of each, in order.
        threads: The names of the threads that asked.
        limit: How long the last one was prepared to wait, in seconds.
    """

    def __init__(self, *answers):
        super().__init__(None, False, None)
        self.answers = list(answers)
        self.requests = []
        self.threads = set()
        self.limit = None

    def request(self, method, url, params=None, data=None, **options):
        self.requests.append((method, url, data))
        self.threads.add(threading.current_thread().name)
        self.limit = self.timeout
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return Response(status, json.dumps(body))


def refusal(status, code, message="words of Twilio's"):
    """Return the answer of a REST API that refuses."""
    return status, {"code": code, "message": message, "status": status, "more_info": "…"}


async def refused(function, *args, **options):
    """Call the SDK on a worker thread; return what it was refused with."""
    with pytest.raises(TwilioRestException) as caught:
        await asyncio.to_thread(function, *args, **options)
    return caught.value
