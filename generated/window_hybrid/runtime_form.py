"""What the forms in PyTorch have in common: a call is read, computed without autocast, and one operator for torch.compile."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from .runtime_chunk import Finish, State
from .runtime_contract import Call, Contract, read_call, read_lengths
from .runtime_opaque import opaque
from .runtime_options import check_backend, check_flag, check_tile
from .runtime_precision import without_autocast
from .runtime_state import INTEGERS, read_state
from .runtime_tensor import wide_type


@dataclass(frozen=True)
class Form(ABC):
    """A rule as a loop around a function, which takes what `takes` names, and returns the outputs, what `gives` names, and maybe more."""

    contract: Contract
    function: Callable[..., tuple[Tensor, ...]]
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    finish: Finish | None = None
    operator: Callable[..., tuple[Tensor, ...]] | None = field(init=False)
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        contract = self.contract
        entries = [name not in INTEGERS for name in contract.state]
        floating = [*[True] * (len(contract.tokens) + len(contract.parameters)), *entries]
        object.__setattr__(self, "operator", opaque(f"miras_{contract.name}", self.kind, floating, [True, *entries], self.flat))

    @abstractmethod
    def run(self, call: Call, tile: int) -> tuple[Tensor, State]:
        """The outputs in the precision of the computation, and the final state."""

    def __call__(
        self,
        tokens: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        initial_state: Mapping[str, Tensor] | None,
        output_final_state: bool,
        cu_seqlens: Tensor | None,
        backend: str,
        tile: int = 1,
    ) -> tuple[Tensor, State | None]:
        """The outputs [B, T, H, V] in the dtype of q, and the final state if asked for."""
        check_backend(backend)
        check_flag("output_final_state", output_final_state)
        check_tile(tile)
        run = self.compiled if torch.compiler.is_compiling() and self.operator is not None else self.eager
        o, state = run(tokens, parameters, initial_state, cu_seqlens, tile)
        return o, state if output_final_state else None

    def eager(
        self,
        tokens: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        initial_state: Mapping[str, Tensor] | None,
        cu_seqlens: Tensor | None,
        tile: int,
    ) -> tuple[Tensor, State]:
        """The outputs in the dtype of q, and the final state."""
        call = read_call(self.contract, tokens, parameters, initial_state, cu_seqlens)
        with without_autocast(call.tokens["q"].device):
            o, state = self.run(call, tile)
        return o.to(call.dtype), state

    def compiled(
        self,
        tokens: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        initial_state: Mapping[str, Tensor] | None,
        cu_seqlens: Tensor | None,
        tile: int,
    ) -> tuple[Tensor, State]:
        """The same by one operator, which a graph holds as it is."""
        lengths, q = read_lengths(self.contract, tokens, parameters, cu_seqlens), tokens["q"]
        state = read_state(self.contract, initial_state, lengths, q.device, wide_type(q.dtype))
        assert self.operator is not None
        groups = ((tokens, self.contract.tokens), (parameters, self.contract.parameters), (state, self.contract.state))
        o, *following = self.operator(*[group[name] for group, names in groups for name in names], cu_seqlens, tile)
        return o, dict(zip(self.contract.state, following, strict=True))

    def flat(self, tensors: Sequence[Tensor], cu_seqlens: Tensor | None, tile: int) -> list[Tensor]:
        """The call of the operator: tensors in the order of the contract; the outputs, and the entries of the final state."""
        remaining = iter(tensors)
        axes = (self.contract.tokens, self.contract.parameters, self.contract.state)
        tokens, parameters, state = ({name: next(remaining) for name in names} for names in axes)
        o, final = self.eager(tokens, parameters, state, cu_seqlens, tile)
        return [o, *(final[name] for name in self.contract.state)]
