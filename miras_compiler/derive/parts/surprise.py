"""The measure that a rule takes of a token."""

from __future__ import annotations

from typing import Literal, NamedTuple

import sympy as sp

from miras_compiler.derive.parts.entry import Entry
from miras_compiler.derive.parts.gates import RuleGate
from miras_compiler.elements.base import exact
from miras_compiler.elements.bias import L2Bias
from miras_compiler.spec import Spec


class Surprise(NamedTuple):
    """The measure of a token: ℓ, the state at which it is taken, and the number of tokens over which losses are summed.

    `weighed`: each loss has a weight, the gate gamma, also where the window is the token alone. `scale` is the slope of an l2 bias in e,
    None for other biases. `printed`: a paper prints something else than the gradient of ℓ. `clip` is the greatest length of ∂ℓ/∂u.
    """

    loss: sp.Expr
    printed: bool
    clip: sp.Rational | None
    at: Literal["before", "decayed", "start"]
    ahead: bool  # moved by the momentum
    window: int
    weighed: bool
    scale: sp.Rational | None
    entries: tuple[Entry, ...]

    @property
    def remarks(self) -> list[str]:
        """Sentences on the measure, where the equations do not say it."""
        return [f"the index j runs over the last {self.window} tokens, the token itself among them"] if self.window > 1 else []


def surprise_of(spec: Spec, gates: dict[str, RuleGate]) -> Surprise:
    """The surprise of a spec with these gates."""
    bias = spec.attentional_bias
    decayed = spec.retention.order == "before_gradient"
    return Surprise(
        loss=bias.loss(),
        printed=bias.derivative() is not None,
        clip=None if bias.clip is None else exact(bias.clip),
        at="start" if spec.has_grid else "decayed" if decayed else "before",
        ahead=spec.optimizer.looks_ahead,
        window=bias.window or 1,
        weighed=bias.window is not None,
        scale=exact(bias.scale) if isinstance(bias, L2Bias) else None,
        entries=_entries(gates) if (bias.window or 1) > 1 else (),
    )


def _entries(gates: dict[str, RuleGate]) -> tuple[Entry, ...]:
    """The tokens of a window before the last, and how many there are."""
    kept = [("k", "K"), ("v", "V"), *((gate.name, gate.channel) for gate in gates.values() if gate.measured)]
    rows = [Entry(f"window_{name}", f"BHL{channel}", goes="by call") for name, channel in kept]
    return (*rows, Entry("window_length", "B", goes="by call", integer=True))
