"""The stability of a memory at the initial gates of the layer: a bound where the rule is a linear one, a measurement elsewhere.

A rule that is linear in the state contracts the read at a key of length 1 by a factor that follows from its gates. For every other rule
the sensitivity is measured; that of a shipped rule stands in a table, which a test keeps current.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from math import inf
from typing import NamedTuple

from miras_compiler.elements.bias import DotProductBias, FormulaBias, HuberBias, HuberNormBias, L2Bias, LogCoshBias
from miras_compiler.elements.feature_map import IdentityMap
from miras_compiler.elements.kinds import KINDS
from miras_compiler.elements.memory import MatrixMemory
from miras_compiler.elements.optimizer import GradientDescent, Momentum
from miras_compiler.elements.retention import L2Retention, NoRetention
from miras_compiler.spec.layer import Layer
from miras_compiler.spec.schema import Spec
from miras_compiler.spec.ties import RETAINED
from miras_compiler.spec.zoo import read_zoo

UNIT_SLOPE = (HuberBias, HuberNormBias, LogCoshBias)  # ∂ℓ/∂u grows by at most the length by which u does


TOKENS = 256
CHANGE = 1e-3  # of the first token, relative to the length of each of its rows
GROWTH = 4.0  # from the early to the late tokens; less is the luck of the draw


class Sensitivity(NamedTuple):
    """The relative change of outputs by a relative change of CHANGE in token 0.

    `early` is that behind the first chunk, `late` that of the last of `tokens` tokens.
    """

    early: float
    late: float
    tokens: int = TOKENS

    @property
    def grows(self) -> bool:
        """True if late outputs are changed more than early ones, and more than the token was."""
        return not self.late <= max(GROWTH * self.early, CHANGE)

    def text(self) -> str:
        """The end as a sentence."""
        size = f"by {100 * self.late:.2g} %" if self.late < 10 else "beyond any bound"
        return f"a change of {100 * CHANGE:g} % in token 0 changes the outputs up to token {self.tokens - 1} {size}"


class Step(NamedTuple):
    """The effect of a write on the state along its key, of length 1: `factor`, its size by the formula `text`; `largest` keeps it at 1."""

    factor: float
    text: str
    largest: float


def contraction(spec: Spec) -> Step | None:
    """The step of a rule whose surprise grows with the state by a known slope s, on keys of length 1; None where no bound is known."""
    bias, optimizer = spec.attentional_bias, spec.optimizer
    slope = bias.scale if isinstance(bias, L2Bias) else 1.0 if isinstance(bias, UNIT_SLOPE) else 0.0
    bounded = isinstance(bias, (L2Bias, DotProductBias, *UNIT_SLOPE)) and bias.window is None and not spec.has_grid
    plain = isinstance(spec.memory, MatrixMemory) and spec.memory.norm == "none" and not spec.memory.residual
    linear = isinstance(spec.feature_map, IdentityMap) and isinstance(spec.retention, L2Retention | NoRetention)
    if not (bounded and plain and linear and _short_keys(spec.layer)):
        return None
    alpha, eta = _start(spec, "alpha"), _start(spec, "eta")
    moved = "" if slope == 0 else " − η" if slope == 1 else f" − {slope:g} η"
    before = spec.retention.order == "before_gradient"
    if isinstance(optimizer, GradientDescent) and not optimizer.erase_key:
        if optimizer.steps > 1:
            return Step(abs(1 - eta * slope), f"|1{moved}|", _ratio(2, slope))
        if before:
            return Step(abs(alpha * (1 - eta * slope)), f"|α (1{moved})|", _ratio(1 + _ratio(1, alpha), slope))
        return Step(abs(alpha - eta * slope), f"|α{moved}|", _ratio(1 + alpha, slope))
    if type(optimizer) is Momentum and not before:
        mu = _start(spec, "mu")
        text = f"the largest root of x² − (α + μ{moved}) x + α μ"
        return Step(_radius(alpha + mu - eta * slope, alpha * mu), text, _ratio((1 + alpha) * (1 + mu), slope))
    return None


def _short_keys(layer: Layer) -> bool:
    """True if no key is longer than 1: normalized, and no sum of others."""
    tie = layer.tie.get("k")
    return layer.qk_norm == "l2" and (tie is None or (not tie.plus and tie.of != RETAINED))


def _ratio(x: float, y: float) -> float:
    return x / y if y else inf


def _radius(total: float, product: float) -> float:
    """The largest size of a root of x² − total x + product."""
    root = complex(total * total - 4 * product) ** 0.5
    return max(abs(total + root), abs(total - root)) / 2


def _start(spec: Spec, gate: str) -> float:
    """The initial value of a gate; 1 for a decay that is not there; of several heads the largest."""
    if gate not in spec.gates:
        return 1.0
    init = spec.gates[gate].init
    return max(init) if isinstance(init, tuple) else init


def rule_digest(spec: Spec) -> str:
    """Twelve hexadecimal digits of all that a measurement depends on: the rule, the gates where they start, the rows of a fresh layer."""
    tree = spec.model_dump(mode="json", by_alias=True, include={*KINDS, "chunk"})
    tree["layer"] = spec.layer.model_dump(mode="json", include={"head_dim", "value_dim", "conv", "qk_norm", "activation", "tie"})
    tree["gates"] = {name: [gate.per, gate.init] for name, gate in spec.gates.items()}
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:12]


def sensitivity_of(spec: Spec, measure: Callable[[], Sensitivity]) -> Sensitivity:
    """The sensitivity of a shipped rule out of the table, of any other as it is measured."""
    digest = rule_digest(spec)
    known = (entry for entry in read_zoo().values() if entry.rule == digest)
    entry = next(known, None)
    return Sensitivity(entry.early, entry.late) if entry else measure()


def stability_lines(spec: Spec, sensitivity: Sensitivity) -> list[str]:
    """Sentences on a rule's stability."""
    step = contraction(spec)
    lines = []
    if step is not None:
        verdict = "the state stays bounded" if step.factor <= 1 else f"the state grows; start eta at {step.largest:.4g} or below"
        lines.append(f"on keys of length 1 a write multiplies what is read at its key by {step.text} = {step.factor:.4g}: {verdict}")
    lines.append(sensitivity.text())
    if sensitivity.grows:
        sibling = stable_sibling(spec)
        lines[-1] += f": the memory is chaotic{f', {sibling} is a stable sibling' if sibling else ''}"
    return lines


def stable_sibling(spec: Spec) -> str:
    """The name of a shipped spec that is stable and differs in its retention; "" if there is none, and for a formula of the user's own."""
    if isinstance(spec.attentional_bias, FormulaBias):
        return ""
    parts = [getattr(spec, part).kind for part in ("memory", "attentional_bias", "optimizer")]
    for name, entry in read_zoo().items():
        alike = [entry.memory, entry.attentional_bias, entry.optimizer] == parts and entry.retention != spec.retention.kind
        if alike and not Sensitivity(entry.early, entry.late).grows:
            return name
    return ""
