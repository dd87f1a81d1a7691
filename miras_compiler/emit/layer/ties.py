"""The rows of a layer that are made of other rows, or of 1 − alpha, and the gates by which they are multiplied."""

from __future__ import annotations

from dataclasses import dataclass

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.layer.gates import source_of
from miras_compiler.emit.layer.names import sizes
from miras_compiler.emit.printing.python_text import bracketed
from miras_compiler.spec.ties import RETAINED, Tie


@dataclass(frozen=True)
class TiedText:
    """A tied row as text: its gate in the constructor, if it has one, and in `mix` the line that makes it."""

    name: str
    construction: str
    made: str
    description: str


def build_ties(rule: Rule, interface: Interface) -> tuple[TiedText, ...]:
    """The tied rows, in the order of the operator's arguments."""
    rows = {argument.name: argument.axes for argument in interface.tokens}
    return tuple(_tied(rule, name, rule.spec.layer.tie[name], axes) for name, axes in rows.items() if name in rule.spec.layer.tie)


def _tied(rule: Rule, name: str, tie: Tie, axes: str) -> TiedText:
    words = f"{name} = {tie.of if tie.of != name else 'that'}"
    value = '-torch.expm1(gates["log_alpha"])' if tie.of == RETAINED else str(tie.of)
    if tie.gate is None:
        made = f"{name} = {value}" if tie.of != RETAINED else f"{name} = {value}.to(v.dtype)  # 1 − α"
        return TiedText(name, "", made, words)
    heads, channels = sizes(rule, axes[2:])
    per_head = tie.gate.per == "head"
    module, arguments, origin = source_of(tie.gate.source, tie.gate.low_rank, f"({heads},)" if per_head else f"({heads}, {channels})")
    constant = tie.gate.source == "constant"
    start = f"[{tie.gate.init!r}]" if constant else f"logit({tie.gate.init!r})"
    factor = f"self.{name}_gate(x)" if constant else f"torch.sigmoid(self.{name}_gate(x))"
    return TiedText(
        name=name,
        construction=bracketed(f"self.{name}_gate = {module}(", [*arguments, start], ")", 8),
        made=f"{name} = ({factor}{'[..., None]' if per_head else ''} * {value}).to(v.dtype)",
        description=f"{words}, times {'' if constant else 'sigmoid of '}{origin}, {'' if constant else 'at first '}{tie.gate.init:g}",
    )
