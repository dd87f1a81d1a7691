"""A package in a process of its own, and its operators and layers as functions here, with their gradients.

The oracles and all comparisons stay in this process; the other one gets tensors and answers with tensors. A package that exits, hangs,
crashes or changes global settings there changes nothing here: its calls raise `PackageEnded`, or return values that can be compared.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from miras_compiler.verify import wire
from miras_compiler.verify.poison import is_poisoned

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600.0  # seconds that one call may take
INTERPRET = "TRITON_INTERPRET"  # the environment variable by which Triton interprets kernels
START = 120.0  # and the start of a process
DOING = {
    "open": "when it was imported",
    "models": "when its models were imported",
    "call": "when it was called",
    "backward": "in its backward pass",
    "layer": "when its layer was made",
    "widths": "when its layer was made without arguments",
    "layer_call": "when its layer was called",
}


class KernelsRefused(RuntimeError):
    """The package's kernels do not hold a state of these widths, which is known before they are launched; operators run in PyTorch."""


class PackageEnded(Exception):
    """The package's process has ended, or was ended because it did not answer."""


BASES = {"ValueError": ValueError, "TypeError": TypeError, "refused": KernelsRefused, "": RuntimeError}


class Host:
    """The process that has imported torch, and forks for every package; it ends when this one does.

    Where there is no GPU, it has imported Triton's interpreter, too: Triton decides when it is imported whether kernels are interpreted.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.control, theirs = socket.socketpair()
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        interpreter = {} if torch.cuda.is_available() else {INTERPRET: "1"}
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", **interpreter}
        command = [sys.executable, "-m", "miras_compiler.verify.host", str(theirs.fileno())]
        self.child = subprocess.Popen(
            command,
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()

    @property
    def alive(self) -> bool:
        return self.owner == os.getpid() and self.child.poll() is None

    def fork(self, pipes: Sequence[int]) -> None:
        socket.send_fds(self.control, [b"x"], list(pipes))

    def close(self) -> None:
        self.control.close()
        if self.owner == os.getpid():
            self.child.wait(START)


_hosts: list[Host] = []


def host() -> Host:
    """The one of this process, started where there is none."""
    if not _hosts or not _hosts[0].alive:
        _hosts[:] = [Host()]
        atexit.register(_hosts[0].close)
    return _hosts[0]


class Process:
    """One package in a process of its own, imported there before the first request; requests in turn."""

    def __init__(self, folder: Path, name: str, environment: Mapping[str, str], on_gpu: bool = False) -> None:
        threads = torch.get_num_threads()
        # The host keeps the working folder of its start, and this process may have left it.
        self.opening = {
            "folder": str(folder.absolute()),
            "name": name,
            "environment": dict(environment),
            "threads": threads,
            "on_gpu": on_gpu,
        }
        self.exports: tuple[str, ...] | None = None
        self.forget: list[int] = []
        self.problem = ""
        self.words = tempfile.TemporaryFile()  # noqa: SIM115
        to_read, self.requests = os.pipe()
        self.answers, to_write = os.pipe()
        host().fork([to_read, to_write, self.words.fileno()])
        os.close(to_read)
        os.close(to_write)
        self.pid = 0

    def open(self) -> tuple[str, ...]:
        """Imports the package without its models, once, and returns the names that it exports; raises as `request` does."""
        if self.exports is None:
            self.exports = tuple(self._ask("open", **self.opening))
        return self.exports

    def request(self, verb: str, **given: Any) -> Any:
        """The value of the answer; the package's exception, by its name; PackageEnded where there is no answer, now and ever after."""
        self.open()
        return self._ask(verb, **given)

    def _ask(self, verb: str, **given: Any) -> Any:
        if self.problem:
            raise PackageEnded(self.problem)
        forget, self.forget = self.forget, []
        patience = START
        try:
            if not self.pid:
                self.pid = wire.receive(self.answers, START)
            patience = PATIENCE
            wire.send(self.requests, {"verb": verb, "forget": forget, "poisoned": is_poisoned(), **given})
            answer = wire.receive(self.answers, patience)
            error, value = answer.get("error"), answer.get("value")
        except wire.Closed:
            self.end(f"{DOING[verb]}, the package ended its process{self.last_words()}")
        except wire.TooLate:
            late = f"{DOING[verb]}, the package did not answer" if self.pid else "the process for the package did not begin"
            self.end(f"{late} within {patience:g} s")
        except Exception as problem:
            self.end(f"{DOING[verb]}, the package wrote into the pipe of its answers ({type(problem).__name__}: {problem})")
        if self.problem:
            raise PackageEnded(self.problem)
        if error:
            name, base, text = map(str, error)
            raise type(name, (BASES.get(base, RuntimeError),), {})(text)
        return value

    def last_words(self) -> str:
        self.words.seek(0)
        lines = self.words.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:200]}" if lines else ""

    def end(self, problem: str) -> None:
        """Ends the process; every later request raises PackageEnded."""
        if self.problem:
            return
        self.problem = problem
        for pipe in (self.requests, self.answers):
            os.close(pipe)
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self.words.close()

    def tracked(self, verb: str, tensors: Any, **given: Any) -> Any:
        """The answer to a request whose `tensors`, a dictionary, are differentiable: gradients flow through the other process."""
        places, leaves = wire.numbered(tensors)
        if not torch.is_grad_enabled() or not any(leaf.requires_grad for leaf in leaves):
            return self.request(verb, **tensors, **given, tracked=False)["result"]
        call = _Call(self, verb, places, given)
        found = _Remote.apply(call, *leaves)  # type: ignore[no-untyped-call]
        return wire.fill_tensors(call.result, found)


class _Call:
    """One tracked request, and after it the form of its result and the number of its graph."""

    def __init__(self, process: Process, verb: str, places: Any, given: Mapping[str, Any]) -> None:
        self.process = process
        self.verb = verb
        self.places = places
        self.given = given
        self.result: Any = None
        self.graph = -1

    def __del__(self) -> None:
        self.process.forget.append(self.graph)


class _Remote(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Call, *leaves: Tensor) -> tuple[Tensor, ...]:
        ctx.call = call
        ctx.tracked = [leaf.requires_grad for leaf in leaves]
        ctx.set_materialize_grads(False)
        answer = call.process.request(call.verb, **wire.fill_tensors(call.places, leaves), **call.given, tracked=True)
        call.graph = answer["graph"]
        call.result, tensors = wire.numbered(answer["result"])
        ctx.live = answer["live"]
        ctx.mark_non_differentiable(*(tensor for tensor, live in zip(tensors, ctx.live, strict=True) if not live))
        return tuple(tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        given = [cotangent for cotangent, live in zip(cotangents, ctx.live, strict=True) if live]
        gradients = iter(ctx.call.process.request("backward", graph=ctx.call.graph, cotangents=given))
        return (None, *(next(gradients) if tracked else None for tracked in ctx.tracked))


class RemoteOperator:
    """An operator of the package in the process; `in_parts`: its backward kernels take one tile of tokens after another."""

    def __init__(self, process: Process, target: str, in_parts: bool = False, **options: object) -> None:
        self.process = process
        self.target = target
        self.in_parts = in_parts
        self.options = options

    def __call__(self, *arguments: Tensor, **keywords: Any) -> Any:
        tensors = {"arguments": list(arguments), "keywords": {**keywords, **self.options}}
        return self.process.tracked("call", tensors, target=self.target, in_parts=self.in_parts)


class RemoteLayer:
    """A layer of the package in the process."""

    def __init__(self, process: Process, number: int, tensors: Mapping[str, Tensor], learned: Sequence[str]) -> None:
        self.process = process
        self.number = number
        self.tensors = tensors
        self.learned = learned

    def __call__(self, x: Tensor, tensors: Mapping[str, Tensor], past: object = None, **options: object) -> tuple[Tensor, object]:
        given = {"x": x, "tensors": dict(tensors), "options": options}
        o, cache = self.process.tracked("layer_call", given, layer=self.number, past=past)
        return o, cache


class RemoteLayers:
    """The constructor of the package's layer in the process."""

    def __init__(self, process: Process, name: str) -> None:
        self.process = process
        self.name = name

    def __call__(self, seed: int, **arguments: object) -> RemoteLayer:
        made = self.process.request("layer", name=self.name, keywords=arguments, seed=seed)
        return RemoteLayer(self.process, made["layer"], made["tensors"], made["learned"])

    def shapes(self) -> Mapping[str, Sequence[int]]:
        found: Mapping[str, Sequence[int]] = self.process.request("widths", name=self.name)
        return found
