"""An svg of graphviz-pure as png or pdf, drawn by matplotlib in a font that has every sign of the mathematics."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, PathPatch
from matplotlib.path import Path

FONT = "DejaVu Sans"  # it comes with matplotlib
RESOLUTION = 144  # dots per inch of a png
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
Point = tuple[float, float]


def paint(svg: str, format: str) -> bytes:
    """The picture as "png" or "pdf"; the same svg gives the same bytes."""
    root = ElementTree.fromstring(svg.encode())
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    left, up = (float(x) for x in NUMBER.findall(root[0].attrib["transform"])[-2:])
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-left, width - left), ylim=(height - up, -up))
    axes.axis("off")
    for order, element in enumerate(root.iter()):
        _draw(axes, element, order)
    picture = io.BytesIO()
    nothing_ambient = {"Software": None} if format == "png" else {"CreationDate": None, "Creator": None, "Producer": None}
    figure.savefig(picture, format=format, dpi=RESOLUTION, metadata=nothing_ambient)
    return picture.getvalue()


def _draw(axes: Axes, element: ElementTree.Element, order: int) -> None:
    """One element; later ones lie above earlier ones."""
    given = element.attrib
    match element.tag.rpartition("}")[2]:
        case "text":
            _write(axes, element, order)
        case "ellipse":
            x, y, rx, ry = (float(given[name]) for name in ("cx", "cy", "rx", "ry"))
            axes.add_patch(Ellipse((x, y), 2 * rx, 2 * ry, zorder=order, **_pen(given)))
        case "polygon" | "polyline" as kind:
            corners = list(_points(given["points"]))
            path = Path(corners, closed=kind == "polygon")
            axes.add_patch(PathPatch(path, zorder=order, **_pen(given)))
        case "path":
            corners = list(_points(given["d"]))  # M and one point, then C and three points for every curve
            path = Path(corners, [Path.MOVETO, *[Path.CURVE4] * (len(corners) - 1)])
            axes.add_patch(PathPatch(path, zorder=order, **_pen(given)))


def _write(axes: Axes, element: ElementTree.Element, order: int) -> None:
    given = element.attrib
    align = {"start": "left", "middle": "center", "end": "right"}[given["text-anchor"]]
    axes.text(
        float(given["x"]), float(given["y"]), element.text or "", ha=align, va="baseline", fontsize=float(given["font-size"]), family=FONT,
        weight=given.get("font-weight", "normal"), color=_colour(given.get("fill", "black")), parse_math=False, zorder=order,
    )  # fmt: skip


def _pen(given: dict[str, str]) -> dict[str, Any]:
    dashes = tuple(float(x) for x in NUMBER.findall(given.get("stroke-dasharray", "")))
    return {
        "facecolor": _colour(given.get("fill", "black")),
        "edgecolor": _colour(given.get("stroke", "none")),
        "linewidth": float(given.get("stroke-width", 1)) if given.get("stroke", "none") != "none" else 0.0,
        "linestyle": (0, dashes) if dashes else "solid",
    }


def _colour(name: str) -> str:
    return "none" if name == "transparent" else name


def _points(text: str) -> Iterator[Point]:
    numbers = [float(x) for x in NUMBER.findall(text)]
    return zip(numbers[::2], numbers[1::2], strict=True)
