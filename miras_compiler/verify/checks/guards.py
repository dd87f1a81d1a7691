"""Numbers at the ends of the range of floats, and beyond: inputs of 10⁴, residuals near 0, tokens that overflow, up to 100,000 tokens."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.checks.machine import cast
from miras_compiler.verify.inputs import Inputs
from miras_compiler.verify.literal.gates import ERASE_KEYS
from miras_compiler.verify.measure import Tally, rms_error
from miras_compiler.verify.rounding import Largest, named
from miras_compiler.verify.subject import Subject, pull_back

LARGE = 1e4
SMALL = (1e-8, 1e-14, 1e-20)
LESS_SMALL = (1e-4, 1e-2, 1.0)
BEYOND = (1e20, 1e38, math.nan)
LATE = 10  # the first token that is so large
SHORT_TILE = 4
MANY = 100_000  # tokens, where the rule is linear and runs in parallel
SEVERAL = 2_000  # elsewhere
LONG_TILE = 64
GROWTH = 10.0  # of the largest output from the first half of a long sequence to the second
DRIFT = 1e-4  # of float32 against float64 over a long sequence, where the rule is linear


def large_inputs(subject: Subject, tally: Tally) -> None:
    """Values, queries and keys of 10⁴ in turn, in both precisions: outputs, states and gradients are finite wherever every number that
    the literal model comes to on its way, computed in float64, is one of that precision.

    Where the literal model itself leaves them, the largest of 10³, 10², … at which it does not is tried.
    """
    inputs = subject.inputs(3, seed=71, position=subject.border - 2)
    for which, dtype in itertools.product(("v", "q", "k"), (torch.float64, torch.float32)):
        size = LARGE
        while not _stays_finite(subject, tally, cast(_scaled(inputs, which, size), dtype, dtype), f"{which} times {size:g}") and size > 1:
            size /= 10
        if size < LARGE:
            tally.remark(f"{which} up to {size:g} in {str(dtype).removeprefix('torch.')}")


def small_inputs(subject: Subject, tally: Tally) -> None:
    """Values and states of 10⁻⁸, 10⁻¹⁴ and 10⁻²⁰ in float32: norms of residuals and weights, and their squares, are as small.

    Where the literal model leaves float32 at all of them (a map of negative degree makes large numbers of small ones), the smallest of
    10⁻⁴, 10⁻² and 1 at which it does not.
    """
    inputs = subject.inputs(3, seed=73, position=subject.border - 2)

    def holds(size: float) -> bool:
        state = {name: size * tensor if tensor.is_floating_point() else tensor for name, tensor in inputs.state.items()}
        given = cast(replace(_scaled(inputs, "v", size), state=state), torch.float32, torch.float32)
        return _stays_finite(subject, tally, given, f"v and the state times {size:g}")

    held = [holds(size) for size in SMALL]
    if not any(held):
        tally.remark(f"no smaller than {next((f'{size:g}' for size in LESS_SMALL if holds(size)), 'nothing')}")


def late_overflow(subject: Subject, tally: Tally) -> None:
    """Late keys or values so large that float32 overflows, or no numbers: outputs before them, token by token, keep their bits.

    The chunk form keeps those of the tiles before. In the tile itself 0 · ∞ spoils the outputs before the overflow, too; but outputs that
    are numbers there are right.
    """
    inputs = cast(subject.inputs(LATE + 3, seed=74), torch.float32, torch.float32)
    forms = {"recurrent": (subject.run(subject.package.naive_recurrent), LATE),
             "chunk": (subject.run(subject.package.torch_chunk, tile=SHORT_TILE), LATE - SHORT_TILE + 1)}  # fmt: skip
    with torch.no_grad():
        for name, (run, kept) in forms.items():
            whole = run(inputs)[0][:, :LATE]
            for which, size in itertools.product(("k", "v"), BEYOND):
                label = f"{name}, {which} times {size:g} from token {LATE}"
                early = run(inputs.with_tail(_scaled(inputs, which, size), LATE))[0][:, :LATE]
                tally.same_bits(label, early[:, :kept], whole[:, :kept])
                tally.require(f"{label}: a wrong number before it", bool(((early == whole) | ~early.isfinite()).all()))


def _scaled(inputs: Inputs, which: str, size: float) -> Inputs:
    return replace(inputs, **{which: size * getattr(inputs, which)})


def _stays_finite(subject: Subject, tally: Tally, given: Inputs, label: str) -> bool:
    """True if all numbers of the literal model, on the way too, are of the inputs' precision; all that the forms make is then.

    A product that is larger than the precision holds is so in every form, and spoils its later factors.
    """
    dtype, exact = given.q.dtype, given.map(Tensor.double)
    expected = named(pull_back(subject.literal_run, exact))
    if not all(bool(tensor.to(dtype).isfinite().all()) for tensor in expected.values()):
        return False
    broken = [
        f"{name}, {dtype}, {label}: {entry} is not finite"
        for name, run in subject.forms.items()
        for entry, tensor in named(pull_back(run, given)).items()
        if not bool(tensor.isfinite().all())
    ]
    if broken and _largest_number(subject, exact) > torch.finfo(dtype).max:
        return False
    tally.require("; ".join(broken[:1]), not broken)
    return True


def _largest_number(subject: Subject, inputs: Inputs) -> float:
    """The largest number that the literal model comes to, forward and backward."""
    with Largest() as numbers:
        pull_back(subject.literal_run, inputs)
    return float(numbers.size)


@dataclass(frozen=True)
class LongRun:
    """The chunk form over many tokens: the values that were not finite, the growth of the outputs in the second half, and the RMS
    error of float32 against float64 on the same float32 inputs, over all outputs and over the last tenth of them."""

    broken: tuple[str, ...]
    growth: float
    drift: float
    drift_at_end: float


def run_long(subject: Subject, tokens: int) -> LongRun:
    """One sequence, one head; decays so close to 1 that most of the writes are still there at the end."""
    inputs = subject.inputs(tokens, seed=72, batch=1, heads=1, eta=subject.step / 4)
    if subject.literal.erases:  # a value measured at one key and removed at another may grow by itself, in every form
        inputs = replace(inputs, gates={**inputs.gates, ERASE_KEYS[1]: inputs.gates[ERASE_KEYS[0]]})
    single = cast(inputs, torch.float32, torch.float32)
    run = subject.run(subject.package.torch_chunk, tile=LONG_TILE)
    with torch.no_grad():
        output, state = run(single.map(Tensor.double))
        rough, _ = run(single)
    broken = tuple(name for name, x in {"o": output, "float32 o": rough, **state}.items() if not bool(x.isfinite().all()))
    first, second = (float(half.abs().max()) for half in output.chunk(2, 1))
    tenth = -(-tokens // 10)
    return LongRun(broken, second / first, rms_error(rough, output), rms_error(rough[:, -tenth:], output[:, -tenth:]))


def many_tokens(subject: Subject, tally: Tally) -> None:
    """The chunk form over a long sequence: finite, its second half at most ten times the first; a linear rule keeps its digits."""
    by_token = subject.package.manifest.get("parallel_form", {}).get("kind") == "token_by_token"
    tokens = MANY if is_linear(subject) and not by_token else SEVERAL
    result = run_long(subject, tokens)
    tally.require(f"not finite after {tokens:,} tokens: {', '.join(result.broken)}", not result.broken)
    if result.broken:
        return
    if is_bounded(subject):
        tally.add(f"the second half grew {result.growth:.1f} times", DRIFT * result.growth / GROWTH)
    if is_linear(subject):
        tally.add("float32 against float64", result.drift)
        tally.add("float32 against float64 in the last tenth", result.drift_at_end)
    tally.remarks.append(f"{tokens:,} tokens, drift of float32 {result.drift:.1e}, {result.drift_at_end:.1e} at the end")


def keeps_no_total(subject: Subject) -> bool:
    """f_divergence is left out: its weights sum to their total before and after every token, and each costs a numerical solution."""
    return bool(subject.fields["retention"]["kind"] != "f_divergence")


def is_bounded(subject: Subject) -> bool:
    """True if a step against the gradient leads anywhere: −⟨u, v⟩ of a deep memory falls for ever, faster with every step."""
    return has_one_weight(subject) or subject.fields["attentional_bias"]["kind"] != "dot_product"


def has_one_weight(subject: Subject) -> bool:
    return subject.fields["memory"]["kind"] in ("matrix", "vector")


def is_linear(subject: Subject) -> bool:
    """True if the state's recurrence is affine in the state."""
    fields = subject.fields
    bias, retention = fields["attentional_bias"], fields["retention"]["kind"]
    quadratic = bias["kind"] in ("l2", "dot_product") and bias.get("clip") is None
    plain = has_one_weight(subject) and fields["memory"]["norm"] == "none" and retention in ("none", "l2")
    return quadratic and plain and subject.literal.kind != "muon"


GUARDS = (
    Check("guards", "inputs of 10⁴: finite where the literal model is, in float32, too", 0.0, large_inputs),
    Check("guards", "residuals and weights near 0: finite in float32 where the literal model is", 0.0, small_inputs, keeps_no_total),
    Check("guards", "late tokens that overflow: no wrong number before them, earlier tiles keep their bits", 0.0, late_overflow),
    Check("guards", "long sequences: finite, bounded; linear rules hold in float32", DRIFT, many_tokens, keeps_no_total, quick=False),
)
