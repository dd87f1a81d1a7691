"""Calls of a function that computes a rule: at once, or segment by segment where sequences are computed in segments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from .runtime_contract import Computed, OperatorContract, Returned


@dataclass(frozen=True)
class Computes(ABC):
    """A form of a rule. It is made with the contract of its package, `called`, and computes by `contract`, that of one segment."""

    contract: OperatorContract
    called: OperatorContract = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "called", self.contract)
        object.__setattr__(self, "contract", self.contract.inside)

    @abstractmethod
    def compute(
        self,
        tokens: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        initial_state: Mapping[str, Tensor] | None,
        output_final_state: bool,
        cu_seqlens: Tensor | None,
    ) -> Returned:
        """The outputs [B, T, H, V] in the dtype of q, and the final state if asked for, of a segment of every sequence."""

    def call(
        self,
        compute: Computed,
        tokens: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        initial_state: Mapping[str, Tensor] | None,
        output_final_state: bool,
        cu_seqlens: Tensor | None,
    ) -> Returned:
        """The results of `compute` for whole sequences."""
        segments, given = self.called.segments, (tokens, parameters, initial_state, output_final_state, cu_seqlens)
        return compute(*given) if segments is None else segments.call(self.called, compute, *given)

    def __call__(
        self,
        tokens: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        initial_state: Mapping[str, Tensor] | None,
        output_final_state: bool,
        cu_seqlens: Tensor | None,
    ) -> Returned:
        """The same of whole sequences."""
        return self.call(self.compute, tokens, parameters, initial_state, output_final_state, cu_seqlens)
