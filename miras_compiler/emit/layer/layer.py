"""Fills the skeleton of layer.py."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from miras_compiler.elements.memory import VectorMemory
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.layer.gates import GateText, build_gates
from miras_compiler.emit.layer.names import bracketed, import_line, layer_class
from miras_compiler.emit.layer.owned import build_parameters, build_weights, start_words
from miras_compiler.emit.layer.rows import RowText, build_rows, row_words
from miras_compiler.emit.layer.ties import TiedText, build_ties
from miras_compiler.emit.python_text import header
from miras_compiler.emit.template import fill
from miras_compiler.spec import Spec

DOC_WIDTH = 130
PROJECTIONS = ("InputGate", "LowRankGate")  # gates that are made of hidden states
COMPUTED = (*PROJECTIONS, "LearnedGate")  # gates that are made anew in every call


def emit_layer(spec: Spec, interface: Interface) -> str:
    """Text of layer.py."""
    layer = spec.layer
    rows, gates = build_rows(spec, interface), build_gates(spec, interface)
    ties = build_ties(spec, interface)
    weights, parameters = build_weights(spec, interface), build_parameters(spec, interface)
    made: tuple[GateText | TiedText, ...] = (*gates, *ties)
    owns = (*weights, *parameters)
    draws = [owned.draw for owned in owns]
    if layer.output_norm != "none":
        draws.append("nn.init.ones_(self.o_norm_weight)")
    return fill("layer.py", {
        "header": header(spec),
        "name": spec.name,
        "class_name": layer_class(spec),
        "description": describe(spec, interface, rows, gates, ties),
        "hidden_size": spec.model.width,
        "heads": layer.heads,
        "head_dim": layer.head_dim,
        "value_dim": layer.value_dim,
        "one_width": spec.memory.residual or isinstance(spec.memory, VectorMemory),
        "rows": rows,
        "conv": layer.conv,
        "unit": layer.qk_norm == "l2",
        "gates": gates,
        "ties": ties,
        "modules": {part.module for part in made},
        "inverses": {part.inverse for part in made},
        "weights": weights,
        "parameters": parameters,
        "draws": draws,
        "output_norm": layer.output_norm,
        "output_gate": layer.output_gate,
        "math": any(part.module in PROJECTIONS or part.inverse for part in made) or any("math." in o.construction + o.draw for o in owns),
        "wide": layer.qk_norm == "l2" or layer.output_norm != "none" or layer.output_gate or any(part.module in COMPUTED for part in made),
        "import_operators": import_line(".ops", [f"chunk_{spec.name}", f"fused_recurrent_{spec.name}"]),
        "conv_state": bracketed("tails = {", [f'"{row.name}": {row.name}_tail' for row in rows if row.projected], "}", 8),
        "weights_table": bracketed("weights = {", [f'"{owned.name}": self.{owned.name}' for owned in weights], "}", 8),
    })  # fmt: skip


def describe(spec: Spec, interface: Interface, rows: Sequence[RowText], gates: Sequence[GateText], ties: Sequence[TiedText]) -> str:
    """The lines of the layer's docstring that say what it computes."""
    output = "o = what the memory reads"
    if spec.layer.output_norm != "none":
        output += f", {spec.layer.output_norm} norm in every head"
    if spec.layer.output_gate:
        output += ", times silu of a projection of x"
    parts: tuple[GateText | TiedText, ...] = (*gates, *ties)
    lines = [row_words(spec, rows), *(part.description for part in parts), start_words(spec, interface), f"{output}; projected to hidden"]
    wrapped = (textwrap.fill(line, DOC_WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False) for line in lines)
    return textwrap.indent("\n".join(wrapped), "        ")
