"""Two generated layers learn to recall: pairs of keys and values, then the keys again in another order (MQAR); also under autocast."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from kit.layer_package import package_of
from kit.paths import SPECS
from miras_compiler.spec import load_spec
from miras_compiler.spec.exports import layer_class

pytestmark = pytest.mark.slow

PAIRS = 8
LETTERS = 16  # different keys, and different values
WIDTH = 64
STEPS = 600
CHUNK = 12  # the keys are asked for in the third chunk, or in the second


class Block(nn.Module):
    """x + layer(norm(x))."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        return x + self.layer(self.norm(x))[0]


def draw(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """k₁ v₁ … k₈ v₈ and the eight keys once more in random order [batch, 24], and the values that belong to these [batch, 8]."""
    keys = torch.rand(batch, LETTERS, generator=generator).argsort(1)[:, :PAIRS]
    values = torch.randint(LETTERS, (batch, PAIRS), generator=generator)
    order = torch.rand(batch, PAIRS, generator=generator).argsort(1)
    pairs = torch.stack((keys, LETTERS + values), 2).flatten(1)
    return torch.cat((pairs, keys.gather(1, order)), 1), values.gather(1, order)


def learned_accuracy(network: nn.Module, generator: torch.Generator, enough: float, bfloat16: bool) -> float:
    """The share of keys of fresh sequences that are answered right, after training until it is `enough`, or for STEPS steps."""

    def answer(tokens: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            answers: Tensor = network(tokens)[:, 2 * PAIRS :].float()
        return answers

    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=0.0)
    accuracy = 0.0
    for step in range(1, STEPS + 1):
        tokens, values = draw(32, generator)
        answers = answer(tokens)
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(answers.flatten(0, 1), values.flatten()))
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 20 == 0:
            tokens, values = draw(64, generator)
            with torch.no_grad():
                accuracy = float((answer(tokens).argmax(-1) == values).float().mean())
            if accuracy >= enough:
                break
    return accuracy


WIDE = 2 * 16**0.5  # a threshold that most errors of a memory with LayerNorm, about √V long, stay below
CASES: dict[str, dict[str, object]] = {
    "gated_delta_net": {},
    "huber_delta": {},
    "titans_lmm": {"memory.expansion": 2},
    "yaad": {"memory.expansion": 2, "gates.delta.init": WIDE},
}


@pytest.mark.parametrize(
    ("name", "bfloat16"),
    [("gated_delta_net", False), ("huber_delta", False), ("titans_lmm", False), pytest.param("yaad", True, marks=pytest.mark.thorough)],
)
def test_two_layers_learn_associative_recall(name: str, bfloat16: bool) -> None:
    """Chance is 1/16: only a memory that binds the values of this sequence to its keys can answer."""
    dims: dict[str, object] = {"layer.heads": 2, "layer.head_dim": 16, "layer.value_dim": 16, "chunk.size": CHUNK}
    spec = load_spec(SPECS / f"{name}.yaml", dims | CASES[name])
    layer = getattr(package_of(spec), layer_class(spec))
    torch.manual_seed(0)
    blocks = [Block(layer(WIDTH, layer_idx=number)) for number in range(2)]
    network = nn.Sequential(nn.Embedding(2 * LETTERS, WIDTH), *blocks, nn.LayerNorm(WIDTH), nn.Linear(WIDTH, LETTERS))
    assert learned_accuracy(network, torch.Generator().manual_seed(1), enough=0.95, bfloat16=bfloat16) >= 0.95
