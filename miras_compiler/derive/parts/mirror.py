"""The map of a rule from its dual state to the weights that are read."""

from __future__ import annotations

from typing import Literal, NamedTuple

import sympy as sp

from miras_compiler.elements.memory import Weight
from miras_compiler.ir.nodes import Axes
from miras_compiler.spec import Spec


class MirrorMap(NamedTuple):
    """The map from the dual state to the weights that are read. `slices` are the axes of a weight that reductions run over; `start` is
    where a memory begins.

    It is the inverse of the gradient of the `generator` F, where there is one, on slices that sum to `constraint`, if that is a number.
    A primal retention has no such map: `step` makes the next weights of X = α W[t−1] + S (x), W[t−1] (w) and eta; `relative` is d in it.
    """

    identity: bool
    slices: Literal["input", "output", "all"]
    step: sp.Expr | None
    relative: sp.Expr | None
    start: Literal["zero", "required", "uniform"]
    generator: sp.Expr | None
    constraint: sp.Expr | None

    @property
    def primal(self) -> bool:
        """True if the state holds the weights as they are read."""
        return self.step is not None

    @property
    def total(self) -> float:
        """The sum of a slice, 1 where it has none."""
        return 1.0 if self.constraint is None else float(self.constraint)

    def axes(self, weight: Weight) -> Axes:
        """The axes of a weight that a reduction runs over."""
        return {"input": weight.axes[:1], "output": weight.axes[-1:], "all": weight.axes}[self.slices]


def mirror_of(spec: Spec) -> MirrorMap:
    """The map of a spec's retention."""
    retention = spec.retention
    step, relative = retention.primal_step(), retention.relative_step()
    generator = None if step is not None else retention.generator()
    return MirrorMap(retention.identity, retention.slice_axis(), step, relative, retention.start, generator, retention.constraint())
