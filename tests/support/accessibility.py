"""What axe-core objects to on a page, once it has looked at what is there.

A busy page draws what it shows, and changes its theme, by and by: a run in between passes over most
of it, and finds nothing.
"""

from __future__ import annotations

from axe_playwright_python.async_playwright import Axe

from support.waiting import LIMIT_SECONDS, Patience

OF_A_WHOLE_PAGE = {"page-has-heading-one": {"enabled": False}, "region": {"enabled": False}}
"""Rules that a part of a page does not have to follow."""

GRAVE = ("serious", "critical")
THEMES = ("JupyterLab Dark", "JupyterLab Light")

TWO_FRAMES = """() => new Promise(resolve => {
    requestAnimationFrame(() => requestAnimationFrame(() => resolve()));
    setTimeout(resolve, 2000);  // a page that is not shown has no frames
})"""

WHY = """() => ['#jupyterlab-splash', 'dialog[open]', '[inert]', '.jp-Notebook [aria-hidden=true]',
    '.jp-Notebook [style*="content-visibility: auto"]', '.jp-OutputArea-output']
    .map(each => `${each}: ${document.querySelectorAll(each).length}`).join('; ')"""
"""What may keep axe from looking, counted."""


async def find_violations(page, where=None, *, least: int = 5, rules=None) -> list[dict]:
    """Run axe-core, until so many rules have found something to look at; return its objections.

    Args:
        page: The page.
        where: What of it is looked at: a selector, or axe's ``include`` and ``exclude``.
        least: How many rules apply there, at least; 0 if there is nothing that any applies to.
        rules: axe's options of its rules; usually `OF_A_WHOLE_PAGE`.

    Raises:
        AssertionError: If fewer rules apply, however often it looks.
    """
    patience = Patience(LIMIT_SECONDS / 2)
    while True:
        await page.evaluate(TWO_FRAMES)
        found = (await Axe().run(page, where, {"rules": rules or {}})).response
        if len(found["passes"]) >= least:
            return found["violations"]
        passes = [each["id"] for each in found["passes"]]
        assert not patience.is_over(), (
            f"axe has looked at next to nothing: {passes}; {await page.evaluate(WHY)}"
        )


def describe_grave(violations: list[dict], of: str = "") -> list[str]:
    """Return a line for each element that is objected to as serious or critical."""
    return [
        f"{of}{violation['id']} ({violation['impact']}): {node['failureSummary']}"
        f" {node['html'][:300]}"
        for violation in violations
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]
