"""The sizes of a spec's model: those of its `model` section, and those that a preset's number of parameters asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.model.count import count_model
from miras_compiler.spec.model import PRESETS, RATIO

STEP = 64  # inner widths of MLPs are multiples of it


@dataclass(frozen=True)
class ModelSizes:
    """The numbers of a configuration."""

    vocab_size: int  # 0 where the input is values
    hidden_size: int
    layers: int
    heads: int
    value_heads: int
    head_dim: int
    value_dim: int
    intermediate_size: int
    attention_heads: int


def sizes_of(rule: Rule, interface: Interface) -> ModelSizes:
    """The sizes of the model as the spec describes it."""
    model = rule.frame.model
    heads = rule.frame.model_heads
    hidden = heads * max(1, model.hidden_size // heads)  # the spec's, but where it is the default and heads do not divide it
    ratio = RATIO if model.mlp.ratio is None else model.mlp.ratio
    inner = 0 if model.mlp.kind == "none" else STEP * max(1, round(ratio * hidden / STEP))
    widths = rule.frame.layer.head_dim, rule.frame.value_dim, inner, model.attention_heads
    sizes = ModelSizes(model.vocab_size or 0, hidden, model.layers, heads, heads * rule.frame.layer.groups, *widths)
    if model.preset is None or model.mlp.ratio is not None:
        return sizes
    wanted = PRESETS[model.preset].parameters - count_model(rule, interface, replace(sizes, intermediate_size=0))
    step = count_model(rule, interface, replace(sizes, intermediate_size=2 * STEP)) - count_model(
        rule, interface, replace(sizes, intermediate_size=STEP)
    )
    return replace(sizes, intermediate_size=STEP * max(1, round((wanted - hidden * model.layers) / step)))
