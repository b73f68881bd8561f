"""A result as a page in a file."""

from __future__ import annotations

import re

from matplotlib.figure import Figure

from twistream_kit.notebook.display.html import paragraph
from twistream_kit.notebook.display.page import build_page, show_figure


def test_a_page_holds_what_it_shows_and_may_fetch_and_run_nothing() -> None:
    page = build_page("a <b> load", paragraph("1 < 2"), show_figure(Figure((1, 1)), 'say "so"'))
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</body></html>")
    assert "<h1>a &lt;b&gt; load</h1>" in page
    assert "1 &lt; 2" in page
    assert 'alt="say &quot;so&quot;"' in page
    assert "default-src 'none'" in page
    assert re.findall(r'(?:src|href)="([^"]{9})', page) == ["data:imag"]
