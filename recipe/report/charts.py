"""The charts of a page: matplotlib drawings as SVG that takes its colours and its font from the page around it.

Every chart is as wide as a phone, so that its text is readable there; wider screens put several side by side.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.1  # inches of 72 units: a unit is about a CSS pixel on a phone
MAX_POINTS = 400  # of a line; more steps are averaged in bins
# Drawn in these colours, for each of which the page has its own: name -> variable of style.css.
_COLOURS = {
    "#010101": "--ink", "#020202": "--muted", "#030303": "--line",
    "#040404": "--surface",
    "#050505": "--series-0", "#060606": "--series-1", "#070707": "--series-2", "#080808": "--series-3",
}  # fmt: skip
_INK, _, _LINE, _SURFACE, *SERIES = _COLOURS
DASHES = ("", "5 2", "1.5 2", "6 2 1.5 2")  # beside the colour, for who can't tell colours apart
_STYLE = Path(__file__).with_name("charts.mplstyle")
_PLACEHOLDER = re.compile("|".join(_COLOURS))
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_HREF = f"{{{_XLINK}}}href"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: a name and a note above it, its length, and what is written at the end of its line."""

    name: str
    note: str
    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: points (x, y) in order of x."""

    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def told(self) -> str:
        """First and last value, for the legend and for who doesn't see the curve."""
        (first, start), (last, end) = self.points[0], self.points[-1]
        if first == last:
            return f"{start:.4g} at step {first}"
        return f"{start:.4g} at step {first}, {end:.4g} at step {last}"


# ----------------------------------------------------------------------------------------------------------- figure


def _drawing(draw: Callable[..., Figure]) -> Callable[..., Markup]:
    """A function that draws a figure, as one that returns the element for a page."""

    @functools.wraps(draw)
    def chart(*args: object) -> Markup:
        import matplotlib

        file = io.StringIO()
        with matplotlib.rc_context(fname=_STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the browser has it
            draw(*args).savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        return _inline(file.getvalue())

    return chart


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def _name_row(axes: Axes, row: float, name: str, note: str, left: float) -> None:
    # A model can name a type anything, and no XML can hold a control character.
    name = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in name)
    text = f"{name[:27]}…" if len(name) > 28 else name
    text = f"{text} · {note}" if note else text
    box = {"facecolor": _SURFACE, "edgecolor": "none", "pad": 1.5}  # over the grid
    axes.text(left, row - 0.2, text, ha="left", va="bottom", color=_INK, bbox=box)


def _inline(drawing: str) -> Markup:
    """matplotlib's SVG file as an element among others: the page's colours and size, ids that no other chart has."""
    from markupsafe import Markup

    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(drawing)
    for parent in list(root.iter()):
        for child in list(parent):
            # Its style holds for the whole page, and nothing is drawn outside the axes.
            if child.tag in {f"{{{_SVG}}}{name}" for name in ("metadata", "style", "clipPath")}:
                parent.remove(child)
    used = {element.get(_HREF, "")[1:] for element in root.iter()}
    prefix = hashlib.sha256(drawing.encode()).hexdigest()[:8]
    for element in root.iter():
        element.attrib.pop("clip-path", None)
        name = element.attrib.pop("id", None)
        if name in used:
            element.set("id", f"{prefix}-{name}")
        if target := element.get(_HREF):
            element.set(_HREF, f"#{prefix}-{target[1:]}")
        if style := element.get("style"):
            element.set("style", _PLACEHOLDER.sub(lambda found: f"var({_COLOURS[found[0]]})", style))
        element.text, element.tail = (
            text.strip() if text and not text.strip() else text for text in (element.text, element.tail)
        )
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("aria-hidden", "true")  # the page says the same in words beside it
    root.set("focusable", "false")
    return Markup(ElementTree.tostring(root, encoding="unicode"))


# ----------------------------------------------------------------------------------------------------------- charts


@_drawing
def bars(rows: Sequence[Bar], longest: float) -> Figure:
    """Horizontal bars under their names; a bar of `longest` is as wide as the chart."""
    figure, axes = _figure(0.44 * len(rows) + 0.1)
    axes.axis("off")
    longest = longest or 1.0
    for row, bar in enumerate(rows):
        axes.barh(row, longest, height=0.24, color=_LINE, alpha=0.45)
        axes.barh(row, min(bar.value, longest), height=0.24, color=SERIES[0])
        _name_row(axes, row, bar.name, bar.note, 0.0)
        axes.text(longest, row - 0.2, bar.text, ha="right", va="bottom", color=_INK)
    axes.set(xlim=(0, longest), ylim=(len(rows) - 0.8, -0.8))
    return figure


@_drawing
def intervals(rows: Sequence[tuple[str, float, float, float]]) -> Figure:
    """Points with their intervals: (name, value, low, high), all shares of 1, on one scale of percent."""
    figure, axes = _figure(0.44 * len(rows) + 0.5)
    low, high = 100 * min(row[2] for row in rows), 100 * max(row[3] for row in rows)
    margin = 0.04 * (high - low) or 1.0
    low, high = max(0.0, low - margin), min(100.0, high + margin)
    for row, (name, value, *bounds) in enumerate(rows):
        line = {"color": SERIES[0], "clip_on": False}  # a point may stand at the end of the scale
        axes.plot([100 * bound for bound in bounds], [row, row], linewidth=2.2, marker="|", **line)
        axes.plot([100 * value], [row], marker="o", markersize=6.5, **line)
        _name_row(axes, row, name, "", low)
    axes.set(xlim=(low, high), ylim=(len(rows) - 0.6, -0.9), yticks=[], xlabel="F1, %")
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.grid(axis="x", color=_LINE, linewidth=0.6)
    return figure


@_drawing
def curves(lines: Sequence[Line]) -> Figure:
    """Lines over training steps. Their names are not in the drawing: the page has a legend, with SERIES and DASHES."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(2.6)
    for number, line in enumerate(lines):
        xs, ys = zip(*_binned(line.points), strict=True)
        colour, dash = SERIES[number % len(SERIES)], _dash(number)
        axes.plot(xs, ys, color=colour, linewidth=1.8, linestyle=dash, marker="o" if len(xs) < 30 else "", markersize=3)
    axes.set_xlabel("training step")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.spines[["right", "top"]].set_visible(False)
    axes.grid(color=_LINE, linewidth=0.6)
    return figure


def _dash(number: int) -> object:
    dash = DASHES[number % len(DASHES)]
    return (0, tuple(map(float, dash.split()))) if dash else "-"


def _binned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MAX_POINTS points: neighbours are averaged."""
    size = -(-len(points) // MAX_POINTS)
    bins = (points[start : start + size] for start in range(0, len(points), size))
    return [tuple(sum(values) / len(values) for values in zip(*part, strict=True)) for part in bins]
