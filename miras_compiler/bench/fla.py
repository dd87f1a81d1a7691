"""Operators of fla-core that compute the same function as a spec: they take the inputs of the package, and its float64 form judges both."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from miras_compiler.bench.contender import Contender, Peer, PeerWork
from miras_compiler.bench.precision import lowered, rms, run
from miras_compiler.bench.subject import MeasuredPackage, Regime

Tensors = Mapping[str, Tensor]
SAME = "the same function of the same inputs"


Source = str | Callable[[Tensors], Tensor]


class FlaOperator(NamedTuple):
    """The module of an operator, and its names for our inputs; a function makes an argument out of several of them.

    `ties` are inputs of ours that it takes to be others.
    """

    path: str
    arguments: Mapping[str, Source]
    constants: Mapping[str, object] = {}
    ties: Mapping[str, str] = {}

    def free(self, inputs: Tensors) -> dict[str, Tensor]:
        """The inputs that it has a choice of."""
        return {name: x for name, x in inputs.items() if name not in self.ties}

    def tied(self, inputs: Tensors) -> dict[str, Tensor]:
        """All inputs, the tied ones as it takes them."""
        return {**inputs, **{name: inputs[other] for name, other in self.ties.items()}}

    def __call__(self, *, initial_state: Tensors, output_final_state: bool, **inputs: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The operator under our contract, for batches of sequences of equal length: outputs, and the final state."""
        module, _, name = self.path.partition(":")
        found = {argument: inputs[ours] if isinstance(ours, str) else ours(inputs) for argument, ours in self.arguments.items()}
        operator = getattr(importlib.import_module(module), name)
        o, state = operator(
            **found, **self.constants, scale=1.0, initial_state=initial_state["W"], output_final_state=output_final_state
        )  # fmt: skip
        return o, {"W": state}


def scaled_values(inputs: Tensors) -> Tensor:
    """Values times their step, where an operator has no step of its own."""
    return (inputs["v"] * inputs["eta"][..., None]).to(inputs["v"].dtype)


def negative_erase_keys(inputs: Tensors) -> Tensor:
    return -inputs["erase_key"]


TOKENS: Mapping[str, Source] = {"q": "q", "k": "k", "v": "v"}
DECAYED: Mapping[str, Source] = {"q": "q", "k": "k", "v": scaled_values, "g": "log_alpha"}
OPERATORS: Mapping[str, FlaOperator] = {  # by the name of a spec
    "linear_attention": FlaOperator("fla.ops.linear_attn:chunk_linear_attn", {**TOKENS, "v": scaled_values}, {"normalize": False}),
    "mamba2": FlaOperator("fla.ops.simple_gla:chunk_simple_gla", DECAYED),
    "lightning": FlaOperator("fla.ops.simple_gla:chunk_simple_gla", DECAYED),
    "retnet": FlaOperator("fla.ops.simple_gla:chunk_simple_gla", DECAYED),
    "gla": FlaOperator("fla.ops.gla:chunk_gla", DECAYED),
    "hgrn2": FlaOperator("fla.ops.gla:chunk_gla", DECAYED),
    "delta_net": FlaOperator("fla.ops.delta_rule:chunk_delta_rule", {**TOKENS, "beta": "eta"}),
    "gated_delta_net": FlaOperator("fla.ops.gated_delta_rule:chunk_gated_delta_rule", {**TOKENS, "g": "log_alpha", "beta": "eta"}),
    "kda": FlaOperator("fla.ops.kda:chunk_kda", {**TOKENS, "g": "log_alpha", "beta": "eta"}),
    "comba": FlaOperator(
        "fla.ops.comba:chunk_comba", {**TOKENS, "p": "erase_key", "g": "log_alpha", "beta": "eta"}, ties={"erase_write_key": "k"}
    ),
    "delta_product": FlaOperator(
        "fla.ops.gated_delta_product:chunk_gated_delta_product", {**TOKENS, "g": "log_alpha", "beta": "eta"}, {"num_householder": 2}
    ),
    "rwkv7": FlaOperator(
        "fla.ops.rwkv7:chunk_rwkv7",
        {"r": "q", "w": "log_alpha", "k": "k", "v": "v", "a": negative_erase_keys, "b": "erase_write_key"},
    ),
}


def peer_of(name: str) -> Peer:
    operator = OPERATORS[name]
    return Peer("fla", SAME, lambda setting: build(operator, setting), lambda setting: error(operator, setting))


def build(operator: FlaOperator, setting: PeerWork) -> Contender:
    """The operator on the inputs that the package's own kernels are timed with."""
    import fla

    lift_guard()
    subject = MeasuredPackage(setting.package)
    inputs = operator.free(subject.inputs(setting.shape, Regime(0.01, 0.01), torch.bfloat16))
    tokens = {name: x.requires_grad_() for name, x in lowered(inputs, torch.bfloat16, torch.float32).items()}
    state = {name: x.float().requires_grad_() for name, x in subject.state(setting.shape.batch, setting.shape).items()}
    label = f"fla-core {fla.__version__} {operator.path.rpartition(':')[2]}"

    def forward() -> Tensor:
        return operator(initial_state=state, output_final_state=False, **tokens)[0]

    return Contender(label, forward, (*tokens.values(), *state.values()))


def error(operator: FlaOperator, setting: PeerWork) -> float:
    """In bfloat16 against the float64 form of the package: the worst of output, final state and every gradient that it has."""
    lift_guard()
    subject, shape = MeasuredPackage(setting.package), setting.shape
    inputs, state = operator.free(subject.inputs(shape, Regime(0.5), torch.bfloat16)), subject.state(shape.batch, shape)

    def theirs(cu_seqlens: None, **given: Any) -> tuple[Tensor, dict[str, Tensor]]:
        return operator(**given)

    def reference(**given: Any) -> tuple[Tensor, dict[str, Tensor]]:
        return subject.reference(**operator.tied(given))  # type: ignore[no-any-return]

    found = run(theirs, lowered(inputs, torch.bfloat16, torch.float32), state)
    expected = run(reference, inputs, state)
    return max(rms(x, expected[name]) for name, x in found.items())


def lift_guard() -> None:
    """fla refuses its gated backward pass on Hopper with some versions of Triton; the error beside the figure says whether it is right."""
    chunk_o = importlib.import_module("fla.ops.common.chunk_o")
    vars(chunk_o)["IS_NVIDIA_HOPPER"] = False
