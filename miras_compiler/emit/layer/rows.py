"""The rows that a layer makes of hidden states: queries, keys, values, and what else an operator takes per token that is no gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from miras_compiler.derive.leaves import steps_of
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.layer.names import several, sizes
from miras_compiler.emit.python_text import bracketed
from miras_compiler.spec import Spec


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


def build_rows(spec: Spec, interface: Interface) -> tuple[RowText, ...]:
    """The rows in the order of the operator's arguments."""
    gates = {name for gate in spec.gates for name in (gate, f"log_{gate}")}
    steps = steps_of(spec)
    rows = []
    for argument in interface.tokens:
        if argument.name in gates:
            continue
        name = argument.name
        is_key = argument.axes.endswith("K")
        convolution = [f"self.{name}_proj(x)", f'past.conv_state.get("{name}")', "cu_seqlens"]
        convolved = bracketed(f'{name}, tails["{name}"] = self.{name}_conv1d(', convolution, ")", 8)
        made = name if spec.layer.conv else f"self.{name}_proj(x)"
        if spec.layer.activation == "silu":
            made = f"functional.silu({made})"
        made = f"split_heads({made}, self.heads, {steps})" if "R" in argument.axes else f"split_heads({made}, self.heads)"
        if is_key and spec.layer.qk_norm == "l2":
            made = f"unit({made})"
        (width,) = sizes(spec, argument.axes[-1])
        projected = name not in spec.layer.tie or spec.layer.tie[name].of == name
        rows.append(RowText(name, f"{several(argument.axes, steps)}heads * {width}", convolved, made, is_key, projected))
    return tuple(rows)


def row_words(spec: Spec, rows: Sequence[RowText]) -> str:
    """How the rows come about, for the layer's docstring."""
    steps = ["projections of x"]
    if spec.layer.conv:
        steps.append(f"each channel convolved over its last {spec.layer.conv} tokens")
    if spec.layer.activation == "silu":
        steps.append("silu")
    own = [row for row in rows if row.projected]
    words = f"{', '.join(row.name for row in own)} = {', '.join(steps)}"
    if spec.layer.qk_norm == "l2":
        words += f"; {' and '.join(row.name for row in own if row.is_key)} of length 1 in every head"
    return words
