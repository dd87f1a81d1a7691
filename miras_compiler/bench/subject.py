"""A generated package on a device, with inputs and states of any shape."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from miras_compiler.errors import InputError

DOUBLE = torch.float64


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
    """What inputs are like: the largest step, the largest loss of logarithm per token, keys of pairwise cosine about 1/(1 + spread²)."""

    eta: float
    decay: float = 0.05
    spread: float = 1.0

    def calmer(self) -> Regime:
        """Smaller steps and decays: a memory that writes and forgets nothing amplifies nothing."""
        return self._replace(eta=self.eta / 4, decay=self.decay / 4)


class Subject:
    """A package: its operator, its plain PyTorch form, and what its manifest says. InputError where there is none."""

    def __init__(self, folder: Path, device: str = "cuda") -> None:
        if not (folder / "manifest.json").is_file():
            raise InputError(f"{folder}: no generated package here (no manifest.json); compile the spec first")
        self.folder, self.name, self.device = folder, folder.name, device
        self.manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if not self.manifest["kernels"]["triton"]:
            raise InputError(f"{folder}: the package has no Triton kernels, because {self.manifest['kernels']['reason']}")
        sys.path.insert(0, str(folder.resolve().parent))
        try:
            self.kernels = importlib.import_module(f"{self.name}.kernels")
            self.chunked = importlib.import_module(f"{self.name}.chunked")
            operators = importlib.import_module(f"{self.name}.ops")
        finally:
            sys.path.pop(0)
        self.operator = getattr(operators, f"chunk_{self.name}")
        self.decoder = getattr(operators, f"fused_recurrent_{self.name}")
        self.reference = getattr(self.chunked, f"torch_chunk_{self.name}")
        self.chunk_size = int(self.manifest["chunk"]["size"])
        self.frozen = self.manifest["chunk"]["gradient"] == "chunk_start" and self.chunk_size > 1
        self.axes = {entry["name"]: "".join(entry["axes"]) for entry in (*self.manifest["inputs"], *self.manifest["state"])}
        self.axes["o"] = "BTHV"

    @property
    def deep(self) -> bool:
        return "N" in self.manifest["dims"]

    @property
    def tile(self) -> int:
        return self.chunk_size if self.frozen else int(self.kernels.TABLE.tile)

    def shape(self, batch: int, tokens: int, heads: int | None = None) -> Shape:
        """At the package's own widths."""
        dims = self.manifest["dims"]
        return Shape(batch, tokens, heads or dims["H"], dims["K"], dims["V"], dims.get("N", 0))

    def inputs(self, shape: Shape, regime: Regime, dtype: torch.dtype, seed: int = 0) -> dict[str, Tensor]:
        """Float64 values that `dtype` holds exactly. Thresholds are far from every residual: near one, precisions take other branches."""
        generator = torch.Generator(self.device).manual_seed(seed)
        drawn = {name: self._draw(name, shape, regime, generator) for name in (entry["name"] for entry in self.manifest["inputs"])}
        return {name: x.to(dtype).double() for name, x in drawn.items()}

    def _draw(self, name: str, shape: Shape, regime: Regime, generator: torch.Generator) -> Tensor:
        size = self.size(name, shape)
        normal = torch.randn(size, generator=generator, dtype=DOUBLE, device=self.device)
        if name == "q":
            return _unit(normal)
        if name == "k":
            return _unit(_unit(normal[:, :1]) + regime.spread * normal * shape.key**-0.5)
        named = {"v": normal, "ln_weight": 1 + 0.2 * normal, "ln_bias": 0.2 * normal}
        if name in named:
            return named[name]
        uniform = torch.rand(size, generator=generator, dtype=DOUBLE, device=self.device)
        if name.startswith("log_alpha"):
            return -regime.decay * uniform
        if name.startswith("log_"):
            return torch.log(0.1 + 0.8 * uniform)
        if name == "eta":
            return torch.ones_like(uniform) if regime.eta == 1 else regime.eta * (0.2 + 0.8 * uniform)
        return torch.where(uniform < 0.5, 1e-3, 1e3) if name == "delta" else 0.3 + 1.2 * uniform

    def state(self, members: int, shape: Shape, seed: int = 1) -> dict[str, Tensor]:
        """Float64 weights of fan-in size that float32 holds exactly, a small momentum, a preconditioner above 0."""
        generator = torch.Generator(self.device).manual_seed(seed)
        state = {}
        for entry in self.manifest["state"]:
            name = entry["name"]
            if not name.endswith("_start") and name != "position":
                size = self.size(name, shape._replace(batch=members))
                scale = (0.1 if name.endswith("_momentum") else 1.0) * size[-2] ** -0.5
                drawn = scale * torch.randn(size, generator=generator, dtype=DOUBLE, device=self.device)
                state[name] = (0.1 + drawn.abs() if name == "preconditioner" else drawn).float().double()
        return state

    def size(self, name: str, shape: Shape) -> list[int]:
        lengths = dict(zip("BTHKVN", shape, strict=True))
        return [lengths[axis] for axis in self.axes[name]]

    def of_heads(self, tensors: dict[str, Tensor], heads: list[int]) -> dict[str, Tensor]:
        """The part of some heads, which no other head has an influence on. Names are those of inputs, states and outputs."""
        index = torch.tensor(heads, device=self.device)
        return {name: x.index_select(self.axes[name].index("H"), index) if "H" in self.axes[name] else x for name, x in tensors.items()}

    def set_launches(self, launches: dict[str, Any], tile: int | None = None) -> None:
        """Every kernel that is named is launched as said, whatever its widths: warps, stages, block, registers.

        So is the kernel of the same name for a chunk in progress, as the launch table has it.
        """
        for name, launch in launches.items():
            for each in {name, f"resume_{name}"} & set(self.kernels.TABLE.options):
                self.kernels.TABLE.options[each] = ((1 << 30, *launch),)
        if tile and not self.frozen:
            self.kernels.TABLE.tile = tile


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)  # type: ignore[no-any-return]
