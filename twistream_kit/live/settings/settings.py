"""Read the settings of a real call: account, numbers and addresses.

They are read from arguments, the environment, a file ``.env`` in the notebook's folder or above,
and a form, in that order.  Each value is read directly into a `QuietText`, so that no traceback
shows it in a variable of a frame here.  An API key can authenticate requests instead of the auth
token, but signatures are made with the token only (PROTOCOL.md §7).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from twistream_kit.errors import SettingsError, WrongType, require_type
from twistream_kit.live.settings.schema import (
    BY_NAME,
    SETTINGS,
    Setting,
    Source,
    check,
    find_setting,
    mask,
)
from twistream_kit.live.settings.secret import QuietText, Secret, reveal_text

if TYPE_CHECKING:
    from twilio.rest import Client

FILE_VARIABLE = "TWISTREAM_ENV_FILE"
"""Names another file instead of ``.env``; if it is set but empty, no file is read."""

NEEDED = ("account_sid", "auth_token", "phone_number", "call_to")
"""The settings that a real call requires."""

_KEY_PAIR = ("api_key", "api_secret")
"""Both have to be set, or neither."""

_FIX_MISSING = (
    "Set it in the environment or in a file .env beside the notebook (see .env.example), or use "
    "kit.SimulatedTwilio(), which needs none"
)

_REMEMBERED: dict[str, QuietText] = {}
"""The values typed into a form, by attribute; they are kept until this process ends."""


def settings(**given: str | Secret | None) -> Settings:
    """Read the settings from arguments, the environment, a file ``.env``, and a form.

    Args:
        **given: Values by attribute of `Settings`: ``settings(account_sid=…)``.  None or a blank
            value counts as not given.

    Raises:
        SettingsError: If a value has the wrong format; the value is not shown.
        TypeError: If an argument has an unknown name or the wrong type.
    """
    return Settings(find(take(given)))


def client_from_environment() -> Client:
    """Make the Twilio SDK's client from the settings that are found, without a form.

    Raises:
        SettingsError: If a setting is missing or has the wrong format; its value is not shown.

    Example:
        >>> import twistream_kit as kit
        >>> import os
        >>> os.environ["TWILIO_ACCOUNT_SID"] = "AC" + "0" * 32
        >>> os.environ["TWILIO_AUTH_TOKEN"] = "1" * 32
        >>> client = kit.client_from_environment()
        >>> client.account_sid
        'AC00000000000000000000000000000000'
    """
    return settings().client()


class Settings:
    """The settings that were found; made by `settings`.

    Each attribute returns a valid value, or raises a `SettingsError` that says what to set.  Values
    typed into a form later are used from then on; the others do not change.  No repr shows a
    secret, and the object cannot be pickled.

    Args:
        found: The values by attribute, checked already.

    Example:
        >>> import twistream_kit as kit
        >>> settings = kit.settings(account_sid="AC" + "0" * 32, auth_token="1" * 32)
        >>> settings.auth_token
        <secret>
        >>> settings.source("auth_token"), settings.ready
        ('argument', False)
        >>> settings.call_to
        Traceback (most recent call last):
        twistream_kit.errors.SettingsError: TWISTREAM_CALL_TO is not set. ...
    """

    __slots__ = ("_found",)

    def __init__(self, found: Mapping[str, SettingValue]) -> None:
        require_type("a dict of names and values", found=found)
        self._found = dict(found)

    @property
    def account_sid(self) -> str:
        """AC and 32 hex digits."""
        return str(self._need("account_sid"))

    @property
    def auth_token(self) -> Secret:
        """The account's auth token: Twilio signs with it, and it authenticates requests (§7)."""
        return Secret(self._need("auth_token"))

    @property
    def api_key(self) -> str:
        """The SID of an API key, SK and 32 hex digits, that authenticates requests."""
        return str(self._need("api_key"))

    @property
    def api_secret(self) -> Secret:
        """The secret of the API key."""
        return Secret(self._need("api_secret"))

    @property
    def phone_number(self) -> str:
        """The number of the account to call from, E.164."""
        return str(self._need("phone_number"))

    @property
    def call_to(self) -> str:
        """The number to call, E.164."""
        return str(self._need("call_to"))

    @property
    def region(self) -> str:
        """The Twilio region that processes the call, such as ie1."""
        return str(self._need("region"))

    @property
    def edge(self) -> str:
        """The edge location at which requests enter Twilio's network, such as dublin."""
        return str(self._need("edge"))

    @property
    def ngrok_authtoken(self) -> Secret:
        """The token of an ngrok account."""
        return Secret(self._need("ngrok_authtoken"))

    @property
    def ngrok_domain(self) -> str:
        """A host name reserved at ngrok."""
        return str(self._need("ngrok_domain"))

    @property
    def public_url(self) -> str:
        """The https address at which this machine is reached."""
        return str(self._need("public_url"))

    def get(self, name: str) -> str | Secret | None:
        """Return a value, or None if it is not set.

        Args:
            name: The attribute, or the name in the environment.

        Raises:
            ValueError: If there is no setting of that name.
        """
        setting = find_setting(name)
        found = self._find(setting)
        if found is None:
            return None
        return Secret(found.text) if setting.is_secret else str(found.text)

    def source(self, name: str) -> Source | None:
        """Return the source of a value, or None if it is not set.

        Raises:
            ValueError: If there is no setting of that name.
        """
        found = self._find(find_setting(name))
        return None if found is None else found.source

    @property
    def missing(self) -> tuple[str, ...]:
        """The missing settings of a real call, by their names in the environment."""
        needed = [*NEEDED]
        if any(self.get(name) for name in _KEY_PAIR):
            needed += _KEY_PAIR  # one of the two is of no use
        return tuple(find_setting(name).variable for name in needed if self.get(name) is None)

    @property
    def ready(self) -> bool:
        """Whether all settings that a real call requires are set."""
        return not self.missing

    def client(self) -> Client:
        """Make the official SDK's client, with the API key if there is one.

        Raises:
            SettingsError: If there is no account, or no token or key for it.
        """
        from twistream_kit.live.settings._redacting_client import make_client

        has_key = any(self.get(name) for name in _KEY_PAIR)
        if self.get("account_sid") is None and self.get("auth_token") is None and not has_key:
            _refuse_without_account()
        return make_client(
            self.account_sid,
            self.api_secret if has_key else self.auth_token,
            api_key=self.api_key if has_key else None,
            region=_to_text(self.get("region")),
            edge=_to_text(self.get("edge")),
        )

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the name, the masked value and the source of each setting that is set."""
        pairs = [(setting, self._find(setting)) for setting in SETTINGS]
        return [(s.variable, mask(s, f.text), f.source) for s, f in pairs if f is not None]

    def __repr__(self) -> str:
        rows = self.rows()
        width = max((len(name) for name, _, _ in rows), default=0)
        lines = [f"  {name:{width}}  {value} ({source})" for name, value, source in rows]
        needs = ", ".join(self.missing)
        ending = f"still missing for a real call: {needs}" if needs else "ready for a real call"
        return "\n".join(["Settings:" if rows else "Settings: none", *lines, ending])

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise WrongType(
            "settings cannot be pickled, as their secrets would then stand in a file in plain "
            "text; read them anew, with kit.settings(), in the process that needs them"
        )

    def _find(self, setting: Setting) -> SettingValue | None:
        return self._found.get(setting.name) or find_remembered(setting.name)

    def _need(self, name: str) -> str:
        setting = find_setting(name)
        found = self._find(setting)
        if found is not None:
            return found.text
        problem, consequence = f"{setting.variable} is not set", setting.if_missing
        if name == "auth_token" and self.get("api_key") is not None:
            problem += ", and an API key cannot stand in for it"
            consequence = (
                "Requests can be made with the key, but Twilio signs what it sends with the "
                "account's auth token, so no signature could be checked"
            )
        raise SettingsError(problem, consequence=consequence, fix=_FIX_MISSING)


def _refuse_without_account() -> NoReturn:
    raise SettingsError(
        "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not set",
        consequence="Without an account there is nobody to place a call",
        fix="Set them in the environment or in a file .env beside the notebook (see "
        ".env.example), or use kit.SimulatedTwilio(), which needs none",
    )


def _to_text(value: str | Secret | None) -> str | None:
    return value if isinstance(value, str) else None


def take(given: dict[str, Any]) -> dict[str, QuietText]:
    """Move the arguments out of `given`, without blank ones.

    Raises:
        TypeError: If an argument has an unknown name or the wrong type.
    """
    kinds = {name: type(value).__name__ for name, value in given.items()}
    texts = {
        name: QuietText(reveal_text(value).strip())
        for name, value in given.items()
        if isinstance(value, str | Secret)
    }
    # It may contain secrets as plain text, and is a variable in the calling frame.
    given.clear()
    attributes = [setting.name for setting in SETTINGS]
    for name, kind in kinds.items():
        if name not in attributes:
            raise WrongType(f"there is no setting {name!r}; there are {', '.join(attributes)}")
        if name not in texts and kind != "NoneType":
            raise WrongType(f"{name} must be a str or a Secret, not {kind}")
    return {name: text for name, text in texts.items() if text}


def find(given: Mapping[str, QuietText]) -> dict[str, SettingValue]:
    """Return the first value of each setting: from `given`, the environment, or the file.

    An empty or blank value counts as not set.

    Raises:
        SettingsError: If a value has the wrong format, or the file cannot be read.
    """
    found: dict[str, SettingValue] = {}
    stages: list[tuple[Source, Mapping[str, QuietText]]] = [
        ("argument", given),
        ("environment", _from_environment()),
        (".env", _from_file()),
    ]
    for source, texts in stages:
        for name, text in texts.items():
            found.setdefault(name, SettingValue(text, source))
    for name, value in found.items():
        check(BY_NAME[name], value.text, value.source)
    return found


class SettingValue(NamedTuple):
    """The value of a setting, and its source."""

    text: QuietText
    source: Source


def _from_environment() -> dict[str, QuietText]:
    texts = {s.name: QuietText(os.environ.get(s.variable, "").strip()) for s in SETTINGS}
    return {name: text for name, text in texts.items() if text}


def _from_file() -> dict[str, QuietText]:
    """Read the file ``.env`` in the working folder, which is the notebook's, or above it."""
    try:
        texts = _read()
    except (OSError, UnicodeDecodeError) as error:
        # Not chained, because a UnicodeDecodeError holds the whole file.
        reason = type(error).__name__
    else:
        return {name: text for name, text in texts.items() if text}
    raise SettingsError(
        f"the file .env cannot be read ({reason})",
        consequence="What it sets is not known",
        fix="Save it as plain text in UTF-8, readable by you, or remove it",
    )


def _read() -> dict[str, QuietText]:
    from dotenv import dotenv_values, find_dotenv

    path = os.environ.get(FILE_VARIABLE)
    if path is None:
        path = find_dotenv(usecwd=True)
    if not path or not Path(path).is_file():
        return {}
    # Not interpolated: a secret may contain a dollar sign.  Windows' editor writes a BOM.
    values = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    return {s.name: QuietText((values.get(s.variable) or "").strip()) for s in SETTINGS}


def remember(name: str, value: str | Secret) -> None:
    """Keep a value typed into a form until this process ends; callable from any thread.

    Args:
        name: The attribute, or the name in the environment.
        value: The value; surrounding blanks are removed, and a blank value is forgotten.

    Raises:
        ValueError: If there is no setting of that name.
        SettingsError: If the value has the wrong format; it is not kept then.
    """
    text = value = QuietText(reveal_text(value, "value").strip())
    setting = find_setting(name)
    if not text:
        forget(name)
        return
    check(setting, text, "prompt")
    _REMEMBERED[setting.name] = text


def find_remembered(name: str) -> SettingValue | None:
    """Return the value typed into a form for an attribute, or None."""
    text = _REMEMBERED.get(name)
    return None if text is None else SettingValue(text, "prompt")


def forget(name: str | None = None) -> None:
    """Forget the typed value of a setting, or those of all settings."""
    if name is None:
        _REMEMBERED.clear()
    else:
        _REMEMBERED.pop(find_setting(name).name, None)
