"""The distance of the kernels from the float64 form, and its limit: the oracle that a speed must pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from miras_compiler.bench.subject import DOUBLE, MeasuredPackage, Regime, Shape, by_entry
from miras_compiler.errors import InternalError

PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.bmm.default, torch.ops.aten.addmm.default, torch.ops.aten.baddbmm.default}
LIMITS = {torch.float32: (1e-5, 4.0), torch.bfloat16: (5e-3, 2.0)}  # of the RMS error, and of that error over the form's own
CALM = 2.0  # largest amplification at which runs in different precisions are compared
STEADY = 4.0  # largest sensitivity: that of a memory that hardly learns is 1.5 to 3, of one with a chunk that is out of hand 5 to 1000
LARGEST = 1e6  # outputs and states: beyond, a rule has exploded
LEAST = 1e-5  # steps are made no smaller
SEEDS = 16  # draws of which one is to be steady
TRIES = 4  # draws of the form's own error
SLIGHT = 1e-6  # relative change by which it is measured
THOUSAND = 1000  # tokens
HEADS = 4  # of a whole shape that are compared

Tensors = dict[str, Tensor]
Drawn = TypeVar("Drawn")


class RoundedProducts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every matrix product takes its operands rounded to bfloat16, with every seed on another grid as fine; `rounded` counts them."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rounded = 0
        self.grid = 2 ** (seed / TRIES)

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if function in PRODUCTS:
            self.rounded += 1
            args = tuple(rounded(a, self.grid) if isinstance(a, Tensor) and a.is_floating_point() else a for a in args)
        return function(*args, **(kwargs or {}))


def rounded(x: Tensor, grid: float) -> Tensor:
    """x on the grid of bfloat16, made finer or coarser by a factor; numbers of bfloat16 itself stay."""
    plain = x.bfloat16().to(x.dtype)
    return plain if grid == 1 else torch.where(plain == x, x, (x * grid).bfloat16().to(x.dtype) / grid)


def lowered(inputs: Tensors, dtype: torch.dtype, gates: torch.dtype | None = None) -> Tensors:
    """The inputs in the dtype of a run; all but queries, keys and values in `gates`, where that is given."""
    return {name: x.to(dtype if name in ("q", "k", "v") else gates or dtype) for name, x in inputs.items()}


def single(state: Mapping[str, Tensor]) -> Tensors:
    """A state in float32; positions and lengths keep their type."""
    return {name: x.float() if x.is_floating_point() else x for name, x in state.items()}


class WorstEntry(NamedTuple):
    """The entry nearest to its limit, or farthest beyond it: its error and its limit."""

    entry: str
    error: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.error <= self.limit


def cotangents(results: Mapping[str, Tensor]) -> Tensors:
    """Random gradients of the outputs, the same for every precision."""
    found = {}
    for index, name in enumerate(sorted(results)):
        generator = torch.Generator().manual_seed(100 + index)
        drawn = torch.randn(results[name].shape, generator=generator, dtype=torch.float32).bfloat16()
        found[name] = drawn.to(results[name].device).double()
    return found


def run(
    operator: Callable[..., Any],
    inputs: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    cu_seqlens: Tensor | None = None,
    weights: Callable[[Mapping[str, Tensor]], Tensors] = cotangents,
    **options: Any,
) -> Tensors:
    """Outputs as `o`, and as `by_entry` names states; gradients as "d NAME". States in float64 for float64 tokens, else in float32."""
    work = torch.float64 if inputs["q"].dtype == DOUBLE else torch.float32
    leaves = {name: x.clone().requires_grad_() for name, x in inputs.items()}
    states = {name: x.to(work).clone().requires_grad_() if x.is_floating_point() else x for name, x in state.items()}
    o, final = operator(**leaves, initial_state=states, output_final_state=True, cu_seqlens=cu_seqlens, **options)
    results = {"o": o, **by_entry(final, inputs)}
    floating = {name: x for name, x in results.items() if x.is_floating_point()}
    chosen = weights(floating)
    total = torch.stack([(x.double() * chosen[name]).sum() for name, x in floating.items()]).sum()
    tracked = {**leaves, **by_entry({name: x for name, x in states.items() if x.is_floating_point()}, inputs)}
    gradients = torch.autograd.grad(total, list(tracked.values()), allow_unused=True)
    found = {f"d {name}": g.detach() for name, g in zip(tracked, gradients, strict=True) if g is not None}
    return {**{name: x.detach() for name, x in results.items()}, **found}


def own_error_of(
    subject: MeasuredPackage,
    inputs: Tensors,
    state: Tensors,
    dtype: torch.dtype,
    cu_seqlens: Tensor | None = None,
    weights: Callable[[Mapping[str, Tensor]], Tensors] = cotangents,
    seed: int = 0,
) -> Tensors:
    """The result of the PyTorch form in the precision of the kernels: float32, or float64 with the operands of products rounded.

    Every `seed` rounds otherwise. Products are rounded in one thread, forward and backward: it is by thread that they are. InternalError
    where they are in one direction alone; a memory that is a vector has none.
    """
    if dtype == torch.float32:
        return run(subject.reference, lowered(inputs, dtype), perturbed(state, seed), cu_seqlens, weights)
    forward = 0

    def counted(results: Mapping[str, Tensor]) -> Tensors:
        nonlocal forward
        forward = mode.rounded
        return weights(results)

    with torch.autograd.set_multithreading_enabled(False), RoundedProducts(seed) as mode:
        found = run(subject.reference, inputs, state, cu_seqlens, counted)
    if (forward == 0) != (mode.rounded == forward):
        raise InternalError(f"{forward} products were rounded forward and {mode.rounded - forward} backward")
    return found


def rms(actual: Tensor, expected: Tensor) -> float:
    """Root mean square of the error over that of the reference."""
    scale = float(expected.double().square().mean().sqrt())
    error = float((actual.double() - expected.double()).square().mean().sqrt())
    return error / (scale or 1.0) if math.isfinite(error) else math.inf


def compare(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], own: Mapping[str, Tensor], dtype: torch.dtype) -> WorstEntry:
    """The worst entry; one that is missing is infinitely wrong."""
    limit, factor = LIMITS[dtype]
    worst = WorstEntry("", 0.0, limit)
    for name, x in expected.items():
        if not x.is_floating_point():
            continue
        error = rms(actual[name], x) if name in actual else math.inf
        allowed = max(limit, factor * rms(own[name], x))
        if not error / allowed <= worst.error / worst.limit or not worst.entry:
            worst = WorstEntry(name, error, allowed)
    return worst


def perturbed(state: Tensors, seed: int) -> Tensors:
    """The state with every number moved by at most the part of itself that rounding to float32 may take; seed 0 moves none."""
    if seed == 0:
        return state
    unit = torch.finfo(torch.float32).eps / 2
    return {name: x + unit * x * noise(x, seed).clamp(-1, 1) if x.is_floating_point() else x for name, x in state.items()}


def judge(found: Tensors, exact: Tensors, own: Callable[[int], Tensors], dtype: torch.dtype) -> WorstEntry:
    """The worst entry; `own` gives the form's own result by seed.

    Its error is often a few large numbers, and in one draw of luck a half or a third of another: where a limit of one draw is missed, that
    of the worst of TRIES counts.
    """
    runs = [own(0)]
    entry = compare(found, exact, runs[0], dtype)
    if entry.passed:
        return entry
    runs += [own(seed) for seed in range(1, TRIES)]
    return compare(found, exact, worst(runs, exact), dtype)


def worst(found: Sequence[Tensors], expected: Tensors) -> Tensors:
    """Of every result the one that is furthest from the expected one."""
    floating = [name for name, x in expected.items() if x.is_floating_point()]
    return {name: max((each[name] for each in found), key=lambda x: rms(x, expected[name])) for name in floating}


def amplification(subject: MeasuredPackage, inputs: Tensors, state: Tensors) -> float:
    """Relative change of the output per relative change of v, in float64."""
    v = inputs["v"]
    change = SLIGHT * noise(v)
    with torch.no_grad():
        before = subject.reference(**inputs, initial_state=state)[0]
        after = subject.reference(**{**inputs, "v": v + change}, initial_state=state)[0]
    return rms(after, before) / rms(v + change, v)


def rounding_growth(subject: MeasuredPackage, inputs: Tensors, state: Tensors) -> float:
    """The factor by which the error of the PyTorch form in float32 grows per 1,000 tokens: the root of its growth over whole thousands."""
    with torch.no_grad():
        exact = subject.reference(**inputs, initial_state=state)[0]
        rounded = subject.reference(**lowered(inputs, torch.float32), initial_state=single(state))[0]
    thousands = range(0, exact.shape[1] - THOUSAND + 1, THOUSAND)
    errors = [rms(rounded[:, first : first + THOUSAND], exact[:, first : first + THOUSAND]) for first in thousands]
    return float((errors[-1] / errors[0]) ** (1 / (len(errors) - 1))) if math.isfinite(errors[-1]) else math.inf


def sensitivity(subject: MeasuredPackage, inputs: Tensors, state: Tensors, cu_seqlens: Tensor | None = None) -> float:
    """Relative change of an output or a gradient, the largest of all, per relative change of the weights, in float64.

    Infinite for a rule that explodes: its numbers grow together, and each is steady beside the others.
    """
    moved = {name: x + SLIGHT * x.square().mean().sqrt() * noise(x) for name, x in state.items() if x.is_floating_point()}
    other = {**state, **moved}
    before, after = (run(subject.reference, inputs, each, cu_seqlens) for each in (state, other))
    if not is_bounded({name: x for name, x in before.items() if name in subject.axes}):
        return math.inf
    return max(rms(after[name], x) for name, x in before.items() if x.is_floating_point()) / SLIGHT


def is_bounded(results: Mapping[str, Tensor]) -> bool:
    """True if outputs and states stay below LARGEST; nan does not."""
    return all(bool((x.abs() < LARGEST).all()) for x in results.values() if x.is_floating_point())


def steady(
    draw: Callable[[Regime, int], Drawn], sense: Callable[[Drawn], float], regime: Regime, *, calms: bool = True
) -> tuple[Drawn, float]:
    """Draws in the regime, with smaller steps and decays until changes grow no more than STEADY or they are least; and that growth.

    Where `calms` is false the regime stays as it is, and only other seeds are tried.

    A memory with LayerNorm has chunks whose gradients multiply a change of the weights by hundreds. One of them makes nearly all of the
    error of all, and that of the form that kernels are measured by: both are draws of luck then, and a limit says nothing. So it is where
    a weight lies as near to the threshold of a mirror map as rounding moves it: there, smaller steps do not help, but another `seed` does.
    """
    given = regime
    while True:
        drawn = draw(regime, 0)
        sensed = sense(drawn)
        if not calms or regime.eta < LEAST or sensed <= STEADY:
            break
        regime = regime.calmer()
    if not sensed <= STEADY:
        for seed in range(1, SEEDS):
            other = draw(given, seed)
            if (found := sense(other)) <= STEADY:
                return other, found
    return drawn, sensed


def noise(x: Tensor, seed: int = 2) -> Tensor:
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE).to(x.device)


def calm_inputs(subject: MeasuredPackage, shape: Shape, dtype: torch.dtype, heads: list[int]) -> tuple[Tensors, Tensors, float]:
    """Inputs and a state on which precisions stay together over the whole length, gradients too, as seen on `heads`; the amplification.

    Steps and decays are made smaller until they do.
    """
    state = subject.state(shape.batch, shape)
    start = subject.state_of_heads(state, heads)

    def draw(regime: Regime, seed: int) -> tuple[Tensors, float]:
        while True:
            inputs = subject.inputs(shape, regime, dtype, seed)
            grown = amplification(subject, subject.of_heads(inputs, heads), start)
            if grown <= CALM:
                return inputs, grown
            regime = regime.calmer()

    def sense(drawn: tuple[Tensors, float]) -> float:
        return sensitivity(subject, subject.of_heads(drawn[0], heads), start)

    (inputs, grown), _ = steady(draw, sense, Regime(0.05 if subject.deep else 0.5))
    return inputs, state, grown


def verify_shape(subject: MeasuredPackage, shape: Shape, dtype: torch.dtype, **options: Any) -> WorstEntry:
    """The whole shape in one call of the operator, and the last HEADS heads of all sequences against the float64 form.

    More than one, since the error of a gate's gradient, a sum over all later tokens, is a few large numbers per head and sequence.
    """
    heads = [*range(shape.heads)[-HEADS:]]
    inputs, state, _ = calm_inputs(subject, shape, dtype, heads)
    whole: Tensors = {}

    def weights_of_all(results: Mapping[str, Tensor]) -> Tensors:
        whole.update(cotangents(results))
        return whole

    def weights_of_heads(results: Mapping[str, Tensor]) -> Tensors:
        return subject.of_heads({name: whole[name] for name in results}, heads)

    found = run(subject.operator, lowered(inputs, dtype, torch.float32), state, weights=weights_of_all, **options)
    results = {name: x for name, x in found.items() if name in subject.axes}
    gradients = {name.removeprefix("d "): x for name, x in found.items() if name not in subject.axes}
    part = subject.of_heads(results, heads) | {f"d {name}": x for name, x in subject.of_heads(gradients, heads).items()}
    few, start = subject.of_heads(inputs, heads), subject.state_of_heads(state, heads)
    expected = run(subject.reference, few, start, weights=weights_of_heads)
    return judge(part, expected, lambda seed: own_error_of(subject, few, start, dtype, weights=weights_of_heads, seed=seed), dtype)
