"""A rival of a package's kernels on one GPU: the work that it does, and its distance from float64."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from miras_compiler.bench.clock import Clock
from miras_compiler.bench.subject import Shape


class PeerWork(NamedTuple):
    """The work that a peer repeats: a package, a shape, and the package's chunk length."""

    package: Path
    shape: Shape
    chunk: int


class Contender(NamedTuple):
    """A peer's forward pass on inputs of one shape, and the tensors that it is differentiated by."""

    label: str
    forward: Callable[[], Tensor]
    leaves: tuple[Tensor, ...]


class Peer(NamedTuple):
    """`build` makes it, `error` is its distance from float64 at a small shape; `function` names the function that it computes."""

    module: str
    function: str
    build: Callable[[PeerWork], Contender]
    error: Callable[[PeerWork], float]

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None


def measure_peer(peer: Peer, setting: PeerWork, clock: Clock) -> dict[str, Any]:
    """Times at the shape; where that does not fit into memory, at half the sequences, and so on. The error is that of a small shape.

    A peer that cannot compute its error has no speed: the exception goes to the caller.
    """
    error, batch = peer.error(small(setting)), setting.shape.batch
    while True:
        times = _times(peer, setting._replace(shape=setting.shape._replace(batch=batch)), clock)
        if times or batch == 1:
            return {"error": error, "batch": batch, "remark": peer.function, **times}
        batch //= 2


def small(setting: PeerWork) -> PeerWork:
    """One sequence of four chunks, and two heads."""
    return setting._replace(shape=setting.shape._replace(batch=1, tokens=4 * setting.chunk, heads=2))


def _times(peer: Peer, setting: PeerWork, clock: Clock) -> dict[str, Any]:
    """Nothing where memory does not suffice."""
    try:
        return _measured(peer.build(setting), clock)
    except torch.OutOfMemoryError:
        return {}


def _measured(contender: Contender, clock: Clock) -> dict[str, Any]:
    with torch.no_grad():
        cotangent = torch.ones_like(contender.forward())

    def both() -> None:
        for x in contender.leaves:
            x.grad = None
        contender.forward().backward(cotangent)  # type: ignore[no-untyped-call]

    peak = clock.peak_gib(both)
    return {"label": contender.label, "forward": clock.median_ms(contender.forward), "both": clock.median_ms(both), "peak_gib": peak}
