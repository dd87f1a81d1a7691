"""The process in which packages run: `python -m miras_compiler.verify.host SOCKET` imports torch once, and forks for every package.

Where kernels are interpreted, it imports also torch's compiler once, which the first operator of torch.library imports, and Triton,
whose interpreter it makes quicker.

A package's process answers requests until its pipe is closed. Whatever the package does there, exceptions, exits and changes of global
settings included, ends in an answer that is not there or is not right; the numbers are compared elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from miras_compiler.models.package import opened, part_of
from miras_compiler.verify import wire
from miras_compiler.verify.interpreter import quicken_interpreter
from miras_compiler.verify.package import operators_of
from miras_compiler.verify.poison import PoisonedAllocations, fenced

LONGEST = 900  # seconds after which a request is nobody's any more, and its process ends
BASES = (ValueError, TypeError)  # by which a caller tells a refusal from a failure


def main(control: socket.socket) -> None:
    """Forks for every three file descriptors that arrive: requests, answers, and where the package's own words go."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are nobody's zombies
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the asking process decides, and closes the pipes
    if os.environ.get("TRITON_INTERPRET") == "1":
        with contextlib.suppress(Exception):  # a package names the library that it lacks
            importlib.import_module("torch._dynamo")
        with contextlib.suppress(Exception):  # a later Triton's interpreter may be another
            quicken_interpreter()
    while True:
        _, pipes, _, _ = socket.recv_fds(control, 1, 3)
        if len(pipes) != 3:
            return
        if os.fork() == 0:
            control.close()
            os.setsid()
            requests, answers, words = pipes
            for stream in (1, 2):
                os.dup2(words, stream)
            wire.send(answers, os.getpid())
            with contextlib.suppress(wire.Closed):
                serve(requests, answers)
            os._exit(0)
        for pipe in pipes:
            os.close(pipe)


def serve(requests: int, answers: int) -> None:
    """Answers requests in turn: {"value": …}, or {"error": [type, base, text]}; base is "refused" of kernels that take no such inputs."""
    guest = Guest()
    while True:
        request = wire.receive(requests)
        signal.alarm(LONGEST)
        try:
            answer = {"value": guest.answer(**request)}
            wire.numbered(answer)
        except BaseException as problem:  # the package may raise anything, SystemExit too
            base = "refused" if guest.refuses(problem) else next((kind.__name__ for kind in BASES if isinstance(problem, kind)), "")
            answer = {"error": [type(problem).__name__, base, str(problem) or traceback.format_exc(limit=1).splitlines()[-1]]}
        wire.send(answers, answer)


class Guest:
    """One package, its layers and caches, and the graphs of results whose gradients may be asked for."""

    def __init__(self) -> None:
        self.held = contextlib.ExitStack()
        self.targets: Mapping[str, Callable[..., Any]] = {}
        self.module: Any = None
        self.numbers = itertools.count()
        self.graphs: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
        self.in_parts: set[int] = set()  # graphs
        self.layers: dict[int, torch.nn.Module] = {}
        self.caches: dict[int, Any] = {}
        self.device = "cpu"

    def answer(self, verb: str, forget: list[int], **given: Any) -> Any:
        for number in forget:
            self.graphs.pop(number, None)
        with PoisonedAllocations() if given.pop("poisoned", False) else contextlib.nullcontext():  # type: ignore[no-untyped-call]
            return getattr(self, f"do_{verb}")(**given)

    def refuses(self, problem: BaseException) -> bool:
        """True if the package's kernels raised this because they do not hold a state of these widths."""
        with contextlib.suppress(Exception):  # a package may lack the file that has the class
            return isinstance(problem, part_of(self.module, "runtime_triton").TooLarge)
        return False

    def do_open(self, folder: str, name: str, environment: Mapping[str, str], threads: int, on_gpu: bool) -> list[str]:
        """Imports the package, without its models, and says which names it exports."""
        os.environ.update(environment)
        torch.set_num_threads(threads)
        self.device = "cuda" if on_gpu else "cpu"
        self.module = self.held.enter_context(opened(Path(folder)))
        self.targets = operators_of(self.module, name)
        return [each for each in getattr(self.module, "__all__", ()) if each in vars(self.module)]

    def do_models(self) -> list[str]:
        """Imports the package's models, which imports transformers, and says which names it exports with them."""
        return [each for each in getattr(self.module, "__all__", ()) if hasattr(self.module, each)]

    def do_call(self, target: str, arguments: list[Any], keywords: dict[str, Any], tracked: bool, in_parts: bool) -> Any:
        answer = self.run(self.targets[target], arguments, keywords, tracked)
        if in_parts and tracked:
            self.in_parts.add(answer["graph"])
        return answer

    def run(self, function: Callable[..., Any], arguments: list[Any], keywords: dict[str, Any], tracked: bool) -> Any:
        """The function's result, the number of its graph where it is tracked, and which of the result's tensors have gradients."""
        given = [arguments, keywords]
        _, leaves = wire.numbered(given)
        moved = leaves if self.device == "cpu" else [leaf.detach().to(self.device).requires_grad_(leaf.requires_grad) for leaf in leaves]
        places, _ = wire.numbered(given)
        arguments, keywords = wire.fill_tensors(places, moved)
        state = keywords.get("initial_state")
        before = list(state) if isinstance(state, dict) else []
        with torch.set_grad_enabled(tracked):
            result = function(*arguments, **keywords)
        if any(leaf._version for leaf in moved) or (isinstance(state, dict) and list(state) != before):
            raise RuntimeError("an argument was changed in place")
        _, tensors = wire.numbered(result)
        number = None
        if tracked:
            number = next(self.numbers)
            self.graphs[number] = ([x for x in tensors if x.requires_grad], [leaf for leaf in moved if leaf.requires_grad])
        return {"result": wire.map_tensors(result, Tensor.detach), "graph": number, "live": [x.requires_grad for x in tensors]}

    def do_backward(self, graph: int, cotangents: list[Tensor | None]) -> list[Tensor | None]:
        outputs, leaves = self.graphs[graph]
        pairs = [(x, c.to(x.device)) for x, c in zip(outputs, cotangents, strict=True) if c is not None]
        if not pairs or not leaves:
            return [None] * len(leaves)
        wanted, given = zip(*pairs, strict=True)
        with self.parts() if graph in self.in_parts else contextlib.nullcontext():
            return list(torch.autograd.grad(wanted, leaves, given, retain_graph=True, allow_unused=True))

    @contextlib.contextmanager
    def parts(self) -> Iterator[None]:
        """Backward kernels take one tile of tokens after another, as they do of long sequences, whose buffers would be large.

        Their buffers are as long as one tile needs, and nothing may be written behind them. Raises RuntimeError where something is.
        """
        table = part_of(self.module, "kernels").TABLE
        before = table.at_once, table.enough
        table.at_once, table.enough = 1, 1
        try:
            with fenced():
                yield
        finally:
            table.at_once, table.enough = before

    def do_layer(self, name: str, keywords: dict[str, Any], seed: int) -> Any:
        """A new layer: its number, its parameters and buffers by name, and the names of parameters."""
        torch.manual_seed(seed)
        layer = getattr(self.module, name)(**keywords)
        number = next(self.numbers)
        self.layers[number] = layer
        learned = {key: x.detach() for key, x in layer.named_parameters()}
        return {"layer": number, "tensors": {**learned, **dict(layer.named_buffers())}, "learned": sorted(learned)}

    def do_widths(self, name: str) -> dict[str, list[int]]:
        """The shapes of parameters and buffers of a layer without arguments."""
        layer = getattr(self.module, name)()
        return {key: list(x.shape) for key, x in (*layer.named_parameters(), *layer.named_buffers())}

    def do_layer_call(
        self, layer: int, x: Tensor, tensors: dict[str, Tensor], options: dict[str, Any], past: int | None, tracked: bool
    ) -> Any:
        """The outputs of a layer that has these tensors, and the number of the cache that it leaves."""
        module = self.layers[layer]

        def function(x: Tensor, tensors: dict[str, Tensor], options: dict[str, Any]) -> list[Tensor]:
            known = {} if past is None else {"past_key_values": self.caches[past]}
            o, _, cache = torch.func.functional_call(module, tensors, (x,), {**options, **known})
            self.caches[-1] = cache
            return [o]

        answer = self.run(function, [x, tensors, options], {}, tracked)
        number = None
        if self.caches[-1] is not None:
            number = next(self.numbers)
            self.caches[number] = self.caches[-1]
        answer["result"] = [*answer["result"], number]
        return answer


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
