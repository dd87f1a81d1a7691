"""The base of the forms in PyTorch: a call is read, computed without autocast, and one operator for torch.compile."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from .runtime_call import Computes
from .runtime_chunk import Finish
from .runtime_contract import Call, Returned, read_call, read_lengths
from .runtime_opaque import opaque
from .runtime_options import check_backend, check_flag, check_tile
from .runtime_precision import without_autocast
from .runtime_recorded import recorded
from .runtime_state import INTEGERS, State, as_entries, read_state
from .runtime_tensor import wide_type
from .runtime_values import is_mapped

Names = tuple[Iterable[str], Iterable[str], Iterable[str] | None]  # of tokens, parameters, entries of the state


@dataclass(frozen=True)
class Form(Computes):
    """A rule as a loop around a function, which takes the values that `takes` names, and returns the outputs, the values that `gives`
    names, and maybe more.
    """

    function: Callable[..., tuple[Tensor, ...]]
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    finish: Finish | None = None
    operator: Callable[..., tuple[Tensor, ...]] | None = field(init=False)
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        contract = self.contract
        entries = [name not in INTEGERS for name in contract.state]
        names = (tuple(contract.tokens), tuple(contract.parameters), tuple(contract.state))
        number, run = sum(map(len, names)), partial(self.flat, names)
        object.__setattr__(self, "operator", opaque(f"miras_{contract.name}", self.kind, number, [True, *entries], run))

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
        backend: str = "auto",
        tile: int = 1,
    ) -> Returned:
        """The outputs [B, T, H, V] in the dtype of q, and the final state if asked for."""
        check_backend(backend)
        check_flag("output_final_state", output_final_state)
        check_tile(tile)
        return self.call(partial(self.compute, tile=tile), tokens, parameters, initial_state, output_final_state, cu_seqlens)

    def compute(
        self,
        tokens: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        initial_state: Mapping[str, Tensor] | None,
        output_final_state: bool,
        cu_seqlens: Tensor | None,
        tile: int = 1,
    ) -> Returned:
        """The outputs, and the final state if asked for."""
        is_hidden = torch.compiler.is_compiling() or is_mapped(cu_seqlens)
        run = self.compiled if is_hidden and self.operator is not None else self.eager
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
        """The outputs in the dtype of q, and the final state; gradients without autocast, as the results are."""
        entries = as_entries(self.contract, initial_state)
        names = (tuple(tokens), tuple(parameters), None if entries is None else tuple(entries))
        tensors = [*tokens.values(), *parameters.values(), *(entries or {}).values()]
        o, *final = recorded(partial(self.flat, names, cu_seqlens, tile), tensors)
        return o, dict(zip(self.contract.state, final, strict=True))

    def compiled(
        self,
        tokens: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        initial_state: Mapping[str, Tensor] | None,
        cu_seqlens: Tensor | None,
        tile: int,
    ) -> tuple[Tensor, State]:
        """The same by one operator, which a graph holds as it is, and in which the numbers in tensors can be read."""
        lengths, q = read_lengths(self.contract, tokens, parameters, cu_seqlens), tokens["q"]
        state = read_state(self.contract, initial_state, lengths, q.device, wide_type(q.dtype))
        assert self.operator is not None
        groups = ((tokens, self.contract.tokens), (parameters, self.contract.parameters), (state, self.contract.state))
        tensors = [group[name] for group, names in groups for name in names]
        records = torch.is_grad_enabled() and torch.compiler.is_compiling()
        o, *following, _ = self.operator(*tensors, cu_seqlens, tile, [records and x.requires_grad for x in tensors])
        return o, dict(zip(self.contract.state, following, strict=True))

    def flat(self, names: Names, cu_seqlens: Tensor | None, tile: int, tensors: Sequence[Tensor]) -> list[Tensor]:
        """A call by tensors that have these names: tokens, parameters, entries of the state, if any is given; outputs and final state."""
        remaining = iter(tensors)
        tokens, parameters, state = (None if group is None else {name: next(remaining) for name in group} for group in names)
        call = read_call(self.contract, tokens or {}, parameters or {}, state, cu_seqlens)
        with without_autocast(call.tokens["q"].device):
            o, final = self.run(call, tile)
        return [o.to(call.dtype), *(final[name] for name in self.contract.state)]
