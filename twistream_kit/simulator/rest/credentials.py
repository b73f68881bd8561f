"""The names and secrets that the REST API lets in (PROTOCOL.md §5.3, §6.1)."""

from __future__ import annotations

import hmac
import secrets
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from typing import Literal

from twistream_kit.simulator.model.numbers import Sids, new_auth_token

Login = Literal["account", "key", "test"]
"""Who asks: account SID and auth token, an API key, or the test credentials."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Everything that an account can be entered with.  The secrets are in no repr.

    Attributes:
        account_sid: AC and 32 hex digits, the same in every run, as all SIDs are.
        auth_token: Drawn anew for each simulator.
        api_key: SK and 32 hex digits.
        api_secret: Drawn anew.
        test_sid: The account that test credentials pretend to be.
        test_token: Drawn anew.
    """

    account_sid: str
    auth_token: str = field(repr=False)
    api_key: str
    api_secret: str = field(repr=False)
    test_sid: str
    test_token: str = field(repr=False)

    @classmethod
    def drawn(cls, sids: Sids) -> Credentials:
        """Draw new secrets; the names come from `sids`."""
        return cls(
            account_sid=sids.make("AC"),
            auth_token=new_auth_token(),
            api_key=sids.make("SK"),
            api_secret=secrets.token_hex(16),
            test_sid=sids.make("AC"),
            test_token=new_auth_token(),
        )

    def login(self, header: str) -> Login | None:
        """Tell whose credentials the header `Authorization` brings, or None if nobody's."""
        scheme, _, encoded = header.partition(" ")
        try:
            given = b64decode(encoded, validate=True)
        except (Base64Error, ValueError):
            return None
        if scheme.lower() != "basic":
            return None
        pairs: dict[Login, tuple[str, str]] = {
            "account": (self.account_sid, self.auth_token),
            "key": (self.api_key, self.api_secret),
            "test": (self.test_sid, self.test_token),
        }
        # All are compared, so that the time does not tell which name exists.
        found: Login | None = None
        for login, pair in pairs.items():
            if hmac.compare_digest(given, ":".join(pair).encode()):
                found = login
        return found
