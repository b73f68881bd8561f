"""A matplotlib figure that follows the theme of its page, dark or light, also when it changes.

The picture in a notebook is one PNG with few colours on white.  Before it stands an output without
any text: a style that turns that picture dark where the page is dark, by a filter that keeps the
hues.  The page applies it, so a theme that is changed later changes the picture too, and nothing is
stored twice.  It works in JupyterLab and Notebook 7, and in HTML that nbconvert makes.

Where nothing is known of the page, as on a code-hosting site, or where the page removes the style,
as JupyterLab does in a notebook that was not run here (it is not trusted), the picture stays dark
on its own white ground, which can be read on any page.
"""

from __future__ import annotations

import io
from base64 import b64encode
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

INVERTED: Final = 0.933
"""How much the filter inverts: white becomes #111111, the ground of JupyterLab's dark theme."""

_FILTER = f"{{filter:invert({INVERTED})hue-rotate(180deg)}}"

THEME_STYLE: Final = (
    '<style class="twistream-theme">'
    # This output, found from its children, because an Output widget holds outputs too.
    ":is(.jp-OutputArea-child,.output_area):has(>*>.twistream-theme){display:none;"
    f"&+* img{{@media screen{{[data-jp-theme-light=false] &{_FILTER}"
    f"@media(prefers-color-scheme:dark){{body:not([data-jp-theme-light]) &{_FILTER}}}}}}}}}</style>"
)
"""Makes the picture after it dark on a dark page; a page without a theme follows the system.

It is in the file of a notebook once for each picture, so it is short."""

_COLOURS = 40
"""In a plot of ours are about eight, and between each and the ground the steps of smooth edges."""


class ThemedFigure(Figure):
    """A `Figure` that a notebook shows in the theme of the page; otherwise it is like any other.

    Attributes:
        kept_colours: What is in the palette of its picture as it is, where it occurs.
    """

    kept_colours: tuple[str, ...] = ()

    def _ipython_display_(self) -> None:
        import IPython

        shell: Any = IPython.get_ipython()
        if getattr(shell, "kernel", None) is None:
            raise NotImplementedError  # then IPython shows it as it shows any figure
        shell.display_pub.publish({"text/html": THEME_STYLE, "text/plain": ""})
        picture = b64encode(render_palette_png(self)).decode("ascii")
        shell.display_pub.publish({"image/png": picture, "text/plain": repr(self)})


def render_palette_png(figure: Figure) -> bytes:
    """Draw a figure as a PNG with a palette: a plot has few colours, and then a third of the bytes.

    Args:
        figure: Any figure; its text and curves stay smooth.
    """
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    picture = Image.open(drawn).convert("RGB")
    pixels = np.asarray(picture).astype(np.int32) @ (1 << 16, 1 << 8, 1)
    found, places = np.unique(pixels, return_inverse=True)
    # A rare colour, as of a short line, would become one between it and another.
    wanted = figure.kept_colours if isinstance(figure, ThemedFigure) else ()
    kept = [number for name in wanted if (number := int(name[1:], 16)) in found]
    others = picture.quantize(_COLOURS - len(kept), dither=Image.Dither.NONE).getpalette() or []
    palette = np.concatenate([_split(np.array(kept, int)), np.reshape(others, (-1, 3))])
    distance = ((_split(found)[:, None] - palette) ** 2).sum(axis=-1)
    indices = distance.argmin(axis=1)[places].reshape(pixels.shape)
    indexed = Image.fromarray(indices.astype(np.uint8), "P")
    indexed.putpalette(palette.astype(np.uint8).tobytes())
    small = io.BytesIO()
    indexed.save(small, "PNG", optimize=True)
    return small.getvalue()


def _split(numbers: NDArray[np.int_]) -> NDArray[np.int_]:
    """Return the red, green and blue of each colour."""
    return np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], axis=-1)
