"""The writes of a model's memories while it reads: the arguments that each layer hands to the operator of its package."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from torch import Tensor, nn

OPERATORS = ("chunk", "fused_recurrent")


class RecordedCall(NamedTuple):
    """One call of the operator: `tokens` by argument as the contract has their axes, `others` by keyword."""

    tokens: dict[str, Tensor]
    others: dict[str, Any]

    def alone(self) -> RecordedCall:
        """The call without the tokens behind its one sequence in a packed row."""
        borders = self.others.get("cu_seqlens")
        if borders is None:
            return self
        length, end = self.tokens["q"].shape[1], int(borders[-1])
        tokens = {name: x[:, : end * (x.shape[1] // length)] for name, x in self.tokens.items()}
        return RecordedCall(tokens, {name: x for name, x in self.others.items() if name != "cu_seqlens"})


class RecordedMemory:
    """The memory of one block, number `layer` of its model; `package` is the module of its layer."""

    def __init__(self, layer: int, mixer: nn.Module) -> None:
        self.layer, self.mixer = layer, mixer
        self.package: ModuleType = sys.modules[type(mixer).__module__]
        self.writes: list[RecordedCall] = []

    def sibling(self, name: str) -> ModuleType:
        """Another module of the same package."""
        return importlib.import_module(f".{name}", self.package.__name__.rpartition(".")[0])

    @property
    def contract(self) -> Any:
        return self.sibling("contract").CONTRACT

    @property
    def name(self) -> str:
        """The name of the package, which ends the names of its operators."""
        return str(self.contract.name).rpartition("_")[0]


def memories_of(model: nn.Module) -> list[RecordedMemory]:
    """The memories of a model, block by block; none where it has attention alone."""
    found = [module for module in model.modules() if any(kind.__name__ == "TokenMixer" for kind in type(module).__mro__)]
    return [RecordedMemory(int(mixer.layer_idx), mixer) for mixer in found]  # type: ignore[arg-type]


@contextlib.contextmanager
def recording(memories: list[RecordedMemory]) -> Iterator[None]:
    """While it lasts, every write of these memories is appended to their `writes`; reads that write nothing are left out."""
    writing: list[RecordedMemory] = []

    def mixing(memory: RecordedMemory, mix: Callable[..., Any]) -> Callable[..., Any]:
        def inner(*arguments: Any) -> Any:
            writing.append(memory)
            try:
                return mix(*arguments)
            finally:
                writing.pop()

        return inner

    def operating(operator: Callable[..., Any]) -> Callable[..., Any]:
        def inner(q: Tensor, k: Tensor, v: Tensor, **named: Any) -> Any:
            if writing:
                given = {"q": q, "k": k, "v": v, **named}
                axes = writing[-1].contract.tokens
                tokens = {name: x.detach() for name, x in given.items() if name in axes}
                writing[-1].writes.append(RecordedCall(tokens, {name: x for name, x in named.items() if name not in axes}))
            return operator(q, k, v, **named)

        return inner

    with contextlib.ExitStack() as stack:
        for memory in memories:
            vars(memory.mixer)["mix"] = mixing(memory, memory.mixer.mix)  # type: ignore[arg-type]
            stack.callback(vars(memory.mixer).pop, "mix")
        for package in {id(memory.package): memory for memory in memories}.values():
            for operator in (f"{form}_{package.name}" for form in OPERATORS):
                own = getattr(package.package, operator)
                setattr(package.package, operator, operating(own))
                stack.callback(setattr, package.package, operator, own)
        yield
