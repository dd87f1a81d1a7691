"""Fills the skeleton of layer.py: the constructor, the start of parameters and of the memory, and `mix`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface, remark_paragraph
from miras_compiler.emit.layer.gates import GateText, build_gates
from miras_compiler.emit.layer.imports import imports
from miras_compiler.emit.layer.names import value_heads
from miras_compiler.emit.layer.owned import OwnedText, build_parameters, build_weights, start_words
from miras_compiler.emit.layer.read import read
from miras_compiler.emit.layer.rows import RowText, build_rows, row_words
from miras_compiler.emit.layer.ties import TiedText, build_ties, lag_lines, lag_widths
from miras_compiler.emit.printing.python_text import bracketed, header
from miras_compiler.emit.printing.template import fill
from miras_compiler.spec.exports import layer_class

DOC_WIDTH = 130
NORMS = {"rms": "rms_norm(o, self.o_norm_weight)", "layer": "layer_norm(o, self.o_norm_weight)", "none": "o"}


def emit_layer(rule: Rule, interface: Interface) -> str:
    """Text of layer.py."""
    rows, gates, ties = build_rows(rule, interface), build_gates(rule, interface), build_ties(rule, interface)
    weights, parameters = build_weights(rule, interface), build_parameters(rule, interface)
    constructor = construct(rule, interface, rows, gates, ties, (*weights, *parameters))
    methods = [*reset(rule, (*weights, *parameters)), mix(rule, rows, gates, ties, parameters), *initial_state(weights)]
    if reading := read(rule, interface, rows, parameters, output_of(rule)):
        methods.append(method(reading))
    return fill("layer.py", {
        "header": header(rule.frame),
        "name": rule.frame.name,
        "class_name": layer_class(rule.frame),
        "description": describe(rule, interface, rows, gates, ties),
        "state_remark": remark_paragraph(rule),
        "hidden_size": rule.frame.layer.heads * rule.frame.layer.head_dim,
        "heads": rule.frame.layer.heads,
        "head_dim": rule.frame.layer.head_dim,
        "grouped": rule.frame.layer.groups > 1,
        "value_dim": rule.frame.layer.value_dim,
        "constructor": constructor,
        "methods": methods,
        "imports": imports(rule.frame, "\n".join((constructor, *methods))),
    })  # fmt: skip


def construct(
    rule: Rule,
    interface: Interface,
    rows: Sequence[RowText],
    gates: Sequence[GateText],
    ties: Sequence[TiedText],
    owns: Sequence[OwnedText],
) -> str:
    """The body of the constructor: the widths and their checks, then the modules and parameters in the order of their use."""
    layer, heads = rule.frame.layer, value_heads(rule.frame.layer)
    lines = ["value_dim = head_dim if value_dim is None else value_dim"] if layer.value_dim == layer.head_dim else []
    lines.append("check_widths(hidden_size=hidden_size, heads=heads, head_dim=head_dim, value_dim=value_dim)")
    if rule.memory.one_width:
        lines.append("check_one_width(head_dim, value_dim)")
    if layer.groups > 1:
        lines.append(f"value_heads = count_value_heads(heads, value_heads, {layer.groups})")
    lines += [f"check_heads({heads}, {gate.name}={gate.starts})" for gate in gates if gate.starts > 1]
    lines.append("self.heads = heads")
    if layer.groups > 1:
        lines.append("self.value_heads = value_heads")
    own = [row for row in rows if row.projected]
    lines += [f"self.{row.name}_proj = nn.Linear(hidden_size, {row.width}, bias=False)" for row in own]
    if layer.conv:
        lines += [f"self.{row.name}_conv1d = ShortConvolution({row.width}, {layer.conv})" for row in own]
    lines += [construction for gate in gates for construction in gate.constructions]
    lines += [construction for tied in ties for construction in tied.constructions]
    lines += lag_widths(rule, interface)
    lines += [owned.construction for owned in owns]
    if layer.output_norm != "none":
        lines.append("self.o_norm_weight = nn.Parameter(torch.empty(value_dim))")
    if layer.skip:
        lines.append(f"self.D = nn.Parameter(torch.empty({heads}))")
    if layer.output_gate:
        lines.append(f"self.g_proj = nn.Linear(hidden_size, {heads} * value_dim, bias=False)")
    lines.append(f"self.o_proj = nn.Linear({heads} * value_dim, hidden_size, bias=False)")
    if draws_of(rule, owns):
        lines.append("self.reset_parameters()")
    return textwrap.indent("\n".join(lines), " " * 8)


def draws_of(rule: Rule, owns: Sequence[OwnedText]) -> list[str]:
    """The statements that give the layer's own parameters their values before training."""
    norm = [] if rule.frame.layer.output_norm == "none" else ["nn.init.ones_(self.o_norm_weight)"]
    return [*(owned.draw for owned in owns), *norm, *(["nn.init.ones_(self.D)"] if rule.frame.layer.skip else [])]


def reset(rule: Rule, owns: Sequence[OwnedText]) -> list[str]:
    """`reset_parameters`, where the layer has parameters besides those of its modules."""
    draws = draws_of(rule, owns)
    lines = ["def reset_parameters(self) -> None:", '    """Draws what the layer itself owns; its modules draw their own."""']
    return [method([*lines, *(f"    {draw}" for draw in draws)])] if draws else []


def mix(rule: Rule, rows: Sequence[RowText], gates: Sequence[GateText], ties: Sequence[TiedText], parameters: Sequence[OwnedText]) -> str:
    """`mix`: rows and gates of the hidden states, the operator, the output."""
    own, layer = [row for row in rows if row.projected], rule.frame.layer
    lines, lags = [], lag_lines(layer)
    if layer.conv or lags:
        lines.append("tails: dict[str, Tensor] = {}")
    if layer.conv:
        lines += [row.convolved for row in own]
    lines += [f"{row.name} = {row.made}" for row in own]
    lines += ["gates = {", *(textwrap.indent(gate.entry, "    ") for gate in gates if not gate.late), "}"]
    lines += [f'gates["{gate.keyword}"] = {gate.value}' for gate in gates if gate.late]
    lines += [*lags, *(tied.made for tied in ties)]
    lines += [f"operator = chunk_{rule.frame.name}", "if longest == 1:  # decoding", f"    operator = fused_recurrent_{rule.frame.name}"]
    arguments = [row.name if number < 3 else f"{row.name}={row.name}" for number, row in enumerate(rows)]
    arguments += [
        *(f'{gate.keyword}=gates["{gate.keyword}"]' for gate in gates),
        *(f"{owned.name}=self.{owned.name}" for owned in parameters),
    ]
    arguments += ["initial_state=past.recurrent_state", "output_final_state=use_cache", "cu_seqlens=cu_seqlens"]
    lines += ["o, state = operator(", *(f"    {argument}," for argument in arguments), ")"]
    tails = "tails" if layer.conv or lags else "{}"
    if layer.skip:
        lines.append("o = o + self.D[:, None] * v")
    lines += [f"o = {output_of(rule)}", f"return self.o_proj(o.to(x.dtype)), LayerCache(state, {tails})"]
    head = (
        "def mix(self, x: Tensor, past: LayerCache, use_cache: bool, cu_seqlens: Tensor | None, longest: int) -> tuple[Tensor, LayerCache]:"
    )
    doc = '    """The outputs for x [B, T, hidden], and the cache behind it; without a state where it is not wanted."""'
    return method([head, doc, *(textwrap.indent(line, "    ") for line in lines)])


def output_of(rule: Rule) -> str:
    """The expression that is projected back to hidden states."""
    output = f"{NORMS[rule.frame.layer.output_norm]}.flatten(-2)"
    return output + " * functional.silu(wide(self.g_proj(x)))" if rule.frame.layer.output_gate else output


def initial_state(weights: Sequence[OwnedText]) -> list[str]:
    """`initial_state`, where the layer owns the weights at which the memory starts."""
    if not weights:
        return []
    lines = [
        "def initial_state(self, sequences: int) -> dict[str, Tensor]:",
        '    """W_0 of every sequence."""',
        textwrap.indent(bracketed("weights = {", [f'"{owned.name}": {owned.start}' for owned in weights], "}", 8), "    "),
        "    return {name: weight.expand(sequences, *weight.shape) for name, weight in weights.items()}",
    ]
    return [method(lines)]


def method(lines: Sequence[str]) -> str:
    """A method of the class as text."""
    return textwrap.indent("\n".join(lines), "    ")


def describe(rule: Rule, interface: Interface, rows: Sequence[RowText], gates: Sequence[GateText], ties: Sequence[TiedText]) -> str:
    """The lines of the layer's docstring on its function."""
    output = "o = what the memory reads"
    if rule.frame.layer.skip:
        output += ", plus D v with a learned D per head, at first 1"
    if rule.frame.layer.output_norm != "none":
        output += f", {rule.frame.layer.output_norm} norm in every head"
    if rule.frame.layer.output_gate:
        output += ", times silu of a projection of x"
    parts: tuple[GateText | TiedText, ...] = (*gates, *ties)
    lines = [row_words(rule, rows), *(part.description for part in parts), start_words(rule, interface), f"{output}; projected to hidden"]
    wrapped = (textwrap.fill(line, DOC_WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False) for line in lines)
    return textwrap.indent("\n".join(wrapped), "        ")
