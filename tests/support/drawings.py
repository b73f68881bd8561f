"""The drawings in HTML that are images: as one of them, a drawing stays in any notebook."""

import re
from html import unescape
from urllib.parse import unquote


def drawings_in(html: str) -> list[tuple[str, str]]:
    """Return the words of each drawing and its SVG; there is no SVG in the HTML itself."""
    assert "<svg" not in html, "JupyterLab takes it from a notebook that it does not trust"
    found = re.findall(r'<img alt="([^"]+)"[^>]* src="data:image/svg\+xml,([^"]+)">', html)
    return [(unescape(words), unquote(source)) for words, source in found]
