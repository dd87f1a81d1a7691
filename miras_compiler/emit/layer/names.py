"""Shapes and calls of a layer as Python text."""

from __future__ import annotations

from miras_compiler.derive.rule import Rule
from miras_compiler.errors import InternalError
from miras_compiler.spec.layer import Layer


def sizes(rule: Rule, axes: str) -> list[str]:
    """The names of the layer's constructor for the lengths of axes of the operator: heads, head_dim for "HK"."""
    lengths = {"H": value_heads(rule.frame.layer), "K": "head_dim", "V": "value_dim", "W": str(rule.surprise.window)}
    if rule.frame.hidden_dim:
        expansion = rule.frame.hidden_dim // rule.frame.key_dim
        lengths["N"] = "head_dim" if expansion == 1 else f"{expansion} * head_dim"
    if rule.features.outer:
        degree = rule.features.degree
        lengths |= {"F": f"math.comb(head_dim + {degree}, {degree})", "D": str(degree + 1)}
    if unknown := set(axes) - set(lengths):
        raise InternalError(f"a layer has no length for the axis {', '.join(sorted(unknown))} of its operator")
    return [lengths[axis] for axis in axes]


def value_heads(layer: Layer) -> str:
    """The name of the number of heads of values, of gates and of the memory."""
    return "value_heads" if layer.groups > 1 else "heads"


def several(axes: str, steps: int) -> str:
    """ "3 * " before a width per token, where the operator takes `steps` = 3 rows of [B, R, ...] per token."""
    return f"{steps} * " if "R" in axes and steps > 1 else ""
