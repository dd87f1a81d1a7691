"""The rows of a layer that are made of other rows, or of 1 − alpha: sums of them, of the token before, and times gates."""

from __future__ import annotations

from dataclasses import dataclass

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.layer.gates import source_of
from miras_compiler.emit.layer.names import sizes
from miras_compiler.emit.printing.python_text import WIDTH, bracketed
from miras_compiler.spec.layer import Layer
from miras_compiler.spec.ties import RETAINED, ZERO, Tie, TieGate, TieTerm, gate_name

VALUES = {RETAINED: '-torch.expm1(gates["log_alpha"])'}  # of sources that are no rows
VARIABLES = {RETAINED: "retained"}
INDENT = 8


@dataclass(frozen=True)
class TiedText:
    """A tied row as text: its gates in the constructor, and in `mix` the statement that makes it."""

    constructions: tuple[str, ...]
    made: str
    description: str


def build_ties(rule: Rule, interface: Interface) -> tuple[TiedText, ...]:
    """The tied rows, in the order of the operator's arguments."""
    rows = {argument.name: argument.axes for argument in interface.tokens}
    return tuple(_tied(rule, name, rule.frame.layer.tie[name], axes) for name, axes in rows.items() if name in rule.frame.layer.tie)


def lagged_sources(layer: Layer) -> tuple[str, ...]:
    """The sources that some row takes from the token before."""
    return tuple(dict.fromkeys(term.of for tie in layer.tie.values() for term in tie.terms if term.lag))


def lag_widths(rule: Rule, interface: Interface) -> list[str]:
    """The statement of the constructor that says which rows the cache holds, and their numbers per token."""
    axes = {argument.name: argument.axes for argument in interface.tokens}
    entries = [
        f'"{before(source)}": {" * ".join(sizes(rule, "HK" if source == RETAINED else axes[source][2:]))}'
        for source in lagged_sources(rule.frame.layer)
    ]
    return [bracketed("self.lags = {", entries, "}", INDENT)] if entries else []


def lag_lines(layer: Layer) -> list[str]:
    """The statements of `mix` that take rows from the token before."""
    lines = []
    for source in lagged_sources(layer):
        name = before(source)
        given = [VALUES.get(source, source), f'past.conv_state.get("{name}")', "cu_seqlens"]
        lines.append(bracketed(f'{name}, tails["{name}"] = lagged(', given, ")", INDENT))
    return lines


def before(source: str) -> str:
    """The name of a source's row of the token before."""
    return f"{VARIABLES.get(source, source)}_before"


def _tied(rule: Rule, name: str, tie: Tie, axes: str) -> TiedText:
    if tie.of == ZERO:
        return TiedText((), f"{name} = with_zeros({name}, {rule.update.writes}, {tie.write})", f"{name} of write {tie.write} = 0")
    gates = [(gate_name(name, number), term.gate) for number, term in enumerate(tie.terms, 1) if term.gate is not None]
    first, *others = (_value(term, gate_name(name, number)) for number, term in enumerate(tie.terms, 1))
    values = [f"{'-' if tie.minus else ''}{first}".removeprefix("--")]
    values += [f"{'-' if term.minus else '+'} {value}" for term, value in zip(tie.plus, others, strict=True)]
    words = [_words(term, name) for term in tie.terms]
    return TiedText(
        constructions=tuple(_construction(rule, gate, own, axes) for gate, own in gates),
        made=_made(name, values, tie),
        description=f"{name} = {words[0] if len(words) == 1 else ' + '.join(f'({each})' for each in words)}",
    )


def _made(name: str, values: list[str], tie: Tie) -> str:
    """The statement that makes a row: in the dtype of the others, where a gate or a decay is of a wider one."""
    if all(term.of != RETAINED and term.gate is None for term in tie.terms):
        return f"{name} = {' '.join(values)}"
    if len(values) == 1 and tie.gate is None and not tie.minus:
        return f"{name} = {values[0]}.to(v.dtype)  # 1 − α"
    line = f"{name} = ({' '.join(values)}).to(v.dtype)"
    if len(line) + INDENT <= WIDTH:
        return line
    return "\n".join([f"{name} = (", *(f"    {value}" for value in values), ").to(v.dtype)"])


def _value(term: TieTerm, gate: str) -> str:
    """A term as an expression."""
    value = before(term.of) if term.lag else VALUES.get(term.of, term.of)
    if term.gate is None:
        return value
    factor = f"self.{gate}(x)"
    if term.gate.source == "constant":
        factor += ".sqrt()" if term.gate.root else ""
    else:  # the root by way of the logarithm, whose slope is finite where the gate is 0
        factor = f"torch.exp(functional.logsigmoid({factor}) / 2)" if term.gate.root else f"torch.sigmoid({factor})"
    return f"{factor}{'[..., None]' if term.gate.per == 'head' else ''} * {value}"


def _construction(rule: Rule, name: str, gate: TieGate, axes: str) -> str:
    heads, channels = sizes(rule, axes[2:])
    module, arguments, _ = source_of(gate.source, gate.low_rank, _shape(gate, heads, channels))
    start = f"[{gate.init!r}]" if gate.source == "constant" else f"logit({gate.init!r})"
    return bracketed(f"self.{name} = {module}(", [*arguments, start], ")", INDENT)


def _shape(gate: TieGate, heads: str, channels: str) -> str:
    return f"({heads},)" if gate.per == "head" else f"({heads}, {channels})"


def _words(term: TieTerm, name: str) -> str:
    """A term for the layer's docstring."""
    words = f"{term.of} of the token before" if term.lag else "that" if term.of == name else term.of
    words = f"minus {words}" if term.minus else words
    if term.gate is None:
        return words
    *_, origin = source_of(term.gate.source, term.gate.low_rank, "")
    constant = term.gate.source == "constant"
    root = "the square root of a gate, " if term.gate.root else ""
    return f"{words}, times {root}{'' if constant else 'sigmoid of '}{origin}, {'' if constant else 'at first '}{term.gate.init:g}"
