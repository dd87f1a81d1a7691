"""Time and memory of a GPU. The other modules know only `Clock`."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Protocol

import torch

WARM = 300.0  # milliseconds of calls before the first that counts: an idle GPU takes a while to reach its clock rate
CALLS, ENOUGH = (5, 100), 2000.0  # how many calls are timed: as many as take so many milliseconds, between two numbers


class Clock(Protocol):
    """A device's clock: the functions that a measurement calls."""

    def timed(self, function: Callable[[], object]) -> Callable[[], float]:
        """Calls the function once, and returns a function that gives its milliseconds when it is done."""

    def median_ms(self, function: Callable[[], object]) -> float:
        """Median time of a call, in milliseconds."""

    def peak_gib(self, function: Callable[[], object]) -> float:
        """The peak of allocated memory during a call, in GiB, with the memory that was allocated before."""


class CudaClock:
    """CUDA events around calls that follow each other without waiting, after some that warm up.

    Inputs of real shapes do not fit into the L2 cache, so that every call reads them from memory.
    """

    def timed(self, function: Callable[[], object]) -> Callable[[], float]:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        function()
        end.record()

        def milliseconds() -> float:
            end.synchronize()
            return float(start.elapsed_time(end))

        return milliseconds

    def median_ms(self, function: Callable[[], object]) -> float:
        self.timed(function)()  # compiles
        last = self.timed(function)()
        for _ in range(round(WARM / last)):
            function()
        calls = min(max(round(ENOUGH / last), CALLS[0]), CALLS[1])
        times = [self.timed(function) for _ in range(calls)]
        return statistics.median(time() for time in times)

    def peak_gib(self, function: Callable[[], object]) -> float:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / 2**30
