"""Warnings that are no errors: a loss that may not be convex, a memory that is not stable or can become so.

The analyses are imported where a spec needs one: a shipped spec is checked without them, in half the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from miras_compiler.elements.bias import FormulaBias
from miras_compiler.errors import Problem
from miras_compiler.spec import Spec
from miras_compiler.spec.stability import Sensitivity, contraction, sensitivity_of, stable_sibling

if TYPE_CHECKING:
    from miras_compiler.analysis.convexity import Convexity


def warnings_of(spec: Spec) -> Iterator[Problem]:
    """A loss of one's own that is not convex, or not known to be; a memory that is not stable as the layer starts it, or can become so."""
    if isinstance(spec.attentional_bias, FormulaBias):
        yield from _of_loss(spec, spec.attentional_bias.text)
    yield from _of_stability(spec)


def _of_loss(spec: Spec, loss: str) -> Iterator[Problem]:
    verdict = convexity_of(spec)
    if verdict.kind != "convex":
        text = " ".join(loss.split())
        what = f"warning: the loss '{text}' {'is not convex' if verdict.kind == 'counterexample' else 'may not be convex'} in u"
        yield Problem(spec.where("attentional_bias.loss"), what, verdict.reason, verdict.remedy)


def convexity_of(spec: Spec) -> Convexity:
    """The verdict on a spec's attentional bias, with its gates wherever the layer can take them."""
    from miras_compiler.analysis.convexity import classify_convexity

    bias = spec.attentional_bias
    ranges = {name: spec.gate_range(name) for name in bias.gates() if name in spec.gates}
    return classify_convexity(bias.loss(), {name: (own.low, own.high) for name, own in ranges.items()})


def _keeping_eta_below(largest: float) -> str:
    """The setting of the gate that keeps a step size at most this large."""
    for name, high in (("2*sigmoid", 2), ("sigmoid", 1)):
        if high <= largest:
            return f"`eta: {{parametrization: {name}}}` keeps eta below {high}"
    return f"`eta: {{range: [0, {math.floor(1000 * largest) / 1000:g}]}}` keeps it below"


def _of_stability(spec: Spec) -> Iterator[Problem]:
    step = contraction(spec)
    if step is not None:
        if step.factor > 1:
            what = "warning: the state grows without bound at the gates as the layer starts them"
            why = f"on keys of length 1 a write multiplies what is read at its key by {step.text} = {step.factor:.4g}"
            yield Problem(spec.where("gates.eta.init"), what, why, f"start eta at {step.largest:.4g} or below")
        elif (reach := spec.gate_range("eta")).high > step.largest:
            what = "warning: the state can grow without bound once eta has been trained"
            beyond = f"on keys of length 1 a write does so beyond eta = {step.largest:.4g}"
            why = f"{beyond}, and {reach.parametrization} has no such end"
            yield Problem(spec.where("gates.eta"), what, why, _keeping_eta_below(step.largest))
        return
    sensitivity = sensitivity_of(spec, lambda: measured(spec))
    if sensitivity.grows:
        sibling = stable_sibling(spec)
        what = "warning: the memory is chaotic at the gates as the layer starts them"
        remedy = "a smaller step size may help"
        if sibling:
            remedy = f"{sibling} has the same kinds of memory and attentional bias, and is stable"
        yield Problem(spec.where("retention"), what, sensitivity.text(), remedy)


def measured(spec: Spec) -> Sensitivity:
    """The sensitivity, measured on the derived rule."""
    from miras_compiler.analysis.sensitivity import measure_sensitivity
    from miras_compiler.derive import derive_update_rule

    return measure_sensitivity(derive_update_rule(spec))
