"""The work of a child of a search for launches: it compiles candidates ahead, and tries them on the tensors of a real call.

The tensors are those that each kernel gets in one forward and backward pass. A candidate is right where it writes, twice, the same as the
launch that is shipped; float64 judges that one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from miras_compiler.bench.candidates import candidates
from miras_compiler.bench.clock import Clock
from miras_compiler.bench.roofline import around_launches
from miras_compiler.bench.speed import Work
from miras_compiler.bench.subject import MeasuredPackage, Shape
from miras_compiler.gpus.launch_table import Launch

CLOSE = 1e-2  # largest relative RMS difference between the results of two launches: they add up in another order
POISON = 7808.0  # stands where nothing has been written; bfloat16 holds it exactly
REPEATS, ENOUGH = (4, 20), 20.0  # how often a candidate is timed: as often as takes so many milliseconds, between two numbers
WARM = 300.0  # milliseconds of calls before the first that counts


class Ahead:
    """A kernel that is compiled where it would be launched."""

    def __init__(self, kernel: Any) -> None:
        self.kernel, self.arg_names = kernel, kernel.arg_names
        self.compiled: Any = None

    def __getitem__(self, grid: object) -> Callable[..., None]:
        def compile_only(*arguments: Any, **options: Any) -> None:
            self.compiled = self.kernel.warmup(*arguments, grid=grid, **options)
            self.compiled._init_handles()  # loads it, which fails where it takes too much shared memory

        return compile_only


@dataclass
class KernelCall:
    """One launch of a kernel in a pass: its `Launcher`, the sizes, the tensors."""

    subject: MeasuredPackage
    kernel: Any
    sizes: Any
    tensors: Sequence[Any]
    sums: dict[str, Tensor] = field(init=False)  # tensors that kernels add to, as they were

    def __post_init__(self) -> None:
        self.sums = {name: x.clone() for name, x in self.written.items() if self.kernel.makes[name].kind in ("totals", "shares", "sums")}

    @property
    def written(self) -> dict[str, Tensor]:
        """The tensors that the kernel writes."""
        return {name: x for name, x in zip(self.kernel.tensors, self.tensors, strict=True) if name in self.kernel.makes}

    def candidates(self) -> list[Launch]:
        return candidates(self.kernel, self.sizes, self.subject.kernels.LaunchRow)

    def start(self, launch: Launch | None, kernel: Any = None) -> None:
        """Starts it by a launch, or as it is shipped."""
        kernel = kernel or self.kernel
        if launch is None:
            kernel(self.sizes, self.tensors)
        else:
            kernel.start(self.sizes, self.tensors, self.subject.kernels.LaunchRow(self.subject.kernels.ANY, *launch))

    def results(self, launch: Launch | None) -> dict[str, Tensor]:
        """The tensors that a launch writes, into empty ones."""
        for name, x in self.written.items():
            if name in self.sums:
                x.copy_(self.sums[name])
            else:
                x.fill_(POISON)
        self.start(launch)
        return {name: x.detach().clone() for name, x in self.written.items()}

    def tried(self, launch: Launch | None, expected: Mapping[str, Tensor], clock: Clock) -> tuple[float, str]:
        """Milliseconds, and the fault."""
        try:
            if not (problem := difference(self.results(launch), expected)):
                ms = _milliseconds(clock, lambda: self.start(launch))
                if not (problem := difference(self.results(launch), expected)):
                    return ms, ""
        except Exception as failure:  # of Triton, or of a library under it
            problem = first_line(failure)
            torch.ones(1, device=self.subject.device).cpu()  # raises where the GPU takes no more work: then this process has to end
        return 0.0, problem


def calls_of(subject: MeasuredPackage, work: Work, launches: bool) -> list[KernelCall]:
    """The first launch of every kernel in a pass, forward and backward; the pass `launches` or just makes the tensors."""
    calls: dict[str, KernelCall] = {}

    def note(kernel: Any, sizes: Any, tensors: Sequence[Any], launch: Callable[[], None]) -> None:
        calls.setdefault(kernel.name, KernelCall(subject, kernel, sizes, tensors))
        if launches:
            launch()

    with around_launches(subject, note):
        work.both()
    return list(calls.values())


def compile_candidates(
    subject: MeasuredPackage, shape: Shape, dtype: torch.dtype, share: tuple[int, int], **options: Any
) -> Iterator[dict[str, Any]]:
    """Compiles every kernel's candidates, or one share of so many, for a shape but for its length."""
    work = Work(subject, shape._replace(tokens=2 * subject.tile), dtype, subject.operator, **options)
    jobs = [(call, launch) for call in calls_of(subject, work, launches=False) for launch in call.candidates()]
    for call, launch in jobs[share[0] :: share[1]]:
        began, row = time.perf_counter(), {"kernel": call.kernel.name, "launch": list(launch), "problem": ""}
        ahead, wide = Ahead(call.kernel.kernel), call.kernel.wide and Ahead(call.kernel.wide)
        try:
            call.start(launch, replace(call.kernel, kernel=ahead, wide=wide))
        except Exception as failure:  # of Triton, of its compiler, or of ptxas
            row["problem"] = first_line(failure)
        else:
            found = ahead.compiled or wide.compiled
            row |= {"registers": found.n_regs, "spills": found.n_spills, "shared": found.metadata.shared}
        yield row | {"seconds": round(time.perf_counter() - began, 1)}


def try_candidates(
    subject: MeasuredPackage, shape: Shape, dtype: torch.dtype, clock: Clock, ready: Mapping[str, Sequence[Launch]], **options: Any
) -> Iterator[dict[str, Any]]:
    """The time of every kernel with the shipped launch, None, and with each that is `ready`, at a shape.

    A row names the next candidate, too: an illegal access ends the process.
    """
    work = Work(subject, shape, dtype, subject.operator, **options)
    work.both()
    for _ in range(round(WARM / clock.timed(work.both)())):
        work.both()
    for call in calls_of(subject, work, launches=True):
        expected = call.results(None)
        for launch in (None, *ready.get(call.kernel.name, ())):
            about = {"kernel": call.kernel.name, "launch": launch and list(launch)}
            yield about | {"trying": True}
            ms, problem = call.tried(launch, expected, clock)
            yield about | {"ms": ms, "problem": problem}


def _milliseconds(clock: Clock, function: Callable[[], object]) -> float:
    """The median time of a launch that has been compiled."""
    number = min(max(round(ENOUGH / clock.timed(function)()), REPEATS[0]), REPEATS[1])
    times = [clock.timed(function) for _ in range(number)]
    return statistics.median(time() for time in times)


def difference(written: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """The tensor that differs from its expected values, and by how much; "" where none does."""
    for name, x in written.items():
        right, found = (each.detach().float() for each in (expected[name], x))
        error = float((found - right).norm() / (torch.where(right == POISON, 0.0, right).norm() + 1e-30))
        if not error <= CLOSE:
            return f"{name} differs by {error:.1e}"
    return ""


def first_line(problem: Exception) -> str:
    said = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {said[0][:200] if said else ''}"
