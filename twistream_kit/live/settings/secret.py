"""Secrets that are not shown by accident in a repr, a log, a pickle or a traceback.

``%xmode Verbose`` prints the repr of every variable of every frame.  So it is not enough to wrap a
secret: the text that is unwrapped for a library must hide its repr, too.
"""

from __future__ import annotations

import hmac
from typing import Any, NoReturn, Self

from twistream_kit.errors import WrongType, WrongValue

HIDDEN = "<secret>"
"""The text that is shown instead of a secret."""


class Secret:
    """A secret, such as an auth token; only `reveal` returns its text.

    Two secrets are compared in constant time; a secret never equals a `str`.

    Args:
        text: The text of the secret, not empty.

    Raises:
        TypeError: If `text` is not a `str`; it is not shown.
        ValueError: If it is empty.

    Example:
        >>> import twistream_kit as kit
        >>> token = kit.Secret("0123456789abcdef0123456789abcdef")
        >>> token
        <secret>
        >>> f"Bearer {token}"
        'Bearer <secret>'
        >>> token == kit.Secret("0123456789abcdef0123456789abcdef")
        True
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        kind, is_text = type(text).__name__, isinstance(text, str)
        # From here on, a traceback that prints this frame's variables does not print the secret.
        text = QuietText(text) if is_text else QuietText()
        if not is_text:
            raise WrongType(f"a Secret holds a str, not {kind}; decode bytes first")
        if not text:
            raise WrongValue("a Secret cannot be empty; use None where there is none")
        object.__setattr__(self, "_text", text)

    def reveal(self) -> str:
        """Return the text as a `str` with a hidden repr; pass it on without a variable."""
        text: str = self._text  # type: ignore[attr-defined]  # a slot that only __init__ sets
        return text

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash((Secret, self.reveal()))

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        raise AttributeError(f"a Secret cannot be changed, so {name} cannot be set; make a new one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Secret cannot be changed, so {name} cannot be deleted")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        _refuse_pickling()


def reveal_text(value: str | Secret | None, name: str = "auth_token") -> str:
    """Return the text of `value` as a `str` with a hidden repr; "" for None.

    Args:
        value: The secret.
        name: The name of the argument that it was given as.

    Raises:
        WrongType: If it is neither text nor a Secret; the message never contains it.
    """
    given: Any = value
    if given is not None and not isinstance(given, str | Secret):
        # str() would make a token of a number or of bytes, with which no signature is valid.
        kind = type(given).__name__
        raise WrongType(f"{name} is of type {kind}; give a string or a kit.Secret")
    return value.reveal() if isinstance(value, Secret) else QuietText(value or "")


class QuietText(str):
    """A `str` with a hidden repr that cannot be pickled.

    `str()`, f-strings and `encode()` return the text: libraries build the ``Authorization`` header
    with these, and would otherwise send ``<secret>`` to Twilio.  A repr is never sent; it is shown
    by tracebacks, debuggers, `vars()` and the last line of a cell.  Slices and concatenations are
    ordinary strings.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return HIDDEN

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        _refuse_pickling()


def _refuse_pickling() -> NoReturn:
    raise WrongType(
        "a secret cannot be pickled, as it would then stand in a file or on a wire in plain text; "
        "read it anew, with kit.settings(), in the process that needs it"
    )
