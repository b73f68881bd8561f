"""How the REST API says no: a code, a sentence and an HTTP status (PROTOCOL.md §5.3, §5.4)."""

from __future__ import annotations

from typing import Any

_HTTP_STATUS = {20003: 401, 20404: 404, 20422: 422, 20009: 409}
"""Codes that do not come with HTTP 400 (§5.3)."""


class Refusal(Exception):
    """A request that the REST API does not fulfil.

    Attributes:
        code: Twilio's error code.
        message: One sentence for the developer.
        status: The HTTP status.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = _HTTP_STATUS.get(code, 400)

    def to_json(self) -> dict[str, Any]:
        """Return the body of the answer, in the shape of §5.4."""
        return {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }


def not_found(path: str) -> Refusal:
    """Build the 20404 for a path that leads nowhere."""
    return Refusal(20404, f"The requested resource {path} was not found")
