"""The specs in a few lines: their choices, and the consequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from miras_compiler.compare.costs import ROOFLINE, STATE
from miras_compiler.compare.subjects import Compared
from miras_compiler.elements.kinds import KINDS
from miras_compiler.gpus import H200


class SummaryRow(NamedTuple):
    what: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


def summary(subjects: Sequence[Compared]) -> list[SummaryRow]:
    """One row a fact, a value for every spec."""
    columns = [_facts(subject) for subject in subjects]
    return [SummaryRow(what, tuple(column[what] for column in columns)) for what in columns[0]]


def _facts(subject: Compared) -> dict[str, str]:
    made = subject.compilation
    spec, form = made.spec, made.parallel_form
    cost = {line.what: line.value for line in made.cost}
    forward = sum(value for what, value in cost.items() if what.endswith(", forward"))
    kinds = {family.replace("_", " "): getattr(spec, family).kind for family in KINDS}
    kernels = "yes" if "kernels.py" in subject.files else "no"
    return {
        **kinds,
        "gates": ", ".join(spec.used_gates()),
        "chunk": f"{spec.chunk.size}, {'exact gradients' if spec.chunk.gradient == 'exact' else 'gradients at its start'}",
        "parallel form": form.kind.replace("_", " "),
        "state, bytes / head": f"{cost[STATE]:,}",
        "forward, FLOP / token / head": f"{forward:,}",
        f"roofline {H200.name}, ps / token / head": f"{cost[ROOFLINE + H200.name]:,g}",
        "stability": "chaotic" if made.sensitivity.grows else "stable",
        "Triton kernels": kernels,
        "digest": subject.digest,
    }
