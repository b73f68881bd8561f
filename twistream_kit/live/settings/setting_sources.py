"""Where settings come from: arguments, the environment, a file ``.env``, a prompt.

Each value is read straight into a `QuietText`, so that no variable of any frame here would show
one in a traceback.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from twistream_kit.errors import SettingsError
from twistream_kit.live.settings.schema import BY_NAME, SETTINGS, Source, named
from twistream_kit.live.settings.secret import QuietText, Secret, revealed
from twistream_kit.live.settings.setting_shapes import check

FILE_VARIABLE = "TWISTREAM_ENV_FILE"
"""Names another file than ``.env``; set but empty, it says that there is none."""

_REMEMBERED: dict[str, QuietText] = {}
"""What was typed into a form, by attribute; it is gone when this process ends."""


class Found(NamedTuple):
    """A value that was found, and where."""

    text: QuietText
    source: Source


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
    # It may hold secrets in plain text, and it stands in the frame of whoever was called with it.
    given.clear()
    attributes = [setting.name for setting in SETTINGS]
    for name, kind in kinds.items():
        if name not in attributes:
            raise TypeError(f"there is no setting {name!r}; there are {', '.join(attributes)}")
        if name not in texts and kind != "NoneType":
            raise TypeError(f"{name} must be a str or a Secret, not {kind}")
    return {name: text for name, text in texts.items() if text}


def find(given: Mapping[str, QuietText]) -> dict[str, Found]:
    """Return for each setting the first value there is: given, environment, file.

    A value that is empty or blank counts as not set.

    Raises:
        SettingsError: If a value has another shape than it should, or the file cannot be read.
    """
    found: dict[str, Found] = {}
    stages: list[tuple[Source, Mapping[str, QuietText]]] = [
        ("argument", given),
        ("environment", _from_environment()),
        (".env", _from_file()),
    ]
    for source, texts in stages:
        for name, text in texts.items():
            found.setdefault(name, Found(text, source))
    for name, value in found.items():
        check(BY_NAME[name], value.text, value.source)
    return found


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
    setting = named(name)
    if not text:
        forget(name)
        return
    check(setting, text, "prompt")
    _REMEMBERED[setting.name] = text


def remembered(name: str) -> Found | None:
    """Return what was typed for an attribute, or None."""
    text = _REMEMBERED.get(name)
    return None if text is None else Found(text, "prompt")


def forget(name: str | None = None) -> None:
    """Forget what was typed for a setting, or for all of them."""
    if name is None:
        _REMEMBERED.clear()
    else:
        _REMEMBERED.pop(named(name).name, None)


def _from_environment() -> dict[str, QuietText]:
    texts = {s.name: QuietText(os.environ.get(s.variable, "").strip()) for s in SETTINGS}
    return {name: text for name, text in texts.items() if text}


def _from_file() -> dict[str, QuietText]:
    """Read the file: ``.env`` in the working folder, which is the notebook's, or above it."""
    try:
        texts = _read()
    except (OSError, UnicodeDecodeError) as error:
        # Not chained: the error of a decoder holds the whole file.
        trouble = type(error).__name__
    else:
        return {name: text for name, text in texts.items() if text}
    raise SettingsError(
        f"the file .env cannot be read ({trouble})",
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
