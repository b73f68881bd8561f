"""The account, numbers and addresses of a real call; never from a cell.

They are read from arguments, the environment, a file ``.env`` beside the notebook or above, and
what was typed into a form, in that order.  Each value is read straight into a `QuietText`, so that
no variable of any frame here shows it in a traceback.  An API key can make requests in place of the
auth token, but signatures are made with the token alone (PROTOCOL.md §7).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from twistream_kit.errors import SettingsError
from twistream_kit.live.settings.schema import (
    BY_NAME,
    SETTINGS,
    Setting,
    Source,
    check,
    find_setting,
    mask,
)
from twistream_kit.live.settings.secret import QuietText, Secret, revealed

if TYPE_CHECKING:
    from twilio.rest import Client

FILE_VARIABLE = "TWISTREAM_ENV_FILE"
"""Names another file than ``.env``; set but empty, it says that there is none."""

NEEDED = ("account_sid", "auth_token", "phone_number", "call_to")
"""What a real call cannot do without."""

_KEY_PAIR = ("api_key", "api_secret")
"""Either both or neither of them are of use."""

_FIX_MISSING = (
    "Set it in the environment or in a file .env beside the notebook (see .env.example), or use "
    "kit.SimulatedTwilio(), which needs none"
)

_REMEMBERED: dict[str, QuietText] = {}
"""What was typed into a form, by attribute; it is gone when this process ends."""


def settings(**given: str | Secret | None) -> Settings:
    """Read the settings: arguments, the environment, a file ``.env``, what was typed.

    Args:
        **given: By attribute of `Settings`: ``settings(account_sid=…)``.  None or a blank value
            counts as not given.

    Raises:
        SettingsError: If a value has another shape than it should; the value is not shown.
        TypeError: If an argument has a name or a type that it cannot have.
    """
    return Settings(find(take(given)))


def client_from_environment() -> Client:
    """Make the Twilio SDK's client from what `settings` finds; nothing is asked for.

    Raises:
        SettingsError: If something is missing or has another shape; its value is not shown.
    """
    return settings().client()


class Settings:
    """What is set; made by `settings`.

    Each attribute gives a value that can be used, or raises a `SettingsError` that says what to
    set.  What is typed into a form later is seen the next time an attribute is asked for; the
    rest stays as it was found.  Nothing of it shows a secret, and it cannot be pickled.

    Args:
        found: By attribute, checked already.
    """

    __slots__ = ("_found",)

    def __init__(self, found: Mapping[str, SettingValue]) -> None:
        self._found = dict(found)

    @property
    def account_sid(self) -> str:
        """AC and 32 hex digits."""
        return str(self._need("account_sid"))

    @property
    def auth_token(self) -> Secret:
        """The account's token: it signs whatever Twilio sends, and makes requests (§7)."""
        return Secret(self._need("auth_token"))

    @property
    def api_key(self) -> str:
        """The SID of an API key, SK and 32 hex digits, to make requests with."""
        return str(self._need("api_key"))

    @property
    def api_secret(self) -> Secret:
        """The secret of the API key."""
        return Secret(self._need("api_secret"))

    @property
    def phone_number(self) -> str:
        """A number of the account's, E.164, to call from."""
        return str(self._need("phone_number"))

    @property
    def call_to(self) -> str:
        """The number to call, E.164."""
        return str(self._need("call_to"))

    @property
    def region(self) -> str:
        """Where Twilio works on the call, such as ie1."""
        return str(self._need("region"))

    @property
    def edge(self) -> str:
        """Where requests enter Twilio's network, such as dublin."""
        return str(self._need("edge"))

    @property
    def ngrok_authtoken(self) -> Secret:
        """The token of an ngrok account."""
        return Secret(self._need("ngrok_authtoken"))

    @property
    def ngrok_domain(self) -> str:
        """A host name kept at ngrok."""
        return str(self._need("ngrok_domain"))

    @property
    def public_url(self) -> str:
        """The https address under which this machine is reached."""
        return str(self._need("public_url"))

    def get(self, name: str) -> str | Secret | None:
        """Return a value, or None where nothing is set.

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
        """Return where a value came from, or None where nothing is set.

        Raises:
            ValueError: If there is no setting of that name.
        """
        found = self._find(find_setting(name))
        return None if found is None else found.source

    @property
    def missing(self) -> tuple[str, ...]:
        """What a real call still needs, by its names in the environment."""
        needed = [*NEEDED]
        if any(self.get(name) for name in _KEY_PAIR):
            needed += _KEY_PAIR  # half of the pair is of no use
        return tuple(find_setting(name).variable for name in needed if self.get(name) is None)

    @property
    def ready(self) -> bool:
        """Whether everything is there that a real call needs."""
        return not self.missing

    def client(self) -> Client:
        """Make the official SDK's client, with the API key where there is one.

        Raises:
            SettingsError: If there is no account, or nothing to prove that it is yours.
        """
        from twistream_kit.live.settings._redacting_client import make_client

        has_key = any(self.get(name) for name in _KEY_PAIR)
        if self.get("account_sid") is None and self.get("auth_token") is None and not has_key:
            _refuse_without_account()
        return make_client(
            self.account_sid,
            self.api_secret if has_key else self.auth_token,
            api_key=self.api_key if has_key else None,
            region=_text(self.get("region")),
            edge=_text(self.get("edge")),
        )

    def rows(self) -> list[tuple[str, str, str]]:
        """Return for each value its name, what may be shown of it, and where it came from."""
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
        raise TypeError(
            "settings cannot be pickled, as their secrets would then stand in a file in plain "
            "text; read them anew, with kit.settings(), in the process that needs them"
        )

    def _find(self, setting: Setting) -> SettingValue | None:
        return self._found.get(setting.name) or remembered(setting.name)

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


def _text(value: str | Secret | None) -> str | None:
    return value if isinstance(value, str) else None


def take(given: dict[str, Any]) -> dict[str, QuietText]:
    """Take what was given as arguments out of `given`, without what is blank.

    Raises:
        TypeError: If an argument has a name or a type that it cannot have.
    """
    kinds = {name: type(value).__name__ for name, value in given.items()}
    texts = {
        name: QuietText(revealed(value).strip())
        for name, value in given.items()
        if isinstance(value, str | Secret)
    }
    # It may hold secrets in plain text, and it stands in the frame of the caller.
    given.clear()
    attributes = [setting.name for setting in SETTINGS]
    for name, kind in kinds.items():
        if name not in attributes:
            raise TypeError(f"there is no setting {name!r}; there are {', '.join(attributes)}")
        if name not in texts and kind != "NoneType":
            raise TypeError(f"{name} must be a str or a Secret, not {kind}")
    return {name: text for name, text in texts.items() if text}


def find(given: Mapping[str, QuietText]) -> dict[str, SettingValue]:
    """Return for each setting the first value there is: given, environment, file.

    A value that is empty or blank counts as not set.

    Raises:
        SettingsError: If a value has another shape than it should, or the file cannot be read.
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
    """A value that was found, and where."""

    text: QuietText
    source: Source


def _from_environment() -> dict[str, QuietText]:
    texts = {s.name: QuietText(os.environ.get(s.variable, "").strip()) for s in SETTINGS}
    return {name: text for name, text in texts.items() if text}


def _from_file() -> dict[str, QuietText]:
    """Read the file: ``.env`` in the working folder, which is the notebook's, or above it."""
    try:
        texts = _read()
    except (OSError, UnicodeDecodeError) as error:
        # Not chained: the error of a decoder holds the whole file.
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
    # Not interpolated: a secret may hold a dollar sign.  Windows' editor begins with a BOM.
    values = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    return {s.name: QuietText((values.get(s.variable) or "").strip()) for s in SETTINGS}


def remember(name: str, value: str | Secret) -> None:
    """Keep a value that a person typed, until this process ends; from any thread.

    Args:
        name: The attribute, or the name in the environment.
        value: Blanks around it are taken off; a blank one is forgotten.

    Raises:
        ValueError: If there is no setting of that name.
        SettingsError: If the value has another shape than it should; nothing is kept then.
    """
    text = value = QuietText(revealed(value).strip())
    setting = find_setting(name)
    if not text:
        forget(name)
        return
    check(setting, text, "prompt")
    _REMEMBERED[setting.name] = text


def remembered(name: str) -> SettingValue | None:
    """Return what was typed for an attribute, or None."""
    text = _REMEMBERED.get(name)
    return None if text is None else SettingValue(text, "prompt")


def forget(name: str | None = None) -> None:
    """Forget what was typed for a setting, or for all of them."""
    if name is None:
        _REMEMBERED.clear()
    else:
        _REMEMBERED.pop(find_setting(name).name, None)
