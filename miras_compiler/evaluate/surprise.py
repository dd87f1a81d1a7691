"""Shows the writes of a model's memories for a text: surprise, momentum, retention and state of every token, layer and head."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from miras_compiler.errors import InputError
from miras_compiler.evaluate.recorded import RecordedCall, RecordedMemory, memories_of, recording

MEASURES = {
    "surprise": "‖g‖, the norm of the gradient that the token writes",
    "error": "‖e‖, how far the memory's answer is from the value",
    "bias": "ℓ, the attentional bias",
    "step": "η, the step size",
    "momentum": "‖S‖, the norm of the momentum behind the token",
    "retention": "α, the share of the state that is kept",
    "state": "‖A‖, the norm of the state behind the token",
}
"""In the order of pages and plots; a rule without momentum or retention lacks it."""


class LayerSurprise(NamedTuple):
    """The measures of one block's memory, [T, H] each, by their names in MEASURES."""

    layer: int
    measures: dict[str, Tensor]


@dataclass(frozen=True)
class TextSurprise:
    """Of a text in tokens: the piece of the text that each is, and the layers."""

    pieces: tuple[str, ...]
    layers: tuple[LayerSurprise, ...]

    def measures(self) -> list[str]:
        """The measures that all layers have."""
        return [name for name in MEASURES if all(name in layer.measures for layer in self.layers)]

    def tree(self) -> dict[str, Any]:
        """For JSON: numbers of six digits, token by token and head by head."""
        return {
            "tokens": list(self.pieces),
            "measures": {name: MEASURES[name] for name in self.measures()},
            "layers": [
                {"layer": each.layer, **{name: rounded(each.measures[name]) for name in self.measures()}} for each in self.layers
            ],
        }  # fmt: skip


@torch.no_grad()
def read_surprise(model: nn.Module, tokens: Tensor, pieces: tuple[str, ...], say: Callable[[str], None] = lambda _: None) -> TextSurprise:
    """The measures of the memories of `model` while it reads `tokens` [T]. Raises InputError for a model without a memory."""
    memories = memories_of(model)
    if not memories:
        raise InputError("the model has attention alone: no block has a memory that could be surprised; name a run with a memory")
    with recording(memories):
        model(tokens[None], use_cache=False)
    layers = []
    for memory in memories:
        say(f"layer {memory.layer}")
        writes = [write.alone() for write in memory.writes]
        found = [measured(memory, write) for write in writes if write.tokens["q"].shape[1]]
        joined = {name: torch.cat([each[name] for each in found])[-len(tokens) :] for name in found[0]}  # without persistent tokens
        layers.append(LayerSurprise(memory.layer, joined))
        memory.writes.clear()
    return TextSurprise(pieces, tuple(layers))


def measured(memory: RecordedMemory, write: RecordedCall) -> dict[str, Tensor]:
    """The measures of one call, [T, H] each."""
    recurrent = memory.sibling("recurrent")
    length = write.tokens["q"].shape[1]
    others = {name: x for name, x in write.others.items() if name in memory.contract.parameters or name == "initial_state"}
    trace = getattr(recurrent, f"trace_{memory.name}")(**write.tokens, **others)
    found = {
        "surprise": folded(trace.surprise.square(), length).sqrt(),
        "error": folded(trace.error.square(), length).sqrt(),
        "bias": folded(trace.loss, length),
        "state": trace.state,
    }
    if "eta" in write.tokens:
        found["step"] = folded(per_head(write.tokens["eta"]), length) / (write.tokens["eta"].shape[1] // length)
    if "log_alpha" in write.tokens:
        found["retention"] = per_head(write.tokens["log_alpha"].exp())
    if any(name.endswith("_momentum") for name in memory.contract.state):
        found["momentum"] = momentum(getattr(recurrent, f"naive_recurrent_{memory.name}"), write.tokens, others, length)
    return {name: x[0].float().cpu() for name, x in found.items()}


def momentum(operator: Callable[..., Any], tokens: Mapping[str, Tensor], others: Mapping[str, Any], length: int) -> Tensor:
    """‖S‖ behind every token, [B, T, H]: the state goes from token to token."""
    state, norms = others.get("initial_state"), []
    parameters = {name: x for name, x in others.items() if name != "initial_state"}
    for t in range(length):
        own = {name: by_token(x, length)[:, t] for name, x in tokens.items()}
        _, state = operator(**own, **parameters, initial_state=state, output_final_state=True)
        squares = [x.square().flatten(2).sum(2) for name, x in state.items() if name.endswith("_momentum")]
        norms.append(torch.stack(squares).sum(0).sqrt())
    return torch.stack(norms, 1)


def folded(x: Tensor, length: int) -> Tensor:
    """x [B, writes · T, H], the sum over the writes of a token [B, T, H]."""
    return by_token(x, length).sum(2)


def by_token(x: Tensor, length: int) -> Tensor:
    """x [B, writes · T, …] as [B, T, writes, …]."""
    return x.reshape(len(x), length, -1, *x.shape[2:])


def per_head(gate: Tensor) -> Tensor:
    """A gate [B, T, H] or [B, T, H, channels], the mean of a head's channels [B, T, H]."""
    return gate if gate.dim() == 3 else gate.mean(-1)


def rounded(x: Tensor) -> list[list[float | None]]:
    """Numbers of six digits; None where there is none."""
    return [[float(f"{number:.6g}") if math.isfinite(number) else None for number in row] for row in x.tolist()]
