"""Muon once per full chunk: what a token adds to the sum that waits, and what happens to the state when the chunk is full.

    pending ← pending + (mu_t / C) S − eta_t g_t        A ← alpha_t A
    at the end of a full chunk:   S ← pending,   A ← A + NS(S),   pending ← 0

so that S becomes mean(mu) S − Σ eta_j g_j and A becomes beta_C A + NS(S), wherever a sequence is cut.
"""

from __future__ import annotations

from collections.abc import Mapping

from miras_compiler.derive.leaves import dual_name
from miras_compiler.derive.newton_schulz import newton_schulz
from miras_compiler.derive.prediction import subscripted
from miras_compiler.elements.memory import Weight
from miras_compiler.elements.optimizer import Muon
from miras_compiler.ir.build import entrywise, lower_expression, state_tile
from miras_compiler.ir.nodes import Axes, Label, Node, Program
from miras_compiler.ir.traverse import labels_in_use
from miras_compiler.ir.verify import verify_program
from miras_compiler.passes import run_passes
from miras_compiler.spec import Spec
from miras_compiler.symbols import letter


def waits_for_chunk_end(spec: Spec) -> bool:
    """Whether a full chunk is more than its last token: a chunk of one token is written at once."""
    return writes_per_chunk(spec) and spec.frozen_gradient


def writes_per_chunk(spec: Spec) -> bool:
    """Whether the orthogonalized sum has the step sizes in it, and is added as it is."""
    return isinstance(spec.optimizer, Muon) and spec.optimizer.apply == "chunk_end"


def build_chunk_end(spec: Spec) -> Program | None:
    """Weights and momentum behind a full chunk from what was there before its end; None where nothing happens there."""
    if not waits_for_chunk_end(spec):
        return None
    labels: dict[Node, Label] = {}
    outputs: dict[str, Node] = {}
    for weight in spec.memory.weights():
        outputs |= _finished(spec, weight, labels)
    return run_passes(verify_program(Program("chunk_end", outputs, labels_in_use(outputs, labels))))


def _finished(spec: Spec, weight: Weight, labels: dict[Node, Label]) -> dict[str, Node]:
    assert isinstance(spec.optimizer, Muon)
    name, number = weight.name, weight.name[1:]
    dual, pending = (state_tile(name + suffix, weight.axes) for suffix in ("", "_pending"))
    start = state_tile(f"{name}_start", weight.axes)
    value = dual_name(spec, name)
    labels[dual] = Label(f"{value}_prev", f"{subscripted(value)}[C]", "state", "retention")
    labels[pending] = Label(f"S{number}_pending", f"Z{subscripted(number)}[C]", "state", "optimizer")
    labels[start] = Label(f"{value}_start", f"{subscripted(value)}[start]", "state", "retention")
    rows, columns = shorter_axis_first(spec, weight)
    step = newton_schulz(pending, rows, columns, spec.optimizer.triples())
    labels[step] = Label(f"O{number}", subscripted(f"O{number}"), "state", "optimizer", definition="NS₅")
    node = entrywise(letter("A") + letter("O"), {"A": dual, "O": step})
    primal = spec.retention.primal_step()
    if primal is not None:
        labels[node] = Label(f"moved{number}", f"X{subscripted(number)}", "state", "retention")
        axes: Mapping[str, Axes] = {"input": weight.axes[:1], "output": weight.axes[-1:], "all": weight.axes}
        node = lower_expression(primal, {"x": node, "w": start}, axes[spec.retention.slice_axis()], weight.axes)
    labels[node] = Label(value, f"{subscripted(value)}[next]", "state", "retention")
    return {name: node, f"{name}_momentum": pending}


def shorter_axis_first(spec: Spec, weight: Weight) -> tuple[str, str]:
    """The two axes of a weight, the one that is shorter at the spec's dimensions first; rows of a first weight are features of keys."""
    length = {"k": spec.feature_dim, "v": spec.value_dim}
    rows, columns = weight.axes
    return (rows, columns) if length.get(rows, spec.hidden_dim) <= length.get(columns, spec.hidden_dim) else (columns, rows)
