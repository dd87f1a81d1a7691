"""The claims about the kernels of one package at one shape, each with the deviation that was found."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from miras_compiler.bench.forced import forced
from miras_compiler.bench.precision import (
    CALM,
    STEADY,
    THOUSAND,
    Tensors,
    WorstEntry,
    amplification,
    judge,
    lowered,
    own_error_of,
    rounding_growth,
    run,
    sensitivity,
    single,
    steady,
)
from miras_compiler.bench.subject import MeasuredPackage, Regime, Shape, by_entry

GRAPHS = 3.0  # how many torch.compile may make over all lengths
REFUSED = "runs in PyTorch"  # a row of a package whose kernels do not hold these widths
SENSITIVE = ": sensitivity"  # of a free-running row, told
MEMBERS = {"cuda": (4, 8), "cpu": (1, 2)}  # sequences and heads: a gate's gradient has a few large errors in each, and luck in few of them


@dataclass(frozen=True)
class Deviation:
    """The distance of kernels from float64 in one check: right within `limit`, which is infinite where the error is a measure and no claim.

    `entry` is the tensor with the worst error, or the problem that ended the check.
    """

    check: str
    entry: str
    error: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.error <= self.limit

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def deviation_of(check: str, found: WorstEntry) -> Deviation:
    return Deviation(check, *found)


def holds(check: str, is_so: bool) -> Deviation:
    return Deviation(check, "", 0.0 if is_so else math.inf, 0.0)


@dataclass(frozen=True)
class Case:
    """A package at some widths, in the precision of its tokens; `forced` tokens are run teacher-forced."""

    subject: MeasuredPackage
    dtype: torch.dtype
    shape: Shape
    forced: int

    def rows(self) -> Iterator[Deviation]:
        yield from self.free_running()
        yield from self.teacher_forced()
        yield self.split()
        yield self.decoded()
        yield self.prefix()
        yield self.graphs()

    @property
    def eta(self) -> float:
        return 0.05 if self.subject.deep else 0.5

    def drawn(self, batch: int, tokens: int, heads: int, regime: Regime, seed: int = 0) -> tuple[Tensors, Tensors]:
        shape = self.shape._replace(batch=batch, tokens=tokens, heads=heads)
        return self.subject.inputs(shape, regime, self.dtype, seed), self.subject.state(batch, shape, seed + 1)

    def steady(self, batch: int, tokens: int, heads: int, regime: Regime, *, calms: bool = True) -> tuple[tuple[Tensors, Tensors], float]:
        """The same, on which float32 and float64 stay close in every form: with smaller steps until they do; and its sensitivity."""

        def draw(regime: Regime, seed: int) -> tuple[Tensors, Tensors]:
            return self.drawn(batch, tokens, heads, regime, seed)

        return steady(draw, lambda drawn: sensitivity(self.subject, *drawn), regime, calms=calms)

    def ours(self, inputs: Tensors, state: Tensors, cu_seqlens: Tensor | None = None) -> Tensors:
        return run(self.subject.operator, lowered(inputs, self.dtype), state, cu_seqlens, backend="triton")

    def compared(self, inputs: Tensors, state: Tensors, cu_seqlens: Tensor | None = None) -> WorstEntry:
        """Kernels against the PyTorch form, which takes packed sequences, all of one length, as a batch: some take token after token."""
        sequences = len(inputs["q"]) if cu_seqlens is None else len(cu_seqlens) - 1
        apart = self.subject.members(inputs, sequences)

        def whole(found: Tensors) -> Tensors:
            return self.subject.members(found, len(inputs["q"]))

        exact = whole(run(self.subject.reference, apart, state))

        def own(seed: int) -> Tensors:
            return whole(own_error_of(self.subject, apart, state, self.dtype, seed=seed))

        return judge(self.ours(inputs, state, cu_seqlens), exact, own, self.dtype)

    def free_running(self) -> Iterator[Deviation]:
        """Whole sequences on which runs of different precisions stay together.

        Where smaller steps do not help, as near a singular point of a loss, a row with the sensitivity of the sequence comes first.
        """
        sequences, heads = MEMBERS[self.subject.device]
        regimes = {
            "calm": (Regime(self.eta), True),
            "correlated keys, no decay": (Regime(0.02 if self.subject.deep else 1.0, 0.0, 0.3), True),
            "strong decay": (Regime(self.eta, 6.0), False),  # not calmed: it would be strong no more
        }
        for label, (regime, calms) in regimes.items():
            (inputs, state), sensed = self.steady(sequences, 3 * self.subject.tile + 5, heads, regime, calms=calms)
            if amplification(self.subject, inputs, state) <= CALM:
                if not sensed <= STEADY:
                    yield Deviation(f"free-running, {label}{SENSITIVE}", "", sensed, math.inf)
                yield deviation_of(f"free-running, {label}", self.compared(inputs, state))

    def teacher_forced(self) -> Iterator[Deviation]:
        """A real length, every chunk from its float64 boundary state, packed; and the same again, bit by bit.

        The growth of rounding in a run that is not forced is reported, without a limit.
        """
        shape = self.shape._replace(batch=1, tokens=self.forced, heads=MEMBERS[self.subject.device][1])
        if self.forced >= 2 * THOUSAND:
            growth = rounding_growth(self.subject, self.subject.inputs(shape, Regime(self.eta), self.dtype), self.subject.state(1, shape))
            yield Deviation(f"free-running, T {self.forced}, float32: growth of rounding per 1,000 tokens", "o", growth, math.inf)
        given = forced(self.subject, shape, self.dtype, Regime(self.eta))
        yield deviation_of(f"teacher-forced, T {int(given.cu_seqlens[-1])}", self.compared(*given))
        first_run = self.ours(*given)
        poison = torch.full((1 << (28 if self.subject.device == "cuda" else 20),), math.nan, device=self.subject.device)
        del poison
        again = self.ours(*given)
        yield holds("same bits twice, over memory full of NaN", all(torch.equal(x, again[name]) for name, x in first_run.items()))

    def judged(self, found: Tensors, inputs: Tensors, state: Tensors) -> WorstEntry:
        """Outputs and states without gradients."""
        exact = run(self.subject.reference, inputs, state)
        kept = {name: x for name, x in exact.items() if name in found}
        return judge(found, kept, lambda seed: own_error_of(self.subject, inputs, state, self.dtype, seed=seed), self.dtype)

    def split(self) -> Deviation:
        """A sequence in four calls, cut inside of chunks too."""
        tile = self.subject.tile
        (inputs, state), _ = self.steady(1, 2 * tile + 7, 2, Regime(self.eta))
        options = {"backend": "triton"} if self.subject.device == "cpu" else {}  # on a GPU, states too large to resume go to PyTorch
        outputs, current = [], single(state)
        with torch.no_grad():
            for first, end in pairwise((0, min(3, tile), tile + 1, tile + 2, 2 * tile + 7)):
                piece = self.subject.tokens(lowered(inputs, self.dtype), first, end)
                o, current = self.subject.operator(**piece, initial_state=current, output_final_state=True, **options)
                outputs.append(o)
        whole = {"o": torch.cat(outputs, 1), **by_entry(current, inputs)}
        return deviation_of("split in four = whole", self.judged(whole, inputs, state))

    def decoded(self) -> Deviation:
        """Token by token, the state handed on."""
        length = 9
        (inputs, state), _ = self.steady(2, length, 2, Regime(self.eta))
        given, current = lowered(inputs, self.dtype), single(state)
        outputs = []
        with torch.no_grad():
            for t in range(length):
                piece = self.subject.tokens(given, t, t + 1)
                o, current = self.subject.decoder(**piece, initial_state=current, output_final_state=True, backend="triton")
                outputs.append(o)
        found = {"o": torch.cat(outputs, 1), **by_entry(current, inputs)}
        return deviation_of("token by token", self.judged(found, inputs, state))

    def prefix(self) -> Deviation:
        """Tokens from the middle of the second chunk on leave the outputs before them as they are."""
        first = self.subject.tile + self.subject.tile // 2
        (inputs, state), _ = self.steady(1, 2 * self.subject.tile + 7, 2, Regime(self.eta))
        given = lowered(inputs, self.dtype)
        before, behind = self.subject.tokens(given, 0, first), self.subject.tokens(given, first)
        changed = {n: torch.cat((x, behind[n] * 0.5), 1) if x.shape != given[n].shape else x for n, x in before.items()}
        start = single(state)
        with torch.no_grad():
            o, o2 = (self.subject.operator(**each, initial_state=start, backend="triton")[0] for each in (given, changed))
        bits, bits2 = (x[:, :first].contiguous().view(torch.uint8) for x in (o, o2))  # those of a sequence that diverges, too
        return holds("prefix causality, bits", torch.equal(bits, bits2))

    def graphs(self) -> Deviation:
        """torch.compile(fullgraph=True) over several lengths: the number of graphs."""
        graphs = 0

        def count(module: Any, _: Any) -> Any:
            nonlocal graphs
            graphs += 1
            return module.forward

        torch._dynamo.reset()

        def call(inputs: Tensors, state: Tensors) -> Tensor:
            return self.subject.operator(**inputs, initial_state=state, backend="triton")[0]  # type: ignore[no-any-return]

        compiled = torch.compile(call, fullgraph=True, backend=count)
        for tokens in (16, 25, 19, 70, 17):
            inputs, state = self.drawn(1, tokens, 2, Regime(0.05))
            compiled(lowered(inputs, self.dtype), single(state))
        return Deviation("torch.compile(fullgraph=True): graphs over 5 lengths", str(graphs), float(graphs), GRAPHS)
