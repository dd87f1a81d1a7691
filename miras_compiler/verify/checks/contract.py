"""The operator contract: names, shapes, chunk boundaries, the meaning of an absent state, and the manifest's description of all that."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.inputs import Inputs
from miras_compiler.verify.literal.mirror import slice_axes
from miras_compiler.verify.measure import Tally
from miras_compiler.verify.package import Operator
from miras_compiler.verify.subject import Subject, call


def _operators(subject: Subject) -> dict[str, Operator]:
    package = subject.package
    return {
        "recurrent": package.naive_recurrent, "torch_chunk": package.torch_chunk, "chunk": package.chunk,
        "fused_recurrent": package.fused_recurrent,
    }  # fmt: skip


def boundaries(subject: Subject, tally: Tally) -> None:
    """After whole chunks the position is 0 and the entering state is the state; without `output_final_state` there is none."""
    inputs = subject.inputs(3, seed=61, position=subject.border - 3, batch=1)
    for name, operator in _operators(subject).items():
        with torch.no_grad():
            _, state = call(operator, inputs, output_final_state=True)
            _, nothing = call(operator, inputs)
        tally.require(f"{name}: a final state although none was asked for", nothing is None)
        if subject.border > 1:
            tally.require(f"{name}: position {state['position'].tolist()} after a whole chunk", not state["position"].any())
        if subject.has_grid:
            for weight in subject.literal.weight_names:
                tally.same_bits(f"{name}: {weight}_start after a whole chunk", state[f"{weight}_start"], state[weight])
            if subject.literal.at_chunk_end:
                for weight in subject.literal.weight_names:
                    tally.require(f"{name}: {weight}_pending after a whole chunk is not 0", not state[f"{weight}_pending"].any())
            if subject.literal.linear_reads:
                tally.require(f"{name}: log_beta after a whole chunk is not 0", not state["log_beta"].any())


def absent_state(subject: Subject, tally: Tally) -> None:
    """`initial_state=None` is a zero dual state for a matrix memory, uniform for f_divergence; where zero is no state, it is refused."""
    inputs = subject.inputs(5, seed=62)
    retention = subject.fields["retention"]

    def first(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if retention["kind"] != "f_divergence":
            return torch.zeros_like(tensor)
        entries = math.prod(tensor.shape[axis] for axis in slice_axes(retention["slice"], tensor))
        return torch.full_like(tensor, float(retention["total"]) / entries)

    zero = replace(inputs, state={name: first(name, tensor) for name, tensor in inputs.state.items()})
    for name, operator in _operators(subject).items():
        if requires_state(subject):
            tally.require(f"{name}: initial_state=None is not refused", _refuses(operator, inputs))
            continue
        with torch.no_grad():
            output, state = _without_state(operator, inputs)
            expected, expected_state = call(operator, zero, output_final_state=True)
        tally.same_bits(f"{name} o", output, expected)
        for entry in expected_state:
            tally.same_bits(f"{name} state {entry}", state[entry], expected_state[entry])


def requires_state(subject: Subject) -> bool:
    """Deep memories own their initial weights; the printed MONETA map divides by the norm of the state, weight_norm keeps it."""
    deep = subject.fields["memory"]["kind"] not in ("matrix", "vector")
    return deep or subject.fields["retention"]["kind"] in ("lq_printed", "weight_norm")


def _without_state(operator: Operator, inputs: Inputs) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    output, state = operator(inputs.q, inputs.k, inputs.v, **inputs.gates, **inputs.parameters, output_final_state=True)
    return output, state


def _refuses(operator: Operator, inputs: Inputs) -> bool:
    try:
        _without_state(operator, inputs)
    except (ValueError, TypeError):
        return True
    return False


def manifest(subject: Subject, tally: Tally) -> None:
    """The manifest's inputs and state are those that the operators take and return, and a letter stands for one length throughout."""
    inputs = subject.inputs(7, seed=63, batch=5, heads=6)
    with torch.no_grad():
        _, state = call(subject.package.naive_recurrent, inputs, output_final_state=True)
    listed = {entry["name"] for entry in subject.package.manifest["inputs"]}
    taken = {"q", "k", "v", *inputs.gates, *inputs.parameters}
    tally.require(f"manifest inputs {sorted(listed)}, operators take {sorted(taken)}", listed == taken)
    described = {entry["name"] for entry in subject.package.manifest["state"]}
    tally.require(f"manifest state {sorted(described)}, operators return {sorted(state)}", described == state.keys())
    taken_tensors = {"q": inputs.q, "k": inputs.k, "v": inputs.v, **inputs.gates, **inputs.parameters}
    lengths: dict[str, int] = {}
    for entries, tensors in (("inputs", taken_tensors), ("state", state)):
        for entry in subject.package.manifest[entries]:
            axes, shape = entry["axes"], tuple(tensors[entry["name"]].shape) if entry["name"] in tensors else None
            if shape is not None:
                fits = len(axes) == len(shape) and all(lengths.setdefault(axis, n) == n for axis, n in zip(axes, shape, strict=True))
                tally.require(f"manifest axes {axes} for {entry['name']} of shape {shape}", fits)


CONTRACT = (
    Check("contract", "final state at a chunk boundary", 0.0, boundaries),
    Check("contract", "initial_state=None", 0.0, absent_state),
    Check("contract", "manifest names inputs and state", 0.0, manifest),
)
