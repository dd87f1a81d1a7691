"""The parallel form of a rule, read off its dependency graph, with the reason and the value that decides it (docs/mathematics.md §7)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import sympy as sp

from miras_compiler.analysis.dependency_graph import DependencyGraph, nonlinear_values
from miras_compiler.derive.rule import Rule
from miras_compiler.derive.update_rule import UpdateRule
from miras_compiler.expressions.symbols import A, RowMax, RowSum

Kind = Literal["dual", "dual_per_token", "triangular_solve", "forward_substitution", "token_by_token"]
EXPLANATION: dict[Kind, str] = {
    "dual": "masked matrix products over a tile of tokens; the state is formed at the tile's end only",
    "dual_per_token": "all surprises of a tile in one batch; the state of every token of the tile is formed, and ψ applied to it",
    "triangular_solve": "one unit lower triangular solve per tile, then masked matrix products",
    "forward_substitution": "the surprises of a tile row by row, from products of keys; the state is formed at the tile's end only",
    "token_by_token": "one token after another",
}

NOT_AFFINE = "is not affine in the state"
MAPPED = "is read in place of the dual state"
LAYERED = "depends on the weights of the layers behind, which are written too"
BY_TOKEN = "token by token, because "  # how the reason of that form begins


@dataclass(frozen=True)
class ParallelForm:
    """`kind` is one of EXPLANATION's; `blame` names the value of the graph that decides it, None where nothing stands in the way.

    `exact`: the form computes the same function as the token loop, whatever the tile. `suggestion` names the change that would make the
    rule parallel, "" if it is parallel; `change` is the key and the value that it names, None where it names none.
    """

    kind: Kind
    reason: str
    blame: str | None
    exact: bool = True
    suggestion: str = ""
    change: tuple[str, Any] | None = None

    def named(self, name: str, location: str) -> ParallelForm:
        """The same verdict with `name` for the spec's file, wherever it lies."""
        return replace(self, reason=self.reason.replace(f"{location}:", f"{name}:")) if location else self


def annotate(graph: DependencyGraph[str], form: ParallelForm) -> DependencyGraph[str]:
    """The graph with its verdict, as pictures show it."""
    annotated: DependencyGraph[str] = graph.copy()
    annotated.graph |= {"form": form.kind, "reason": form.reason, "blame": form.blame}
    return annotated


def classify_parallel_form(rule: UpdateRule, graph: DependencyGraph[str]) -> ParallelForm:
    """The fastest form that computes the rule exactly; in doubt, token by token."""
    on_cycle: frozenset[str] = graph.graph["recurrence"]
    surprises = [node for node in graph if graph.nodes[node]["group"] in ("memory", "surprise") and node in on_cycle]
    culprits = nonlinear_values(rule, graph)
    orthogonal = rule.update.orthogonal
    elsewhere = [value for value in culprits if graph.nodes[value]["group"] not in ("memory", "surprise")]
    if rule.momentum and (channels := [gate for gate in _factors(rule) if rule.axes(gate)]):
        where, letters = rule.where(f"gates.{channels[0]}"), graph.nodes[channels[0]]["label"]
        reason = f"{BY_TOKEN}the weights of past surprises do not factor under momentum with {letters} per channel ({where})"
        return ParallelForm("token_by_token", reason, channels[0])
    if rule.mirror.primal and not rule.update.waits:
        return _token_by_token(rule, graph, rule.weights[0].name)
    if orthogonal is not None and orthogonal.sized and not orthogonal.waits:
        return _token_by_token(rule, graph, f"O{rule.weights[0].name[1:]}")
    if rule.chunk.linear and not rule.chunk.has_grid and rule.mirror_map != A:
        where = rule.where("chunk.retention")
        reason = f"{BY_TOKEN}every token's mirror map is the start of a linear path (chunk.retention: chunk_end, {where})"
        return ParallelForm("token_by_token", reason, None)
    if not surprises:
        return _with_known_surprise(rule, graph)
    if len(rule.memory.products) > 1:
        if culprits:
            return _token_by_token(rule, graph, culprits[0])
        handed_back = next(node for node in surprises if graph.nodes[node]["group"] == "surprise")
        return _token_by_token(rule, graph, handed_back, LAYERED)
    if elsewhere:
        return _token_by_token(rule, graph, elsewhere[0])
    if rule.mirror_map != A:
        return _token_by_token(rule, graph, _mapped(rule, graph), MAPPED)
    return _with_one_system(rule, graph, culprits)


def _token_by_token(rule: Rule, graph: DependencyGraph[str], blame: str, guilt: str = NOT_AFFINE) -> ParallelForm:
    return ParallelForm("token_by_token", f"{BY_TOKEN}{_accusation(rule, graph, blame, guilt)}", blame)


def _factors(rule: Rule) -> tuple[str, ...]:
    """The gates that stand between a surprise and a later state under momentum; a step size only where it does not scale the surprise."""
    return (*rule.decays, *([] if rule.update.orthogonal is None else ["eta"]))


def _mapped(rule: Rule, graph: DependencyGraph[str]) -> str:
    """A value that is ψ of a dual state."""
    suffixes = ("", "_prev", "_decayed", "_ahead")
    return next(node for weight in rule.weights for suffix in suffixes if (node := weight.name + suffix) in graph)


def _with_one_system(rule: UpdateRule, graph: DependencyGraph[str], culprits: list[str]) -> ParallelForm:
    """Every surprise depends on those before it through products of keys; `culprits` stand between such a product and its surprise."""
    where = rule.where("attentional_bias")
    window = f" and its windows (attentional_bias.window, {rule.where('attentional_bias.window')})" if rule.surprise.window > 1 else ""
    by_channel = rule.memory.entrywise or any("v" in rule.axes(gate) for gate in (*rule.decays, "eta"))
    systems = "one unit lower triangular system per value channel" if by_channel else "one unit lower triangular system"
    rows = f"so the surprises of a tile{window} follow row by row from products of keys"
    coupled = ("window_du" if "window_du" in graph else "du") if rule.bias_derivative.has(RowSum, RowMax) else None
    if culprits:
        reason = f"{_accusation(rule, graph, culprits[0])}, but it acts on one row at a time, {rows}"
        return ParallelForm("forward_substitution", reason, culprits[0])
    if coupled is not None:
        reason = f"{graph.nodes[coupled]['text']} couples the channels of a value (attentional_bias, {where}), {rows}"
        return ParallelForm("forward_substitution", reason, coupled)
    reason = f"the surprise is affine in the state (attentional_bias {rule.kinds['attentional_bias']}, {where}), so the errors of a tile"
    return ParallelForm("triangular_solve", f"{reason}{window} solve {systems}", None)


def _with_known_surprise(rule: UpdateRule, graph: DependencyGraph[str]) -> ParallelForm:
    """The surprises of a tile do not depend on each other: only the way from the dual state to the read is left to decide."""
    if rule.chunk.has_grid:
        where = rule.where("chunk.gradient")
        cause = f"every surprise of a chunk is taken at the state that enters it (chunk.gradient: chunk_start, {where})"
    else:
        where = rule.where("attentional_bias")
        cause = f"the surprise does not depend on the state (attentional_bias {rule.kinds['attentional_bias']}, {where})"
    if rule.update.orthogonal is not None and not rule.update.waits:
        step = f"O{rule.weights[0].name[1:]}"
        why = f"but {graph.nodes[step]['text']} of every token is an orthogonalized step (optimizer, {rule.where('optimizer')})"
        return ParallelForm("dual_per_token", f"{cause}; {why}, so the state of every token is formed", step)
    if rule.mirror_map == A or rule.chunk.linear or (rule.chunk.read == "chunk_start" and rule.chunk.has_grid):
        linear = ", and reads inside the chunk follow a linear path (chunk.retention: chunk_end)" if rule.chunk.linear else ""
        if rule.mirror_map == A and not rule.mirror.identity:
            linear = f", and the mirror map of the retention {rule.kinds['retention']} is the identity here ({rule.where('retention')})"
        return ParallelForm("dual", f"{cause}{linear}, so the state is a decayed sum and a read needs masked products only", None)
    mapped = _mapped(rule, graph)
    why = f"but {_accusation(rule, graph, mapped, MAPPED if sp.diff(rule.mirror_map, A).is_number else NOT_AFFINE)}"
    return ParallelForm("dual_per_token", f"{cause}; {why}, so the state of every token is formed", mapped)


def _accusation(rule: Rule, graph: DependencyGraph[str], node: str, guilt: str = NOT_AFFINE) -> str:
    """ "A enters nonlinearly: W = softmax(A) (retention, specs/x.yaml:9)"."""
    data = graph.nodes[node]
    path = data["origin"] if data["origin"] not in ("input", "gates") else "gates"
    return f"{data['text'] or data['label']} {guilt} ({path}, {rule.where(path)})"
