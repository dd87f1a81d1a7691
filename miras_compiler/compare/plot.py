"""A plot of lines as an element of a page, in the page's own colours."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 68, 14, 12, 44
PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))
TICKS = 6
SHORT = 2  # powers of ten: an axis by factors with fewer has other round numbers, too


class PlotLine(NamedTuple):
    """Points of one line, or `dots` without one; `colour` is the number of one of the page's colours, None for a reference line."""

    label: str
    points: Sequence[tuple[float, float]]
    colour: int | None
    dots: bool = False


class Axis(NamedTuple):
    """The measure of an axis; `log` spaces it by factors of ten, `share` writes its numbers without prefixes."""

    label: str
    log: bool = False
    share: bool = False

    def at(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def said(self, positions: Sequence[float]) -> list[str]:
        """The numbers at places along the axis, with as many digits as tell them apart."""
        values = [10**position if self.log else position for position in positions]
        for digits in range(3, 17):
            texts = [f"{value:.{digits}g}" if self.share else amount(value, digits) for value in values]
            if len(set(texts)) == len(texts):
                break
        return texts


def plot(title: str, x: Axis, y: Axis, series: Sequence[PlotLine]) -> str:
    """The lines over each other; "" if there is no point. On an axis by factors, points that are not above 0 are left out."""
    kept = [
        (each, [(x.at(a), y.at(b)) for a, b in each.points if (a > 0 or not x.log) and (b > 0 or not y.log)]) for each in series
    ]  # fmt: skip
    everything = [point for _, points in kept for point in points]
    if not everything:
        return ""
    across, up = (_span([point[i] for point in everything]) for i in (0, 1))

    def place(point: tuple[float, float]) -> str:
        a = LEFT + (point[0] - across[0]) / (across[1] - across[0]) * (WIDTH - LEFT - RIGHT)
        b = HEIGHT - BOTTOM - (point[1] - up[0]) / (up[1] - up[0]) * (HEIGHT - TOP - BOTTOM)
        return f"{a:.1f},{b:.1f}"

    parts = [f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">']
    bottom = HEIGHT - BOTTOM
    ticks = _ticks(across, x.log)
    for value, said in zip(ticks, x.said(ticks), strict=True):
        a = place((value, up[0])).partition(",")[0]
        parts.append(f'<line class="grid" x1="{a}" y1="{TOP}" x2="{a}" y2="{bottom}"/>')
        parts.append(f'<text x="{a}" y="{bottom + 16}" text-anchor="middle">{said}</text>')
    ticks = _ticks(up, y.log)
    for value, said in zip(ticks, y.said(ticks), strict=True):
        b = place((across[0], value)).rpartition(",")[2]
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{b}" x2="{WIDTH - RIGHT}" y2="{b}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{float(b) + 4:.1f}" text-anchor="end">{said}</text>')
    parts.append(f'<text x="{(WIDTH + LEFT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(x.label)}</text>')
    middle = (HEIGHT - BOTTOM + TOP) / 2
    parts.append(f'<text transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">{html.escape(y.label)}</text>')
    for each, points in kept:
        name = "reference" if each.colour is None else f"s{each.colour}"
        title = f"<title>{html.escape(each.label)}</title>"
        if each.dots:
            for a, b in (place(point).split(",") for point in points):
                parts.append(f'<circle class="{name}" cx="{a}" cy="{b}" r="4.5">{title}</circle>')
        elif points:
            parts.append(f'<polyline class="{name}" points="{" ".join(map(place, points))}">{title}</polyline>')
    return "".join([*parts, "</svg>"])


def amount(value: float, digits: int = 3) -> str:
    """So many digits with a prefix of the SI: 1.35 M."""
    if value == 0:
        return "0"
    size, prefix = next((entry for entry in PREFIXES if abs(value) >= entry[0] * (1 - 1e-9)), PREFIXES[-1])
    return f"{value / size:.{digits}g}" + (f" {prefix}" if prefix else "")


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or max(0.5, 0.04 * abs(low))
    return low - room, high + room


def _ticks(span: tuple[float, float], log: bool) -> list[float]:
    """Round numbers inside a span; on an axis by factors, the exponents of powers of ten, or of round numbers where it is short."""
    if log and span[1] - span[0] < SHORT:
        powers = range(math.floor(span[0]), math.ceil(span[1]))
        found = [tick for power in powers for m in (1, 2, 5, 10) if span[0] <= (tick := power + math.log10(m)) <= span[1]]
        few = len(found) < 3
        return [math.log10(value) for value in _ticks((10 ** span[0], 10 ** span[1]), log=False)] if few else sorted(set(found))
    size = (span[1] - span[0]) / TICKS
    magnitude = 10 ** math.floor(math.log10(size))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= size)
    if log:
        step = max(1.0, math.ceil(step))
    first = math.ceil(span[0] / step)
    return [n * step for n in range(first, math.floor(span[1] / step) + 1)]
