"""`kit.settings()`: the settings for a real call, and in a notebook a form for the missing ones.

The typed text travels to the kernel once, when the button is pressed, and is never part of the
widget's state.  The value of an `ipywidgets.Password` is part of it: it is saved in the notebook in
plain text if the notebook is saved before the field is emptied, and the kernel sends it back with
every key.  The press also carries the text itself, so it cannot overtake the last letters, although
each message may arrive on another thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import traitlets

from twistream_kit.errors import SettingsError
from twistream_kit.live.settings.schema import BY_NAME
from twistream_kit.live.settings.secret import QuietText, Secret
from twistream_kit.live.settings.settings import Settings, find, remember, take
from twistream_kit.notebook.display.html import paragraph
from twistream_kit.notebook.runtime.kernel import answer_on_subshell, find_kernel
from twistream_kit.notebook.widgets._javascript import join_modules
from twistream_kit.notebook.widgets.hearing import HearingWidget

ASKS = (
    "Entries are kept in the memory of this kernel until it ends, and never in the notebook. "
    "Without an account, leave it empty: the simulator needs none of it."
)

ALL_SET = (
    "Everything that a real call needs is set. Run the cells below, again if they have run already."
)

_STATIC = Path(__file__).parents[1] / "static"

_NEWEST: list[SettingsForm] = []


def settings(*, ask: bool = True, **given: str | Secret | None) -> Settings:
    """Read the settings for a real call; in a notebook, show a form for the missing ones.

    They are read from the arguments, the environment, a file ``.env`` beside the notebook or above,
    and from earlier entries in the form, in that order.  The function does not wait for the form:
    the returned settings include later entries when they are read again.

    Args:
        ask: Whether to show the form if a kernel runs and a setting is missing.
        **given: By attribute of `Settings`: ``settings(phone_number="+15550100001")``.  None or a
            blank value counts as not given.

    Raises:
        SettingsError: If a value has the wrong format; the error does not show the value.
        TypeError: If the name or the type of an argument is wrong.

    Example:
        >>> import twistream_kit as kit
        >>> settings = kit.settings(phone_number="+15550100001")
        >>> settings.phone_number
        '+15550100001'
        >>> settings.missing
        ('TWILIO_ACCOUNT_SID', 'TWILIO_AUTH_TOKEN', 'TWISTREAM_CALL_TO')
    """
    found = Settings(find(take(given)))
    if ask and find_kernel() is not None and not found.ready:
        _show(SettingsForm(found))
    return found


def _show(form: SettingsForm) -> None:
    from IPython.display import display

    while _NEWEST:
        _NEWEST.pop().close()  # a cell that is run again closes its earlier form
    _NEWEST.append(form)
    display(form)  # type: ignore[no-untyped-call]


class SettingsForm(HearingWidget):
    """A form with a field for each missing setting of a real call, and a button, *Use these*.

    A press, or Enter in a field, checks the entries and keeps them in this process, where
    `settings` finds them from then on.  It empties every field, whether the check passed or not.

    Args:
        settings: The settings found so far; they include the entries when they are read again.
    """

    _esm = join_modules(_STATIC / "settings_form.js")
    _css = (_STATIC / "settings_form.css").read_text("utf-8")

    # One trait for the whole answer, so that its parts arrive together and each one is a change.
    shown = traitlets.Dict().tag(sync=True)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turn = 1
        # Before the page makes the form: it is not made of an answer that comes afterwards.
        super().__init__(shown=self._describe(ASKS, {}))
        self.on_msg(self._take_message)
        answer_on_subshell(self)

    def __repr__(self) -> str:
        missing = ", ".join(self._settings.missing)
        return f"<SettingsForm for {missing or 'nothing more'}>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        if isinstance(bundle, tuple):  # shown by a page without a kernel
            names = ", ".join(self._settings.missing) or "nothing"
            words = f"A form for the missing settings of a real call: {names}."
            bundle[0]["text/html"] = str(paragraph(f"{words} Run the notebook to fill it in."))
        return bundle

    def _take_message(self, _widget: object, content: Any, _buffers: object) -> None:
        """Remove the entries from a message, which the kernel keeps until the next one."""
        typed = content.pop("use", None) if isinstance(content, dict) else None
        if not isinstance(typed, dict):
            return
        quiet = {name: QuietText(typed[name]) for name in typed if isinstance(typed[name], str)}
        typed.clear()
        self._use(quiet)

    def _use(self, typed: Mapping[str, QuietText]) -> None:
        faults: dict[str, str] = {}
        taken = []
        for name in self._settings.missing:
            text = typed.get(name, QuietText())
            if not text.strip():
                continue
            try:
                remember(name, text)
            except SettingsError as error:
                faults[name] = str(error)
            else:
                taken.append(BY_NAME[name].label)
        self._answer(self._describe_result(taken, faults), faults)

    def _describe_result(self, taken: list[str], faults: Mapping[str, str]) -> str:
        if not self._settings.missing:
            return ALL_SET
        said = [f"Taken: {', '.join(taken)}."] if taken else []
        if faults:
            said.append(f"Not taken: {', '.join(BY_NAME[name].label for name in faults)}.")
        elif not taken:
            said.append("Every field was empty.")
        return " ".join(said)

    def _answer(self, words: str, faults: Mapping[str, str]) -> None:
        self._turn += 1
        self.shown = self._describe(words, faults)

    def _describe(self, words: str, faults: Mapping[str, str]) -> dict[str, Any]:
        fields = [
            {
                "name": name,
                "label": BY_NAME[name].label,
                "hint": f"{name}: {BY_NAME[name].words}",
                "secret": BY_NAME[name].is_secret,
                "fault": faults.get(name, ""),
            }
            for name in self._settings.missing
        ]
        return {"turn": self._turn, "words": words, "fields": fields}
