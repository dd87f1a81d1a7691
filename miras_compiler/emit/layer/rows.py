"""The rows that a layer makes of hidden states: queries, keys, values, and the operator's other arguments per token that are no gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.layer.names import several, sizes, value_heads
from miras_compiler.emit.printing.python_text import bracketed
from miras_compiler.spec.ties import ZERO


@dataclass(frozen=True)
class RowText:
    """One row per head: its name, its width in the constructor, and in `mix` its convolution and the expression for it.

    A row that is made of others has no projection.
    """

    name: str
    width: str
    convolved: str
    made: str
    is_key: bool
    projected: bool


def build_rows(rule: Rule, interface: Interface) -> tuple[RowText, ...]:
    """The rows in the order of the operator's arguments."""
    gates = {name for gate in rule.gates for name in (gate, f"log_{gate}")}
    layer, rows = rule.frame.layer, []
    for argument in interface.tokens:
        if argument.name in gates:
            continue
        name, tie = argument.name, layer.tie_of(argument.name)
        is_key = argument.axes.endswith("K")
        heads = "heads" if is_key else value_heads(layer)
        writes = rule.update.writes if "R" in argument.axes else 1
        writes -= tie is not None and tie.of == ZERO
        convolution = [f"self.{name}_proj(x)", f'past.conv_state.get("{name}")', "cu_seqlens"]
        convolved = bracketed(f'{name}, tails["{name}"] = self.{name}_conv1d(', convolution, ")", 8)
        made = name if layer.conv else f"self.{name}_proj(x)"
        if layer.activation == "silu":
            made = f"functional.silu({made})"
        made = f"split_heads({made}, self.{heads}, {writes})" if writes > 1 else f"split_heads({made}, self.{heads})"
        if is_key and layer.qk_norm == "l2":
            made = f"unit({made})"
        if is_key and layer.groups > 1:
            made = f"repeat_heads({made}, self.value_heads)"
        (width,) = sizes(rule, argument.axes[-1])
        projected = tie is None or tie.projects(name)
        rows.append(RowText(name, f"{several(argument.axes, writes)}{heads} * {width}", convolved, made, is_key, projected))
    return tuple(rows)


def row_words(rule: Rule, rows: Sequence[RowText]) -> str:
    """The making of rows, for the layer's docstring."""
    steps = ["projections of x"]
    if rule.frame.layer.conv:
        steps.append(f"each channel convolved over its last {rule.frame.layer.conv} tokens")
    if rule.frame.layer.activation == "silu":
        steps.append("silu")
    own = [row for row in rows if row.projected]
    words = f"{', '.join(row.name for row in own)} = {', '.join(steps)}"
    if rule.frame.layer.qk_norm == "l2":
        words += f"; {' and '.join(row.name for row in own if row.is_key)} of length 1 in every head"
    if rule.frame.layer.groups > 1:
        words += f"; {' and '.join(row.name for row in own if row.is_key)} shared by {rule.frame.layer.groups} heads of values"
    return words
