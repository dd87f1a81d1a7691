"""A program: calls a package's kernels with unusual arguments in Triton's interpreter, and prints the largest error of every claim.

    TRITON_INTERPRET=1 python tests/kit/kernel_arguments.py PACKAGE

Kernels are called below the dispatch, which sends calls without tokens to the PyTorch form.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from miras_compiler.bench.subject import MeasuredPackage, Regime, Shape
from miras_compiler.models import open_package, part_of

WIDTH, HIDDEN = 4, 6
STRIDED = 3  # entries of a view lie so far apart
Tensors = dict[str, Tensor]


class Kernels:
    """The kernels of a package, by both of their operators."""

    def __init__(self, folder: Path) -> None:
        self.subject = subject = MeasuredPackage(folder, "cpu")
        self.chunk, self.chunk_size = subject.kernels._run, subject.chunk_size if subject.has_grid else 0
        self.tokens = part_of(open_package(folder), "decode" if (folder / "decode.py").exists() else "kernels")._run

    def draw(self, batch: int, tokens: int, members: int | None = None, heads: int = 1) -> tuple[Tensors, Tensors]:
        """Inputs, and a state in the middle of a chunk where there are chunks."""
        shape = Shape(batch, tokens, heads, WIDTH, WIDTH, HIDDEN if self.subject.deep else 0)
        inputs, state = self.subject.inputs(shape, Regime(0.3), torch.float32), self.subject.state(members or batch, shape)
        if self.chunk_size:
            other = self.subject.state(members or batch, shape, seed=5)
            state |= {f"{name}_start": x for name, x in other.items() if f"{name}_start" in self.subject.axes}
        found = [{name: x.float() for name, x in each.items()} for each in (inputs, state)]
        if self.chunk_size:
            found[1]["position"] = torch.arange(1, 1 + (members or batch)) % self.chunk_size
        return found[0], found[1]

    def call(self, run: Any, inputs: Tensors, state: Tensors, cu_seqlens: Tensor | None = None) -> Tensors:
        """Outputs and final states by one operator."""
        groups = [{name: x for name, x in inputs.items() if (x.dim() > 2) == is_token} for is_token in (True, False)]
        o, final = run(*groups, state, True, cu_seqlens)
        return {"o": o, **final}

    def both(self, inputs: Tensors, state: Tensors, cu_seqlens: Tensor | None = None) -> Iterator[Tensors]:
        """Outputs, final states and gradients of the parallel form; outputs and final states of the token step."""
        leaves = {name: x.requires_grad_() for name, x in {**inputs, **state}.items() if x.is_floating_point() and x.is_leaf}
        found = self.call(self.chunk, inputs, state, cu_seqlens)
        loss = sum((weights(x) * x).sum() for x in found.values() if x.requires_grad)
        assert isinstance(loss, Tensor)
        gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        pairs = zip(leaves, gradients, strict=True)
        yield {name: x.detach() for name, x in found.items()} | {f"d {name}": x for name, x in pairs if x is not None}
        with torch.no_grad():
            found = self.call(self.tokens, inputs, state, cu_seqlens)
        yield found


def weights(x: Tensor) -> Tensor:
    """Gradients of a result, the same for all tensors of its shape, and for all sequences."""
    return torch.cos(torch.arange(x[0].numel()) * 1.7).reshape(x.shape[1:]).expand(x.shape)


def error(found: Tensors, expected: Tensors) -> float:
    """The largest difference of any two entries; infinite where one is no number."""
    assert found.keys() == expected.keys(), (found.keys(), expected.keys())
    differences = [(found[name].detach().double() - x.detach().double()).abs().max() for name, x in expected.items()]
    return max(float(x) if x == x else float("inf") for x in differences)


def worst(found: Iterator[Tensors], expected: Iterator[Tensors]) -> float:
    return max(error(x, y) for x, y in zip(found, expected, strict=True))


def view(x: Tensor) -> Tensor:
    """The same values in memory that is not dense."""
    wide = torch.full((*x.shape, STRIDED), 77, dtype=x.dtype)
    wide[..., 1] = x.detach()
    return wide[..., 1]


@contextmanager
def poisoned() -> Iterator[None]:
    """New memory holds no numbers."""
    original = torch.empty
    torch.empty = lambda *size, **more: original(*size, **more).fill_(float("nan"))
    try:
        yield
    finally:
        torch.empty = original


def agreement(kernels: Kernels) -> float:
    """Outputs, final states and gradients are those of the float64 form; relative to the largest entry of each."""
    inputs, state = kernels.draw(2, 9, heads=2)
    doubles = [{name: x if name == "position" else x.double() for name, x in each.items()} for each in (inputs, state)]
    leaves = {name: x.requires_grad_() for each in doubles for name, x in each.items() if x.is_floating_point()}
    o, final = kernels.subject.reference(**doubles[0], initial_state=doubles[1], output_final_state=True)
    results = {"o": o, **final}
    loss = sum(((weights(x) * x).sum() for name, x in results.items() if name != "position"), torch.zeros(()))
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    results |= {f"d {name}": x for name, x in zip(leaves, gradients, strict=True)}
    scaled = {name: float(x.detach().abs().max()) or 1.0 for name, x in results.items()}
    return worst(
        ({name: x / scaled[name] for name, x in found.items()} for found in kernels.both(inputs, state)),
        ({name: x / scaled[name] for name, x in results.items() if name in names} for names in (results, {"o", *final})),
    )


def views(kernels: Kernels) -> float:
    """Arguments that are views give the results of dense ones."""
    inputs, state = kernels.draw(1, 9, 2)
    others = [{name: view(x) for name, x in each.items()} for each in (inputs, state)]
    borders = torch.tensor([0, 3, 9], dtype=torch.int32)
    return worst(kernels.both(others[0], others[1], view(borders)), kernels.both(inputs, state, borders))


def expanded(kernels: Kernels) -> float:
    """Arguments that are one sequence expanded to two give the results of two equal sequences."""
    one = kernels.draw(1, 9)
    inputs, state = ({name: x.expand(2, *x.shape[1:]) if kernels.subject.axes[name][0] == "B" else x for name, x in e.items()} for e in one)
    dense = [{name: x.clone() for name, x in each.items()} for each in (inputs, state)]
    with torch.no_grad():
        runs = (kernels.chunk, kernels.tokens)
        return max(error(kernels.call(run, inputs, state), kernels.call(run, dense[0], dense[1])) for run in runs)


def rest_of_row(kernels: Kernels) -> float:
    """Behind the last border, outputs and gradients are 0, whatever memory held; before it, they are those of a shorter row."""
    inputs, state = kernels.draw(1, 9, 2)
    borders = torch.tensor([0, 3, 7], dtype=torch.int32)
    short = {name: x[:, :7].clone() if x.dim() > 2 else x.clone() for name, x in inputs.items()}
    expected = kernels.both(short, {name: x.clone() for name, x in state.items()}, borders)
    with poisoned():
        found = list(kernels.both(inputs, state, borders))
    rows = {"o", *(f"d {name}" for name, x in inputs.items() if x.dim() > 2)}
    errors = []
    for given, wanted in zip(found, expected, strict=True):
        behind = {name: x[:, 7:] for name, x in given.items() if name in rows}
        errors.append(error(behind, {name: torch.zeros_like(x) for name, x in behind.items()}))
        errors.append(error({name: x[:, :7] if name in rows else x for name, x in given.items()}, wanted))
    return max(errors)


def no_tokens(kernels: Kernels) -> float:
    """A sequence without tokens hands on its state and that state's gradient, at any position in a chunk, and others run as if alone."""
    inputs, state = kernels.draw(1, 9, 5)
    borders = torch.tensor([0, 0, 3, 3, 9, 9], dtype=torch.int32)
    full, idle = [1, 3], [0, 2, 4]
    if kernels.chunk_size:
        state["position"] = state["position"].roll(1)  # 0 is among those of the idle ones
    fewer = {name: x[full].clone() for name, x in state.items()}
    expected = kernels.both({name: x.clone() for name, x in inputs.items()}, fewer, borders[[0, 2, 4]])
    errors = []
    for given, wanted in zip(kernels.both(inputs, state, borders), expected, strict=True):
        of_states = {name for name in given if name in state or name.removeprefix("d ") in state}
        errors.append(error({name: x[full] if name in of_states else x for name, x in given.items()}, wanted))
        handed = {name: x.detach() for name, x in state.items()}
        handed |= {f"d {name}": weights(x) for name, x in handed.items() if f"d {name}" in given}
        errors.append(error({name: given[name][idle] for name in handed}, {name: x[idle] for name, x in handed.items()}))
    return max(errors)


def no_tokens_at_all(kernels: Kernels) -> float:
    """A batch without tokens hands its state on."""
    inputs, state = kernels.draw(2, 0)
    wanted = {name: x.detach() for name, x in state.items()}
    return max(error({name: given[name] for name in wanted}, wanted) for given in kernels.both(inputs, state))


def float16(kernels: Kernels) -> float:
    """The error of float16 tokens in units of float16's own, with states far outside of its range."""
    inputs, state = kernels.draw(1, 20)
    inputs |= {"k": torch.ones_like(inputs["k"]), "v": 6e4 * inputs["v"].sign(), "q": inputs["q"] * 1e-3}
    inputs |= {name: x.abs() for name, x in inputs.items() if name == "eta"}
    half = {name: x.detach().half() for name, x in inputs.items()}
    state = {name: x.detach() * (1 if name == "position" else 1e6) for name, x in state.items()}
    whole = {name: x if name == "position" else x.double() for name, x in state.items()}
    exact = kernels.subject.reference(**{name: x.double() for name, x in half.items()}, initial_state=whole)
    with torch.no_grad():
        outputs = [kernels.call(run, half, state)["o"] for run in (kernels.chunk, kernels.tokens)]
    return max(float((o.double() - exact[0]).abs().max() / (exact[0].abs().max() * 2**-11)) for o in outputs)


def transforms(kernels: Kernels) -> float:
    """torch.func: gradients, gradients of every sample, and vmap over decays or steps, positions and borders give the results of loops."""
    inputs, state = kernels.draw(2, 6, heads=2)
    samples = [{name: x[:, None] for name, x in each.items()} for each in (inputs, state)]
    inputs = {name: x[:, None] if kernels.subject.axes[name][0] == "B" else x for name, x in inputs.items()}
    batched = {name: 0 if kernels.subject.axes[name][0] == "B" else None for name in inputs}
    floats = {name: x for name, x in samples[1].items() if x.is_floating_point()}
    rest = {name: x for name, x in samples[1].items() if name not in floats}

    def loss(tokens: Tensors, states: Tensors, whole: Tensors) -> Tensor:
        found = kernels.call(kernels.chunk, tokens, {**states, **whole})
        return sum(((weights(x) * x).sum() for name, x in found.items() if name != "position"), torch.zeros(()))

    gradient = torch.func.grad(loss, argnums=(0, 1))
    several = torch.vmap(gradient, in_dims=(batched, 0, 0))(inputs, floats, rest)
    errors = []
    for index in range(2):
        one = [{name: x[index] if x.dim() > 2 else x for name, x in inputs.items()}, {name: x[index] for name, x in floats.items()}]
        whole = {name: x[index] for name, x in rest.items()}
        leaves = [{name: x.clone().requires_grad_() for name, x in each.items()} for each in one]
        value = loss(leaves[0], leaves[1], whole)
        flat = torch.autograd.grad(value, [x for each in leaves for x in each.values()])
        expected = dict(zip([name for each in leaves for name in each], flat, strict=True))
        plain = gradient(one[0], one[1], whole)
        errors.append(error({**plain[0], **plain[1]}, expected))
        errors.append(error({name: x[index] for each in several for name, x in each.items()}, expected))
    step = torch.stack([inputs["eta"][0], 0.5 * inputs["eta"][0]])
    first = {name: x[0] if x.dim() > 2 else x for name, x in inputs.items()}
    for run in (kernels.chunk, kernels.tokens):

        def outputs(eta: Tensor, run: Any = run) -> Tensor:
            return kernels.call(run, {**first, "eta": eta}, {name: x[0] for name, x in samples[1].items()})["o"]

        with torch.no_grad():
            errors.append(error({"o": torch.vmap(outputs)(step)}, {"o": torch.stack([outputs(eta) for eta in step])}))
    return max(errors)


def second_derivatives(kernels: Kernels) -> float:
    """0 where they are refused with the remedy, by autograd and by torch.func."""
    inputs, state = kernels.draw(1, 3)
    eta = inputs["eta"].requires_grad_()

    def loss(eta: Tensor) -> Tensor:
        return kernels.call(kernels.chunk, {**inputs, "eta": eta}, state)["o"].sum()

    def by_autograd() -> None:
        (first,) = torch.autograd.grad(loss(eta), eta, create_graph=True)
        torch.autograd.grad(first.sum(), eta)

    def by_transforms() -> None:
        torch.func.grad(lambda x: torch.func.grad(loss)(x).sum())(eta.detach())

    refused = 0
    for twice in (by_autograd, by_transforms):
        try:
            twice()
        except RuntimeError as problem:
            refused += str(problem) == "the kernels have no second derivatives; backend='torch' has"
    return 2 - refused


CLAIMS: tuple[Callable[[Kernels], float], ...] = (
    agreement, views, expanded, rest_of_row, no_tokens, no_tokens_at_all, float16, transforms, second_derivatives,
)  # fmt: skip


if __name__ == "__main__":
    package = Kernels(Path(sys.argv[1]))
    print(json.dumps({claim.__name__: claim(package) for claim in CLAIMS}))
