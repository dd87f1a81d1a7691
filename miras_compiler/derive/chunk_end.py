"""Muon once per full chunk: the term that a token adds to the sum that waits, and the change of the state when the chunk is full.

    pending ← pending + (mu_t / C) S − eta_t g_t        A ← alpha_t A
    at the end of a full chunk:   S ← pending,   A ← A + NS(S),   pending ← 0

so that S becomes mean(mu) S − Σ eta_j g_j and A becomes beta_C A + NS(S), wherever a sequence is cut.
"""

from __future__ import annotations

from miras_compiler.derive.newton_schulz import newton_schulz
from miras_compiler.derive.parts import Weight
from miras_compiler.derive.prediction import subscripted
from miras_compiler.derive.rule import Rule
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import constant, entrywise, state_tile
from miras_compiler.ir.formulas import lower_expression
from miras_compiler.ir.nodes import Node
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.traverse import labels_in_use
from miras_compiler.ir.verify import verify_program
from miras_compiler.passes import run_passes


def build_chunk_end(rule: Rule) -> Program | None:
    """Weights and momentum behind a full chunk, from the values before its end; None where nothing happens there."""
    if not rule.update.waits:
        return None
    labels: dict[Node, Label] = {}
    outputs: dict[str, Node] = {}
    for weight in rule.weights:
        outputs |= _finished(rule, weight, labels)
    return run_passes(verify_program(Program("chunk_end", outputs, labels_in_use(outputs, labels))))


def leaving(rule: Rule, chunk_end: Program) -> Program:
    """Ends a full chunk: the sum that has waited is written, and nothing waits any more."""
    empty = {entry.name: constant(0, entry.tile) for entry in rule.update.entries}
    return Program("leave", {**chunk_end.outputs, **empty}, chunk_end.labels)


def _finished(rule: Rule, weight: Weight, labels: dict[Node, Label]) -> dict[str, Node]:
    assert rule.update.orthogonal is not None
    name, number = weight.name, weight.name[1:]
    dual, pending = (state_tile(name + suffix, weight.axes) for suffix in ("", "_pending"))
    start = state_tile(f"{name}_start", weight.axes)
    value = rule.dual_name(name)
    labels[dual] = Label(f"{value}_prev", f"{subscripted(value)}[C]", "state", "retention")
    labels[pending] = Label(f"S{number}_pending", f"Z{subscripted(number)}[C]", "state", "optimizer")
    labels[start] = Label(f"{value}_start", f"{subscripted(value)}[start]", "state", "retention")
    rows, columns = rule.shorter_axis_first(weight)
    step = newton_schulz(pending, rows, columns, rule.update.orthogonal.triples)
    labels[step] = Label(f"O{number}", subscripted(f"O{number}"), "state", "optimizer", definition="NS₅")
    node = entrywise(letter("A") + letter("O"), {"A": dual, "O": step})
    if rule.mirror.step is not None:
        labels[node] = Label(f"moved{number}", f"X{subscripted(number)}", "state", "retention")
        node = lower_expression(rule.mirror.step, {"x": node, "w": start}, rule.mirror.axes(weight), weight.axes)
    labels[node] = Label(value, f"{subscripted(value)}[next]", "state", "retention")
    return {name: node, f"{name}_momentum": pending}
