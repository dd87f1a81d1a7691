"""One case of gpu_check: a package, a precision and dimensions, in a process of its own. Prints one JSON line per row of the table."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

DOUBLE = torch.float64
PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.bmm.default, torch.ops.aten.addmm.default, torch.ops.aten.baddbmm.default}
SINGLE, HALF = 1e-5, 5e-3
CALM = 2.0  # largest amplification at which runs in different precisions are compared


class RoundedProducts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every matrix product takes its operands rounded to bfloat16."""

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if function in PRODUCTS:
            args = tuple(a.bfloat16().to(a.dtype) if isinstance(a, Tensor) and a.is_floating_point() else a for a in args)
        return function(*args, **(kwargs or {}))


@dataclass
class Case:
    name: str
    folder: Path
    dtype: torch.dtype
    key: int
    hidden: int
    device: str

    def __post_init__(self) -> None:
        sys.path.insert(0, str(self.folder))
        self.ops = importlib.import_module(f"{self.name}.ops")
        self.manifest = json.loads((self.folder / self.name / "manifest.json").read_text())
        self.chunk_size = self.manifest["chunk"]["size"]
        self.frozen = self.manifest["chunk"]["gradient"] == "chunk_start" and self.chunk_size > 1
        self.reference = getattr(importlib.import_module(f"{self.name}.chunked"), f"torch_chunk_{self.name}")
        self.operator = getattr(self.ops, f"chunk_{self.name}")

    def inputs(self, batch: int, tokens: int, heads: int, *, eta: float, decay: float, spread: float, seed: int = 0) -> dict[str, Tensor]:
        """Float64 values that the case's precision holds exactly; keys of pairwise cosine about 1/(1 + spread²)."""
        generator = torch.Generator().manual_seed(seed)
        sizes = {"B": batch, "T": tokens, "H": heads, "K": self.key, "V": self.key, "N": self.hidden}

        def draw(name: str, axes: list[str]) -> Tensor:
            shape = [sizes[a] for a in axes]
            normal = torch.randn(shape, generator=generator, dtype=DOUBLE)
            uniform = torch.rand(shape, generator=generator, dtype=DOUBLE)
            if name == "q":
                return _unit(normal)
            if name == "k":
                return _unit(normal[:, :1] / normal[:, :1].norm(dim=-1, keepdim=True) + spread * normal * self.key**-0.5)
            if name.startswith("log_alpha"):
                return -decay * uniform
            if name.startswith("log_"):
                return torch.log(0.1 + 0.8 * uniform)
            if name == "delta":  # far from every residual, on either side: near one, precisions take different branches
                return torch.where(uniform < 0.5, 1e-3, 1e3)
            named = {"v": normal, "eta": eta * (0.2 + 0.8 * uniform), "ln_weight": 1 + 0.2 * normal, "ln_bias": 0.2 * normal}
            return named.get(name, 0.3 + 1.2 * uniform)

        drawn = {each["name"]: draw(each["name"], each["axes"]) for each in self.manifest["inputs"]}
        if eta == 1.0:
            drawn["eta"] = torch.ones_like(drawn["eta"])
        return {name: x.to(self.dtype).double().to(self.device) for name, x in drawn.items()}

    def state(self, members: int, heads: int, seed: int = 1) -> dict[str, Tensor]:
        """Weights of fan-in size, and a small momentum."""
        generator = torch.Generator().manual_seed(seed)
        sizes = {"B": members, "H": heads, "K": self.key, "V": self.key, "N": self.hidden}
        state = {}
        for entry in self.manifest["state"]:
            if entry["name"].endswith("_start") or entry["name"] == "position":
                continue
            shape = [sizes[a] for a in entry["axes"]]
            scale = 0.1 if entry["name"].endswith("_momentum") else 1.0
            state[entry["name"]] = (scale * shape[-2] ** -0.5 * torch.randn(shape, generator=generator, dtype=DOUBLE)).float().double()
        return {name: x.to(self.device) for name, x in state.items()}


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


Outcome = dict[str, Tensor]


def run(
    operator: Callable[..., Any],
    inputs: dict[str, Tensor],
    state: dict[str, Tensor],
    dtype: torch.dtype,
    cu: Tensor | None = None,
    **options: Any,
) -> Outcome:
    """Outputs, final state and gradients, by name; cotangents are the same for every precision."""
    work = torch.float64 if dtype == DOUBLE else torch.float32
    leaves = {name: x.to(dtype).clone().requires_grad_() for name, x in inputs.items()}
    states = {name: x.to(work).clone().requires_grad_() if x.is_floating_point() else x for name, x in state.items()}
    o, final = operator(**leaves, initial_state=states, output_final_state=True, cu_seqlens=cu, **options)
    total = torch.zeros((), dtype=DOUBLE, device=o.device)
    for index, result in enumerate([o, *(final[name] for name in sorted(final) if final[name].is_floating_point())]):
        generator = torch.Generator().manual_seed(100 + index)
        cotangent = torch.randn(result.shape, generator=generator, dtype=DOUBLE).bfloat16().double().to(o.device)
        total = total + (result.double() * cotangent).sum()
    tracked = {**leaves, **{f"state {name}": x for name, x in states.items() if x.is_floating_point()}}
    gradients = torch.autograd.grad(total, list(tracked.values()), allow_unused=True)
    found = {f"d {name}": g.detach() for name, g in zip(tracked, gradients, strict=True) if g is not None}
    return {"o": o.detach(), **{f"final {name}": x.detach() for name, x in final.items()}, **found}


def rms(actual: Tensor, expected: Tensor) -> float:
    scale = float(expected.double().square().mean().sqrt())
    error = float((actual.double() - expected.double()).square().mean().sqrt())
    return error / (scale or 1.0) if error == error else float("inf")


def compare(actual: Outcome, expected: Outcome, own: Outcome | None, limit: float, factor: float) -> dict[str, Any]:
    """The entry that uses most of what it may: its error and its limit."""
    worst: dict[str, Any] = {"entry": "", "error": 0.0, "limit": limit, "share": -1.0}
    for name, x in expected.items():
        if not x.is_floating_point():
            continue
        error = rms(actual[name], x) if name in actual else float("inf")
        allowed = max(limit, factor * rms(own[name], x)) if own is not None else limit
        if not error / allowed <= worst["share"]:
            worst = {"entry": name, "error": error, "limit": allowed, "share": error / allowed}
    return worst


def amplification(case: Case, inputs: dict[str, Tensor], state: dict[str, Tensor]) -> float:
    """Relative change of the output per relative change of v, in float64."""
    change = 1e-6 * torch.randn(inputs["v"].shape, dtype=DOUBLE).to(case.device)
    with torch.no_grad():
        before = case.reference(**inputs, initial_state=state)[0]
        after = case.reference(**{**inputs, "v": inputs["v"] + change}, initial_state=state)[0]
    return float((after - before).norm() / before.norm() / (change.norm() / inputs["v"].norm()))


def checks(case: Case, heads: int, forced: int) -> Iterator[dict[str, Any]]:
    half = case.dtype == torch.bfloat16
    limit, factor = (HALF, 2.0) if half else (SINGLE, 4.0)
    backend = {"backend": "triton"}
    split = backend if case.device == "cpu" else {}  # on a GPU, states too large to resume with go to PyTorch
    deep = case.hidden > 0
    tile = case.chunk_size if case.frozen else 64
    eta = 0.05 if deep else 0.5

    def own_error(inputs: dict[str, Tensor], state: dict[str, Tensor], cu: Tensor | None) -> Outcome:
        if not half:
            return run(case.reference, inputs, state, torch.float32, cu)
        moved = {n: x.cpu() for n, x in inputs.items()}, {n: x.cpu() for n, x in state.items()}, None if cu is None else cu.cpu()
        with RoundedProducts():  # type: ignore[no-untyped-call]
            rounded = run(case.reference, moved[0], moved[1], DOUBLE, moved[2])
        return {name: x.to(case.device) for name, x in rounded.items()}

    settings = [("calm", eta, 0.05, 1.0), ("correlated keys, no decay", 0.02 if deep else 1.0, 0.0, 0.3), ("strong decay", eta, 6.0, 1.0)]
    for label, step, decay, spread in settings:
        inputs, state = case.inputs(2, 3 * tile + 5, 2, eta=step, decay=decay, spread=spread), case.state(2, 2)
        expected = run(case.reference, inputs, state, DOUBLE)
        actual = run(case.operator, inputs, state, case.dtype, **backend)
        if amplification(case, inputs, state) > CALM:
            continue  # here precisions part company whoever computes
        yield {"check": f"free-running, {label}", **compare(actual, expected, own_error(inputs, state, None), limit, factor)}

    # teacher-forced at a real length: every chunk from its float64 boundary state, packed
    tokens, forced_heads = forced, heads
    inputs, state = case.inputs(1, tokens, forced_heads, eta=eta, decay=0.05, spread=1.0), case.state(1, forced_heads)
    boundary: dict[str, list[Tensor]] = {name: [] for name in state}
    current = state
    with torch.no_grad():
        for first in range(0, tokens, tile):
            for name in state:
                boundary[name].append(current[name])
            piece = {n: x[:, first : first + tile] if x.dim() > 2 else x for n, x in inputs.items()}
            _, current = case.reference(**piece, initial_state={n: current[n] for n in state}, output_final_state=True)
    packed = {name: torch.cat(parts).float().double() for name, parts in boundary.items()}
    cu = torch.arange(0, tokens + 1, tile, dtype=torch.int32, device=case.device)
    expected = run(case.reference, inputs, packed, DOUBLE, cu)
    actual = run(case.operator, inputs, packed, case.dtype, cu, **backend)
    yield {"check": f"teacher-forced, T {tokens}", **compare(actual, expected, own_error(inputs, packed, cu), limit, factor)}

    poison = torch.full((1 << (28 if case.device == "cuda" else 20),), float("nan"), device=case.device)
    del poison
    again = run(case.operator, inputs, packed, case.dtype, cu, **backend)
    same = all(torch.equal(actual[name], again[name]) for name in actual)
    yield {"check": "same bits twice, over memory full of NaN", "entry": "", "error": 0.0 if same else float("inf"), "limit": 0.0}

    # split and packed
    tokens = 2 * tile + 7
    inputs, state = case.inputs(1, tokens, 2, eta=eta, decay=0.05, spread=1.0), case.state(1, 2)
    expected = run(case.reference, inputs, state, DOUBLE)
    with torch.no_grad():
        outputs, current = [], {n: x.float() for n, x in state.items()}
        for first, end in ((0, 3), (3, tile + 1), (tile + 1, tile + 2), (tile + 2, tokens)):
            piece = {n: x[:, first:end].to(case.dtype) if x.dim() > 2 else x.to(case.dtype) for n, x in inputs.items()}
            o, current = case.operator(**piece, initial_state=current, output_final_state=True, **split)
            outputs.append(o)
    whole = {"o": torch.cat(outputs, 1), **{f"final {n}": x for n, x in current.items()}}
    wanted = {n: x for n, x in expected.items() if n in whole}
    yield {"check": "split in four = whole", **compare(whole, wanted, own_error(inputs, state, None), limit, factor)}
    with torch.no_grad():
        cut = {n: x.to(case.dtype) for n, x in inputs.items()}
        o, _ = case.operator(**cut, initial_state={n: x.float() for n, x in state.items()}, **backend)
        changed = {n: torch.cat((x[:, :40], x[:, 40:] * 0.5), 1) if x.dim() > 2 else x for n, x in cut.items()}
        o2, _ = case.operator(**changed, initial_state={n: x.float() for n, x in state.items()}, **backend)
    equal = torch.equal(o[:, :40], o2[:, :40])
    yield {"check": "prefix causality, bits", "entry": "", "error": 0.0 if equal else float("inf"), "limit": 0.0}


def compiles(case: Case) -> dict[str, Any]:
    """torch.compile(fullgraph=True), number of graphs over several T."""
    graphs = 0

    def count(module: Any, _: Any) -> Any:
        nonlocal graphs
        graphs += 1
        return module.forward

    torch._dynamo.reset()

    def call(inputs: dict[str, Tensor], state: dict[str, Tensor]) -> Tensor:
        return case.operator(**inputs, initial_state=state, backend="triton")[0]

    compiled = torch.compile(call, fullgraph=True, backend=count)
    for tokens in (64, 100, 77, 200, 65):
        inputs = {n: x.to(case.dtype) for n, x in case.inputs(1, tokens, 2, eta=0.05, decay=0.05, spread=1.0).items()}
        compiled(inputs, {n: x.float() for n, x in case.state(1, 2).items()})
    return {"check": "torch.compile(fullgraph=True): graphs over 5 lengths", "entry": str(graphs), "error": float(graphs), "limit": 3.0}


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("folder", "name", "dtype"):
        parser.add_argument(name)
    parser.add_argument("--key", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=0)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="fewer tokens")
    parser.add_argument("--strict", action="store_true", help="exit with 1 on a miss")
    given = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    case = Case(given.name, Path(given.folder), getattr(torch, given.dtype), given.key, given.hidden, given.device)
    missed = False
    for row in chain(checks(case, given.heads, 256 if given.quick else 2048), (compiles(case) for _ in range(1))):
        print(json.dumps(row), flush=True)
        missed |= not row["error"] <= row["limit"]
    return int(given.strict and missed)


if __name__ == "__main__":
    sys.exit(main())
