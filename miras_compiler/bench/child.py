"""The tasks of a child process: `python -m miras_compiler.bench.child TASK JSON` prints one JSON object a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from miras_compiler.bench.clock import CudaClock
from miras_compiler.bench.contender import PeerWork
from miras_compiler.bench.subject import MeasuredPackage, Shape
from miras_compiler.gpus import GPUS, gpu_class
from miras_compiler.gpus.launch_table import Launch

Rows = Iterator[dict[str, Any]]
OURS = {"backend": "triton"}  # never the PyTorch form, which "auto" falls back to


def check(given: Mapping[str, Any]) -> Rows:
    """The rows of one case; `rows` of them where that is given. Widths that kernels do not hold have one row that says why."""
    from miras_compiler.bench.checks import REFUSED, Case, Deviation

    case = Case(
        MeasuredPackage(Path(given["package"]), given["device"]), getattr(torch, given["dtype"]), Shape(*given["shape"]), given["forced"]
    )
    try:
        for row in islice(case.rows(), given.get("rows")):
            yield row.as_dict()
    except case.subject.too_large as refusal:
        yield Deviation(REFUSED, str(refusal), 0.0, 0.0).as_dict()


def warm(given: Mapping[str, Any]) -> Rows:
    """Compiles the kernels for a shape but for its length."""
    from miras_compiler.bench.speed import Work

    subject, shape, dtype = _subject(given)
    Work(subject, _short(subject, shape), dtype, subject.operator, **OURS).both()
    torch.cuda.synchronize()
    yield {"ready": True}


def warm_pytorch(given: Mapping[str, Any]) -> Rows:
    """Compiles the PyTorch form for a shape but for its length."""
    from miras_compiler.bench.speed import pytorch_form

    subject, shape, dtype = _subject(given)
    pytorch_form(subject, _short(subject, shape), dtype).both()
    torch.cuda.synchronize()
    yield {"ready": True}


def verify(given: Mapping[str, Any]) -> Rows:
    """Verdicts of float64 on the kernels, at a small shape and at the one that is given; ends after a bad one.

    With `launches` of their own, kernels of a chunk in progress, which are launched alike, are held against it, too.
    """
    from miras_compiler.bench.checks import Case
    from miras_compiler.bench.speed import deviations

    subject, shape, dtype = _subject(given)
    for at, deviation in deviations(subject, shape, dtype, **OURS):
        yield {"verified": str(at), "passed": deviation.passed, **deviation._asdict()}
    if deviation.passed and subject.has_grid and "launches" in given:
        row = Case(subject, dtype, shape, 0).split()
        yield {"verified": row.check, "passed": row.passed, "entry": row.entry, "error": row.error, "limit": row.limit}


def speed(given: Mapping[str, Any]) -> Rows:
    """The times of the kernels."""
    from miras_compiler.bench.speed import kernels

    subject, shape, dtype = _subject(given)
    yield kernels(subject, shape, dtype, CudaClock(), GPUS.get(gpu_class(torch.cuda.get_device_name())), **OURS)


def pytorch(given: Mapping[str, Any]) -> Rows:
    """The times of the PyTorch form under torch.compile."""
    from miras_compiler.bench.speed import measure, pytorch_form

    yield measure(pytorch_form(*_subject(given)), CudaClock())


def warm_peer(given: Mapping[str, Any]) -> Rows:
    """Compiles the kernels of a peer, at a short shape."""
    from miras_compiler.bench.contender import small
    from miras_compiler.bench.peers import PEERS

    contender = PEERS[given["peer"]].build(small(_work(given)))
    contender.forward().sum().backward()  # type: ignore[no-untyped-call]
    yield {"ready": True}


def peer(given: Mapping[str, Any]) -> Rows:
    """The times and the error of a peer."""
    from miras_compiler.bench.contender import measure_peer
    from miras_compiler.bench.peers import PEERS

    yield measure_peer(PEERS[given["peer"]], _work(given), CudaClock())


def compile_candidates(given: Mapping[str, Any]) -> Rows:
    """Compiles a `share` of the launches that are worth a try."""
    from miras_compiler.bench.tuning import compile_candidates

    subject, shape, dtype = _subject(given)
    yield from compile_candidates(subject, shape, dtype, given["share"], **OURS)


def try_candidates(given: Mapping[str, Any]) -> Rows:
    """The time of every kernel with each of the launches that are `ready`, and its fault if it has one."""
    from miras_compiler.bench.tuning import try_candidates

    ready = {name: [Launch(*each) for each in launches] for name, launches in given["ready"].items()}
    subject, shape, dtype = _subject(given)
    yield from try_candidates(subject, shape, dtype, CudaClock(), ready, **OURS)


def device(given: Mapping[str, Any]) -> Rows:
    """The device of this process."""
    yield {"device": torch.cuda.get_device_name() if torch.cuda.is_available() else "", "torch": torch.__version__}


def _subject(given: Mapping[str, Any]) -> tuple[MeasuredPackage, Shape, torch.dtype]:
    subject = MeasuredPackage(Path(given["package"]))
    subject.set_launches(given.get("launches", {}))
    return subject, Shape(*given["shape"]), getattr(torch, given["dtype"])


def _work(given: Mapping[str, Any]) -> PeerWork:
    return PeerWork(Path(given["package"]), Shape(*given["shape"]), given["chunk"])


def _short(subject: MeasuredPackage, shape: Shape) -> Shape:
    return shape._replace(tokens=2 * subject.tile)


TASKS: Mapping[str, Callable[[Mapping[str, Any]], Rows]] = {
    task.__name__: task
    for task in (check, warm, verify, speed, warm_peer, peer, warm_pytorch, pytorch, compile_candidates, try_candidates, device)
}


def main(task: str, arguments: str) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    for row in TASKS[task](json.loads(arguments)):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
