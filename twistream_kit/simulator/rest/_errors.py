"""Errors of the REST API: a code, a sentence and an HTTP status (PROTOCOL.md §5.3, §5.4)."""

from __future__ import annotations

from typing import Any

_HTTP_STATUS = {
    20003: 401, 20008: 403, 20009: 409, 20404: 404, 20422: 422, 20429: 429, 20500: 500, 20503: 503,
    501: 501,
}  # fmt: skip
"""The HTTP status of the codes that do not use 400 (§5.3)."""

NOT_SIMULATED = 501
"""What the simulator answers where Twilio would not refuse: no code of Twilio's says that."""

REFUSALS = {
    10001: "Account is not active",
    10004: "Call concurrency limit exceeded",
    13227: "Dial: Geo Permission configuration is not permitting the call",
    20003: "Authenticate",
    20005: "Account not active",
    20008: "Resource not accessible with Test Account Credentials",
    20009: "Call has not finished and cannot be deleted",
    20404: "The requested resource was not found",
    20422: "Invalid parameter",
    20429: "Too Many Requests",
    20500: "Internal Server Error",
    20503: "Service Unavailable",
    21201: "No 'To' number is specified",
    21205: "Url parameter is required.",
    21206: "SendDigits is not valid",
    21207: "IfMachine is not valid",
    21208: "Timeout is not valid",
    21209: "Method is not valid",
    21210: "The source phone number provided is not yet verified for your account.",
    21211: "The 'To' number is not a valid phone number.",
    21212: "The 'From' number is not a valid phone number.",
    21213: "No 'From' number is specified",
    21214: "The 'To' phone number cannot be reached",
    21215: "Account not authorized to call. Perhaps you need to enable international permissions.",
    21216: "Account not allowed to call this phone number",
    21217: "Phone number does not appear to be valid",
    21218: "ApplicationSid is not valid",
    21219: "The number is unverified. Trial accounts may only make calls to verified numbers.",
    21220: "Call is not in-progress. Cannot redirect.",
    32018: "Twiml is too long",
}
"""The error codes of the REST API, each with the sentence that is used if none is given.

21219, 20003, 20008 and the beginning of 21215 are worded as users saw them; most of the others are
the titles of Twilio's error dictionary (§5.3, §5.4)."""


class Refusal(Exception):
    """The REST API refuses a request.

    Args:
        code: Twilio's error code, one of `REFUSALS`, or `NOT_SIMULATED` with a message.
        message: One sentence for the developer; by default the sentence of `REFUSALS`.

    Attributes:
        code: The error code.
        message: The sentence.
        status: The HTTP status.
    """

    def __init__(self, code: int, message: str = "") -> None:
        message = message or REFUSALS[code]
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = _HTTP_STATUS.get(code, 400)

    def to_json(self) -> dict[str, Any]:
        """Return the body of the response, in the format of §5.4."""
        return {
            "code": self.code,
            "message": self.message,
            "more_info": ""
            if self.code == NOT_SIMULATED
            else f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }


def make_not_found(path: str) -> Refusal:
    """Make the 20404 for an unknown path."""
    return Refusal(20404, f"The requested resource {path} was not found")
