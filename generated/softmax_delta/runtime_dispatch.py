"""The choice between the forms of an operator: Triton kernels on a GPU where they can be launched, PyTorch elsewhere."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .runtime_contract import OperatorContract, Returned, read_lengths
from .runtime_options import asked_backend, check_flag
from .runtime_state import as_entries, read_state
from .runtime_tensor import is_dense
from .runtime_triton import CannotLaunch

MISREAD = (torch.bfloat16,)  # dtypes that Triton's interpreter takes for integers
Operator = Callable[..., Returned]
FEW = 16  # tokens that are sooner done one by one than as a tile


@dataclass(frozen=True)
class Kernels:
    """The forms in Triton: tiles of so many tokens, and, where there is one, the token loop without gradients."""

    chunk: Operator
    tile: int
    recurrent: Operator | None = None


@dataclass(frozen=True)
class Arguments:
    """The arguments of an operator, as they are given: tokens and parameters by name, and the state."""

    named: Mapping[str, Tensor]
    initial_state: Mapping[str, Tensor]
    cu_seqlens: Tensor | None

    @property
    def tensors(self) -> list[Any]:
        """All but the borders."""
        return [*self.named.values(), *self.initial_state.values()]

    @property
    def are_tensors(self) -> bool:
        """True if all are dense tensors; an operator refuses others."""
        return all(is_dense(x) for x in self.tensors)

    @property
    def want_gradients(self) -> bool:
        """True if the results are differentiated."""
        return torch.is_grad_enabled() and any(x.requires_grad for x in self.tensors)

    @property
    def length(self) -> int:
        """The tokens of a row; 0 where the queries have no such axis."""
        q = self.named["q"]
        return q.shape[1] if is_dense(q) and q.dim() > 1 else 0


@dataclass
class Dispatch:
    """The operators of a package; `missing` says why there are no kernels, where there are none."""

    name: str
    contract: OperatorContract
    torch_chunk: Operator
    torch_recurrent: Operator
    missing: str
    kernels: Kernels | None = None
    launches: dict[tuple[object, ...], bool] = field(default_factory=dict)  # whether kernels run here, by precisions and widths

    def chunk(self, *arguments: Any) -> Returned:
        """The parallel form."""
        return self.run(False, *arguments)

    def recurrent(self, *arguments: Any) -> Returned:
        """The token loop; kernels by tiles where there are many tokens or gradients are wanted."""
        return self.run(True, *arguments)

    def run(
        self,
        by_token: bool,
        named: Mapping[str, Tensor],
        initial_state: Mapping[str, Tensor] | Tensor | None,
        output_final_state: bool,
        cu_seqlens: Tensor | None,
        backend: str,
    ) -> Returned:
        """The outputs, and the final state if asked for."""
        check_flag("output_final_state", output_final_state)
        state = as_entries(self.contract, initial_state)
        inputs = Arguments(named, state or {}, cu_seqlens)
        few = by_token and 0 < inputs.length <= FEW and inputs.are_tensors and not inputs.want_gradients
        if self.uses_kernels(asked_backend(backend), inputs, few):
            form = self.kernel(few)
        else:
            form = self.torch_recurrent if by_token else self.torch_chunk
        return form(**named, initial_state=state, output_final_state=output_final_state, cu_seqlens=cu_seqlens)

    def kernel(self, few: bool) -> Operator:
        """The form in Triton for few tokens or many."""
        assert self.kernels is not None
        return self.kernels.recurrent if few and self.kernels.recurrent is not None else self.kernels.chunk

    def uses_kernels(self, backend: str, inputs: Arguments, few: bool) -> bool:
        """True if kernels run; raises ValueError where they are asked for and cannot."""
        q = inputs.named["q"]
        on_gpu, interpreted = isinstance(q, Tensor) and q.is_cuda, os.environ.get("TRITON_INTERPRET") == "1"
        if backend == "torch" or (backend == "auto" and (self.kernels is None or not on_gpu or q.dtype == torch.float64)):
            return False
        misread = interpreted and any(is_dense(x) and x.dtype in MISREAD for x in inputs.tensors)
        if misread and backend == "auto":
            return False
        if backend == "triton" and self.kernels is None:
            raise ValueError(f"backend: expected auto or torch, got 'triton': {self.missing}")
        if backend == "triton" and isinstance(q, Tensor) and not on_gpu and not interpreted:
            raise ValueError(f"backend: 'triton' runs on a GPU, or anywhere under TRITON_INTERPRET=1; got tensors on {q.device}")
        if misread and self.kernels is not None:
            raise ValueError("backend: Triton's interpreter computes with the bits of bfloat16; give float32, or backend='torch'")
        if inputs.length == 0:
            return False
        is_transformed = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()  # nothing can be tried within
        return backend == "triton" or is_transformed or self.can_launch(inputs, few)

    def can_launch(self, inputs: Arguments, few: bool) -> bool:
        """True if the kernels run on this GPU for such inputs, the backward pass too where gradients are wanted: tried once."""
        if not inputs.are_tensors:
            return True
        device, gradients = inputs.named["q"].device, inputs.want_gradients
        tokens = [(x.dtype, x.shape[2:]) for name, x in inputs.named.items() if name in self.contract.tokens]
        state = [(x.dtype, x.shape[1:]) for x in inputs.initial_state.values()]
        key = (device, *tokens, *state, inputs.cu_seqlens is None, gradients, few)
        if key not in self.launches:
            self.launches[key] = self.launches_work(inputs, gradients, few)
        return self.launches[key]

    def launches_work(self, inputs: Arguments, gradients: bool, few: bool) -> bool:
        """The answer of a try on zeros of two tiles; where the kernels do not run, one warning says why.

        Raises ValueError for a value that is no input.
        """
        assert self.kernels is not None
        tokens, parameters = ({name: inputs.named[name] for name in group} for group in (self.contract.tokens, self.contract.parameters))
        lengths = read_lengths(self.contract, tokens, parameters, inputs.cu_seqlens)
        read_state(self.contract, inputs.initial_state or None, lengths, tokens["q"].device, torch.float32)
        size, writes = self.kernels.tile + 1, self.contract.writes
        rows = {"T": size, "R": size if writes is None else writes.number * size}
        shapes = {name: [1, rows[self.contract.tokens[name][1]], *x.shape[2:]] for name, x in tokens.items()}
        tried = {name: x.new_zeros(shapes[name], requires_grad=gradients) for name, x in tokens.items()}
        zero = {name: torch.zeros_like(x) for name, x in parameters.items()}
        start = {name: x.new_zeros([1, *x.shape[1:]]) for name, x in inputs.initial_state.items()} or None
        borders = None if inputs.cu_seqlens is None else inputs.cu_seqlens.new_tensor([0, size])
        try:
            with torch.set_grad_enabled(gradients):
                o, _ = self.kernel(few)(**tried, **zero, initial_state=start, cu_seqlens=borders)
            if gradients:
                torch.autograd.grad(o.float().sum(), list(tried.values()), allow_unused=True)
        except CannotLaunch as problem:
            warnings.warn(f"{self.name} runs in PyTorch: {problem}", stacklevel=6)
            return False
        return True
