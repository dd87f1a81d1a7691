"""Numbers at the ends of what floats hold: inputs of 10⁴, and sequences of thousands of tokens."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.checks.machine import cast
from miras_compiler.verify.inputs import Inputs
from miras_compiler.verify.measure import Tally, rms_error
from miras_compiler.verify.subject import Result, Subject, pull_back

LARGE = 1e4
MANY = 2000
GROWTH = 10.0  # of the largest output from the first half of a long sequence to the second
DRIFT = 1e-4  # of float32 against float64 over a long sequence, where the rule is linear


def large_inputs(subject: Subject, tally: Tally) -> None:
    """Values, queries and keys of 10⁴ in turn: outputs, states and gradients are finite wherever the literal model's are.

    Where the literal model itself leaves the floats, the largest of 10³, 10², … at which it does not is tried, too.
    """
    inputs = subject.inputs(3, seed=71, position=subject.chunk - 2)
    for which in ("v", "q", "k"):
        size = LARGE
        while not _stays_finite(subject, tally, inputs, which, size) and size > 1:
            size /= 10
        if size < LARGE:
            tally.remarks.append(f"{which} up to {size:g}")


def _stays_finite(subject: Subject, tally: Tally, inputs: Inputs, which: str, size: float) -> bool:
    """Whether outputs, state and gradients of the literal model are finite with one input times `size`; those of the forms must be then."""
    given = replace(inputs, **{which: size * getattr(inputs, which)})
    expected = _named(pull_back(subject.literal_run, given))
    for name, run in subject.forms.items():
        actual = _named(pull_back(run, given))
        for entry, tensor in expected.items():
            _finite(tally, f"{name}, {which} times {size:g}: {entry}", actual[entry], tensor)
    return all(bool(tensor.isfinite().all()) for tensor in expected.values())


def _named(pulled: tuple[Result, dict[str, Tensor]]) -> dict[str, Tensor]:
    (output, state), gradients = pulled
    return {"o": output} | {f"state {name}": x for name, x in state.items()} | {f"d{name}": x for name, x in gradients.items()}


def _finite(tally: Tally, label: str, actual: Tensor, expected: Tensor) -> None:
    """NaN and infinity only in a tensor that has them in the reference, too."""
    tally.require(f"{label} is not finite", bool(actual.isfinite().all()) or not bool(expected.isfinite().all()))


def many_tokens(subject: Subject, tally: Tally) -> None:
    """The chunk form over 2,000 tokens: finite, no larger in the second half than ten times the first; linear rules hold their digits."""
    inputs = subject.inputs(MANY, seed=72, batch=1, heads=1, eta=subject.step / 4)
    single = cast(inputs, torch.float32, torch.float32)
    run = subject.run(subject.package.torch_chunk)
    with torch.no_grad():
        output, state = run(single.map(Tensor.double))
        rough, _ = run(single)
    for label, tensor in {"o": output, "float32 o": rough, **state}.items():
        tally.require(f"{label} is not finite after {MANY} tokens", bool(tensor.isfinite().all()))
    first, second = (float(half.abs().max()) for half in output.chunk(2, 1))
    tally.add(f"the second half grew {second / first:.1f} times", DRIFT * second / first / GROWTH)
    if is_linear(subject):
        tally.add("float32 against float64", rms_error(rough, output))
        tally.remarks.append(f"drift of float32 {rms_error(rough, output):.1e}")


def has_one_weight(subject: Subject) -> bool:
    """f_divergence is left out: its weights sum to their total after every token, and each costs a numerical solution."""
    return subject.fields["memory"]["kind"] in ("matrix", "vector") and subject.fields["retention"]["kind"] != "f_divergence"


def is_linear(subject: Subject) -> bool:
    """Whether the state's recurrence is affine in the state."""
    fields = subject.fields
    bias, memory = fields["attentional_bias"], fields["memory"]
    quadratic = bias["kind"] in ("l2", "dot_product") and bias.get("clip") is None
    return quadratic and memory["norm"] == "none" and fields["retention"]["kind"] in ("none", "l2") and subject.literal.kind != "muon"


GUARDS = (
    Check("guards", "inputs of 10⁴: finite where the literal model is", 0.0, large_inputs),
    Check("guards", "2,000 tokens: finite, bounded; linear rules hold in float32", DRIFT, many_tokens, has_one_weight, quick=False),
)
