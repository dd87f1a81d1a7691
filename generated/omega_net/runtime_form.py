"""The base of the forms in PyTorch: a call is read, computed without autocast, and one operator for torch.compile."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from .runtime_call import Computes
from .runtime_chunk import Finish
from .runtime_contract import Call, Returned, read_call, read_lengths
from .runtime_opaque import opaque
from .runtime_options import check_backend, check_flag, check_tile
from .runtime_precision import without_autocast
from .runtime_recorded import recorded
from .runtime_state import INTEGERS, State, as_entries, check_entries, check_names, read_state
from .runtime_tensor import wide_type
from .runtime_values import is_mapped

Names = tuple[Sequence[str], Sequence[str], Sequence[str]]  # of tokens, parameters, entries of the state


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
        number, flat = sum(map(len, names)), (partial(self.flat, names), partial(self.shapes, names))
        object.__setattr__(self, "operator", opaque(f"miras_{contract.name}", self.kind, number, [True, *entries], *flat))

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
        if is_hidden and self.operator is not None:
            return self.compiled(tokens, parameters, initial_state, output_final_state, cu_seqlens, tile)
        o, state = self.eager(tokens, parameters, initial_state, cu_seqlens, tile)
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
        check_names(self.contract, entries)
        names = (tuple(tokens), tuple(parameters), tuple(entries or ()))
        tensors = [*tokens.values(), *parameters.values(), *(entries or {}).values()]
        o, *final = recorded(lambda given: self.flat(names, given, cu_seqlens, tile), tensors)
        return o, dict(zip(self.contract.state, final, strict=True))

    def compiled(
        self,
        tokens: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        initial_state: Mapping[str, Tensor] | None,
        output_final_state: bool,
        cu_seqlens: Tensor | None,
        tile: int,
    ) -> Returned:
        """The same by one operator, which a graph holds as it is, and in which the numbers in tensors can be read.

        The operator checks values, when it runs.
        """
        entries, q = as_entries(self.contract, initial_state), tokens["q"]
        lengths = read_lengths(self.contract, tokens, parameters, cu_seqlens)
        check_names(self.contract, entries)
        if entries is not None:
            check_entries(self.contract, entries, {**lengths, "B": lengths["sequences"]}, q.device, wide_type(q.dtype))
        tensors = [tokens[name] for name in self.contract.tokens] + [parameters[name] for name in self.contract.parameters]
        given = [*tensors, *((entries or {}).get(name) for name in self.contract.state)]
        records = torch.is_grad_enabled() and torch.compiler.is_compiling()
        wanted = [records and x is not None and x.requires_grad for x in given]
        assert self.operator is not None
        o, *following, _ = self.operator(*given, cu_seqlens, tile, output_final_state, wanted)
        return o, dict(zip(self.contract.state, following, strict=True)) if output_final_state else None

    def flat(self, names: Names, given: Sequence[Tensor | None], cu_seqlens: Tensor | None, tile: int) -> list[Tensor]:
        """A call by tensors that have these names: tokens, parameters, entries of the state; outputs and final state."""
        call = read_call(self.contract, *by_name(names, given), cu_seqlens)
        with without_autocast(call.tokens["q"].device):
            o, final = self.run(call, tile)
        return [o.to(call.dtype), *(final[name] for name in self.contract.state)]

    def shapes(self, names: Names, given: Sequence[Tensor | None], cu_seqlens: Tensor | None, _: int) -> list[Tensor]:
        """Tensors of the shapes of such a call's results."""
        tokens, parameters, entries = by_name(names, given)
        lengths, q = read_lengths(self.contract, tokens, parameters, cu_seqlens), tokens["q"]
        state = read_state(self.contract, entries, lengths, q.device, wide_type(q.dtype))
        o = q.new_empty((*q.shape[:3], lengths["V"]))
        return [o, *(state[name] for name in self.contract.state)]


def by_name(names: Names, given: Sequence[Tensor | None]) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor] | None]:
    """Tokens, parameters, and those entries of a state that are given; None where none is."""
    each: Any = iter(given)
    tokens, parameters, entries = ({name: next(each) for name in group} for group in names)
    return tokens, parameters, {name: x for name, x in entries.items() if x is not None} or None
