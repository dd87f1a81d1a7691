"""A generated package on a device, with inputs and states of any shape."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from miras_compiler.models import open_package, part_of, read_manifest

DOUBLE = torch.float64
Of = TypeVar("Of")


class Shape(NamedTuple):
    """Sequences, tokens, heads, widths of keys and values, hidden width (0 for a memory without one)."""

    batch: int
    tokens: int
    heads: int
    key: int
    value: int
    hidden: int

    def __str__(self) -> str:
        widths = f"D{self.key}" if self.key == self.value else f"K{self.key} V{self.value}"
        return f"B{self.batch} T{self.tokens} H{self.heads} {widths}" + (f" N{self.hidden}" if self.hidden else "")


class Regime(NamedTuple):
    """The range of inputs: the largest step, the largest loss of logarithm per token, keys of pairwise cosine about 1/(1 + spread²)."""

    eta: float
    decay: float = 0.05
    spread: float = 1.0

    def calmer(self) -> Regime:
        """Smaller steps and decays: a memory that writes and forgets nothing amplifies nothing."""
        return self._replace(eta=self.eta / 4, decay=self.decay / 4)


def by_entry(state: Mapping[str, Of], inputs: Collection[str]) -> dict[str, Of]:
    """The values of a state's names by the names of entries of results, which no input has: a gate may be called like the state."""
    return {f"state {name}" if name in inputs else name: x for name, x in state.items()}


class MeasuredPackage:
    """A package: its operator, its plain PyTorch form, and its manifest. InputError where there is none."""

    def __init__(self, folder: Path, device: str = "cuda") -> None:
        self.folder, self.name, self.device = folder, folder.name, device
        self.manifest = read_manifest(folder)
        package = open_package(folder)
        self.kernels, self.chunked, self.launching, operators = (
            part_of(package, name) for name in ("kernels", "chunked", "runtime_launch", "ops")
        )
        self.contract = part_of(package, "contract").CONTRACT
        self.too_large = part_of(package, "runtime_triton").TooLarge  # raised for states that kernels do not hold
        self.operator = getattr(operators, f"chunk_{self.name}")
        self.decoder = getattr(operators, f"fused_recurrent_{self.name}")
        self.reference = getattr(self.chunked, f"torch_chunk_{self.name}")
        self.chunk_size = int(self.manifest["chunk"]["size"])
        self.has_grid = self.manifest["chunk"]["gradient"] == "chunk_start" and self.chunk_size > 1
        self.domains = {entry["name"]: entry["domain"] for entry in self.manifest["inputs"]}
        inputs, self.state_axes = (
            {entry["name"]: "".join(entry["axes"]) for entry in self.manifest[group]} for group in ("inputs", "state")
        )
        self.axes = {**inputs, **by_entry(self.state_axes, inputs), "o": "BTHV"}  # by input and by entry of results

    @property
    def deep(self) -> bool:
        return "N" in self.manifest["dims"]

    @property
    def tile(self) -> int:
        return self.chunk_size if self.has_grid else int(self.kernels.TABLE.tile)

    def shape(self, batch: int, tokens: int, heads: int | None = None) -> Shape:
        """At the package's own widths."""
        dims = self.manifest["dims"]
        return Shape(batch, tokens, heads or dims["H"], dims["K"], dims["V"], dims.get("N", 0))

    def inputs(self, shape: Shape, regime: Regime, dtype: torch.dtype, seed: int = 0) -> dict[str, Tensor]:
        """Float64 values that `dtype` holds exactly. Thresholds are far from every residual: near one, precisions take other branches."""
        generator = torch.Generator(self.device).manual_seed(seed)
        drawn: dict[str, Tensor] = {}
        for name in self.domains:
            drawn[name] = self._draw(name, shape, regime, generator, drawn)
        return {name: x.to(dtype).double() for name, x in drawn.items()}

    def _draw(self, name: str, shape: Shape, regime: Regime, generator: torch.Generator, drawn: dict[str, Tensor]) -> Tensor:
        """One argument; `drawn` are those before it."""
        size = self.size(self.axes[name], shape)
        normal = torch.randn(size, generator=generator, dtype=DOUBLE, device=self.device)
        if name == "q":
            return _unit(normal)
        if name in ("k", "erase_key"):
            return _unit(_unit(normal[:, :1]) + regime.spread * normal * shape.key**-0.5)
        named = {"v": normal, "ln_weight": 1 + 0.2 * normal, "ln_bias": 0.2 * normal}
        if name in named:
            return named[name]
        uniform = torch.rand(size, generator=generator, dtype=DOUBLE, device=self.device)
        if name == "erase_write_key":  # erases a part of the value at its key, and no more
            return uniform * drawn["erase_key"]
        if name == "feature_coefficients":
            return torch.lgamma(torch.arange(1, size[0] + 1, dtype=DOUBLE, device=self.device)).exp().rsqrt()
        if name.startswith("log_alpha"):
            return -regime.decay * uniform
        if name.startswith("log_"):
            return torch.log(0.1 + 0.8 * uniform)
        if name == "eta":
            return torch.ones_like(uniform) if regime.eta == 1 else regime.eta * (0.2 + 0.8 * uniform)
        if self.domains[name] == "[0, 1]":
            return 0.2 + 0.8 * uniform
        return far(normal) if name == "delta" else 0.3 + 1.2 * uniform

    def state(self, members: int, shape: Shape, seed: int = 1) -> dict[str, Tensor]:
        """Float64 weights of fan-in size that float32 holds exactly, a small momentum, a preconditioner above 0, a full window."""
        generator = torch.Generator(self.device).manual_seed(seed)
        state = {}
        for name in self.contract.state:
            size = self.size(self.state_axes[name], shape._replace(batch=members))
            if name == "window_length":
                state[name] = torch.full(size, self.contract.window.size - 1, device=self.device)
            elif not name.endswith(("_start", "_pending")) and name not in ("position", "log_beta"):
                state[name] = self._entry(name, size, generator).float().double()
        return state

    def _entry(self, name: str, size: list[int], generator: torch.Generator) -> Tensor:
        """One entry of a state."""
        normal = torch.randn(size, generator=generator, dtype=DOUBLE, device=self.device)
        if name in self.contract.start:  # on the scaled simplex
            total, axes = self.contract.start[name]
            dims = [self.state_axes[name].index(axis) for axis in axes]
            return normal.exp() / normal.exp().sum(dims, keepdim=True) * float(total)
        if name.startswith("window_"):
            gate = name.removeprefix("window_")
            row = normal if gate == "v" else _unit(normal) if gate == "k" else None
            if row is not None:
                return row.bfloat16().to(DOUBLE)  # tokens, of any type
            return far(normal) if gate == "delta" else 0.3 + normal.sigmoid()
        drawn = normal * (0.1 if name.endswith("_momentum") else 1.0) / math.sqrt(size[-2])
        return 0.1 + drawn.abs() if name == "preconditioner" else drawn

    def size(self, axes: str, shape: Shape) -> list[int]:
        """The lengths of these axes."""
        lengths = dict(zip("BTHKVN", shape, strict=True))
        extras = {"R": self.contract.writes, "W": self.contract.window, "F": self.contract.polynomial}
        if extras["R"] is not None:
            lengths["R"] = extras["R"].number * shape.tokens
        if extras["W"] is not None:
            lengths |= {"W": extras["W"].size, "L": extras["W"].size - 1}
        if extras["F"] is not None:
            lengths |= {"F": math.comb(shape.key + extras["F"].degree, extras["F"].degree), "D": extras["F"].degree + 1}
        return [lengths.get(axis, 1) for axis in axes]

    def tokens(self, inputs: dict[str, Tensor], first: int, end: int | None = None) -> dict[str, Tensor]:
        """The inputs of some tokens; inputs without rows of tokens as they are."""
        found = {}
        for name, x in inputs.items():
            number = self.rows(name)
            found[name] = x[:, number * first : None if end is None else number * end] if number else x
        return found

    def rows(self, name: str) -> int:
        """The rows of a tensor that belong to one token; 0 where it has no axis of tokens."""
        writes = self.contract.writes
        rows = {"T": 1, "R": writes.number if writes is not None else 1}
        return next((rows[axis] for axis in self.axes.get(name, "") if axis in rows), 0)

    def members(self, tensors: dict[str, Tensor], number: int) -> dict[str, Tensor]:
        """Packed sequences of one length as the `number` members of a batch, or back. Names are those of inputs, outputs and gradients."""
        has_rows = {name for name in tensors if self.rows(name.removeprefix("d "))}
        return {name: x.reshape(number, -1, *x.shape[2:]) if name in has_rows else x for name, x in tensors.items()}

    def of_heads(self, tensors: dict[str, Tensor], heads: list[int]) -> dict[str, Tensor]:
        """The part of some heads, which no other head has an influence on. Names are those of inputs and of entries of results."""
        return self._part(tensors, self.axes, heads)

    def state_of_heads(self, state: dict[str, Tensor], heads: list[int]) -> dict[str, Tensor]:
        """The same of a state, by the names of its own."""
        return self._part(state, self.state_axes, heads)

    def _part(self, tensors: dict[str, Tensor], axes: dict[str, str], heads: list[int]) -> dict[str, Tensor]:
        index = torch.tensor(heads, device=self.device)
        return {name: x.index_select(axes[name].index("H"), index) if "H" in axes[name] else x for name, x in tensors.items()}

    def set_launches(self, launches: dict[str, Any]) -> None:
        """Every kernel that is named is launched as said, whatever its widths: warps, stages, block, registers."""
        for name, launch in launches.items():
            if name in self.kernels.TABLE.options:
                self.kernels.TABLE.options[name] = (self.kernels.LaunchRow(self.kernels.ANY, *launch),)


def far(x: Tensor) -> Tensor:
    """Thresholds far below and far above every residual, by the sign of each number: near one, precisions take other branches."""
    return torch.where(x < 0, 1e-3, 1e3).to(DOUBLE)


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)  # type: ignore[no-any-return]
