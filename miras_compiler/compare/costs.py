"""Costs beside each other, and over the length of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from miras_compiler.analysis import CostLine, estimate_cost
from miras_compiler.compare.plot import Axis, PlotLine, plot
from miras_compiler.compare.subjects import Compared
from miras_compiler.gpus import GPUS

LENGTHS = tuple(2**n for n in range(7, 21))  # tokens
CACHE_BYTES = 2  # of a channel of a key or of a value, in bfloat16
BOTH = ("matrix products, forward and backward", "triangular solves, forward and backward", "everything else, forward and backward")
STATE, SAVED, ROOFLINE = "state", "saved for backward, one state per tile", "roofline of the forward pass, "


class ComparedCost(NamedTuple):
    """One figure in every spec, None where a spec has none, and as a multiple of the first spec's."""

    what: str
    unit: str
    values: tuple[float | None, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple("–" if value is None else f"{value:,.0f}" if value == round(value) else f"{value:,}" for value in self.values)

    @property
    def ratios(self) -> tuple[str, ...]:
        first = self.values[0]
        return tuple(f"{value / first:.2f} ×" if value and first and value != first else "" for value in self.values)


def costs_of(subject: Compared) -> tuple[CostLine, ...]:
    """The costs of a token and head, with the roofline on every GPU that is known."""
    made = subject.compilation
    rule = made.update_rule
    return estimate_cost(rule, made.parallel_form.kind, made.program, made.adjoint, rule.step.chunk_end, tuple(GPUS.values()))


def cost_rows(costs: Sequence[Sequence[CostLine]]) -> list[ComparedCost]:
    units = {line.what: line.unit for lines in costs for line in lines}
    values = [{line.what: line.value for line in lines} for lines in costs]
    return [ComparedCost(what, unit, tuple(each.get(what) for each in values)) for what, unit in units.items()]


def cost_plots(subjects: Sequence[Compared], costs: Sequence[Sequence[CostLine]]) -> list[tuple[str, str]]:
    """Titles and plots over T, of one sequence with all heads of a layer: a token's cost times T; the state does not grow."""
    named = [{line.what: line.value for line in lines} for lines in costs]
    heads = [subject.compilation.spec.layer.value_heads for subject in subjects]
    tokens = Axis("T, tokens", log=True)

    def lines(per_token: Sequence[float]) -> list[PlotLine]:
        return [
            PlotLine(subject.label, [(t, count * value * t) for t in LENGTHS], index)
            for index, (subject, count, value) in enumerate(zip(subjects, heads, per_token, strict=True))
        ]

    specs = [subject.compilation.spec for subject in subjects]
    widths = sorted({each.layer.heads * each.key_dim + each.layer.value_heads * each.value_dim for each in specs})
    kept = "keys and values that attention keeps"
    attention = [PlotLine(kept, [(t, CACHE_BYTES * width * t) for t in LENGTHS], None) for width in widths]
    states = [
        PlotLine(subject.label, [(t, count * each[STATE]) for t in LENGTHS], index)
        for index, (subject, count, each) in enumerate(zip(subjects, heads, named, strict=True))
    ]
    found = [
        ("operations, forward and backward", "FLOP", lines([sum(each[name] for name in BOTH) for each in named])),
        ("state; dashed, the keys and values that attention keeps, in bfloat16", "bytes", [*states, *attention]),
        ("saved for the backward pass", "bytes", lines([each[SAVED] for each in named])),
    ]
    for gpu in GPUS.values():
        times = lines([1e-12 * each[ROOFLINE + gpu.name] for each in named])
        found.append((f"roofline of the forward pass, {gpu.name}", "seconds", times))
    return [(title, plot(title, tokens, Axis(unit, log=True), series)) for title, unit, series in found]
