"""The account, from the environment or a `.env` file beside the notebook; never from a cell."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from twistream_kit.errors import SettingsError

if TYPE_CHECKING:
    from twilio.rest import Client

_SHAPES = {
    "TWILIO_ACCOUNT_SID": (r"AC[0-9a-f]{32}", "AC and 32 hex digits"),
    "TWILIO_AUTH_TOKEN": (r"[0-9a-f]{32}", "32 hex digits"),
}


def client_from_environment() -> Client:
    """Make the Twilio SDK's client from ``TWILIO_ACCOUNT_SID`` and ``TWILIO_AUTH_TOKEN``.

    They are read from the environment, else from a file ``.env`` in the working folder or above.

    Raises:
        SettingsError: If one is missing or has another shape; its value is not shown.
    """
    from twilio.rest import Client

    values = {name: setting(name) for name in _SHAPES}
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise SettingsError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            consequence="Without an account there is nobody to place a call",
            fix="Set them in the environment or in a file .env beside the notebook (see "
            ".env.example), or use kit.SimulatedTwilio(), which needs none",
        )
    for name, (shape, words) in _SHAPES.items():
        if not re.fullmatch(shape, values[name]):
            raise SettingsError(
                f"{name} does not look like one: it should be {words}",
                consequence="Twilio would refuse every request with 20003",
                fix="Copy it anew from the Twilio console, without spaces or quotes",
            )
    return Client(values["TWILIO_ACCOUNT_SID"], values["TWILIO_AUTH_TOKEN"])


def setting(name: str) -> str:
    """Return a setting from the environment, else from `.env`, else an empty string."""
    if name in os.environ:
        return os.environ[name].strip()
    from dotenv import dotenv_values, find_dotenv

    path = find_dotenv(usecwd=True)
    value = dotenv_values(path).get(name) if path and Path(path).is_file() else None
    return (value or "").strip()
