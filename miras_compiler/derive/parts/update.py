"""The writes of a rule."""

from __future__ import annotations

from typing import NamedTuple

import sympy as sp

from miras_compiler.derive.parts.entry import Entry, per_weight
from miras_compiler.elements.base import exact
from miras_compiler.elements.bias import L2Bias
from miras_compiler.elements.optimizer import GradientDescent, Muon, Preconditioned
from miras_compiler.expressions.symbols import letter
from miras_compiler.spec import Spec


class Orthogonal(NamedTuple):
    """Newton–Schulz steps with these coefficients, taken of S. `sized`: S has the step sizes in it.

    `waits`: they are taken once, at the end of a full chunk.
    """

    triples: tuple[tuple[str, str, str], ...]
    sized: bool
    waits: bool


class Update(NamedTuple):
    """The writes of surprises: their number per token, their step size, and their keys."""

    writes: int
    step_size: sp.Expr  # in eta, and in kk = φ(k)φ(k)ᵀ where it is not eta itself
    erases: bool  # along a key of its own
    gain: sp.Expr | None  # of the written key, in the preconditioner D of its channel
    orthogonal: Orthogonal | None
    entries: tuple[Entry, ...]

    @property
    def own_step_size(self) -> bool:
        """True if the step size is another than eta."""
        return bool(self.step_size != letter("eta"))

    @property
    def waits(self) -> bool:
        """True if a full chunk is more than its last token: the sum of its surprises is written at its end."""
        return self.orthogonal is not None and self.orthogonal.waits

    @property
    def sized(self) -> bool:
        """True if S has the step sizes of its surprises in it."""
        return self.orthogonal is None or self.orthogonal.sized


def update_of(spec: Spec) -> Update:
    """The update of a spec."""
    optimizer, orthogonal, size = spec.optimizer, None, spec.optimizer.step_size()
    if isinstance(optimizer, Muon):
        per_chunk = optimizer.apply == "chunk_end"
        orthogonal = Orthogonal(optimizer.triples(), sized=per_chunk, waits=per_chunk and spec.has_grid)
    if isinstance(spec.attentional_bias, L2Bias):
        size = size.subs(letter("s"), exact(spec.attentional_bias.scale))
    plain = optimizer if isinstance(optimizer, GradientDescent) else GradientDescent()
    gain = optimizer.write_gain() if isinstance(optimizer, Preconditioned) else None
    entries = tuple(per_weight(spec, "_pending")) if orthogonal and orthogonal.waits else ()
    return Update(plain.steps, size, plain.erase_key, gain, orthogonal, entries)
