"""The surprises of all tokens of a tile: known at once, or the solution of a triangular system, or of a row-by-row substitution."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sympy as sp

from miras_compiler.derive.leaves import has_erase_key
from miras_compiler.derive.prediction import build_prediction, plain_product, subscripted
from miras_compiler.derive.update_rule import UpdateRule
from miras_compiler.derive.writes import Write, Writes, plain_writes, pulled_back
from miras_compiler.elements.base import exact
from miras_compiler.elements.bias import L2Bias
from miras_compiler.ir.build import constant, entrywise, forward_substitute, input_tile, lower_expression, rename, triangular_solve
from miras_compiler.ir.nodes import Label, Leaf, Node, Program
from miras_compiler.ir.traverse import labels_in_use, leaves_of
from miras_compiler.lower.coefficients import Moment, TileCoefficients
from miras_compiler.symbols import E, U, V, letter

Name = Callable[[Node, str, str], Node]
Seen = Callable[[Node, Moment], Node]


def known_surprises(
    rule: UpdateRule, measured: Mapping[str, Node], keys: Node, k: Node, v: Node, gain: Node | None, gates: Mapping[str, Node], name: Name
) -> Writes:
    """Every gradient at the same weights, the tokens side by side [c, ·]."""
    at_key = build_prediction(rule.spec, keys, k, plain_product(measured), "", "memory")
    for node, label in at_key.labels.items():
        name(node, label.name, label.letters)
    residual = name(entrywise(letter("u") - letter("v"), {"u": at_key.u, "v": v}), "e", "e")
    du = lower_expression(rule.bias_derivative, {"u": at_key.u, "v": v, "e": residual, **gates}, ("v",), v.axes)
    name(du, "du", "∂ℓ/∂u")
    pulled = pulled_back(at_key, du)
    for weight, d in pulled.items():
        name(d, f"d{weight[1:]}", f"d{subscripted(weight[1:])}")
    writes = plain_writes(at_key, pulled, gain)
    return {w: [Write(rename(each.left, "c", "j"), rename(each.right, "c", "j")) for each in parts] for w, parts in writes.items()}


def solved_surprises(
    rule: UpdateRule, coefficients: TileCoefficients, rows: Mapping[str, Node], seen: Seen, gates: Mapping[str, Node], name: Name
) -> Writes:
    """∂ℓ/∂u = s u + r, and W_r holds the surprises before: (I + s G₋∘KKᵀ) U = s (β₋ K A_0 + f₋ K S_0) + r.

    With three keys u = κ W and two outer products are written, so that the system couples κ with b, and v enters from the right.
    """
    spec = rule.spec
    moment = measuring_moment(rule)
    (weight,) = (w.name for w in spec.memory.weights())
    slope, rest = affine_in_u(rule)
    error, left = rows["error"], rename(rows["write"], "c", "j")
    entering = seen(error, moment)
    predicted = build_prediction(spec, error, rows["raw"], lambda _, __: entering, "seen_", "surprise")
    name(predicted.u, "seen", "u[0]")
    if has_erase_key(spec):
        assert isinstance(spec.attentional_bias, L2Bias)
        scale, values = exact(spec.attentional_bias.scale), rename(rows["v"], "c", "j")
        erased = rename(rows["erase_write_key"], "c", "j")
        known = Write(left, entrywise(-scale * letter("v"), {"v": values}))
        added = coefficients.collected(coefficients.weighted(moment, coefficients.scores(error, left, moment)), known.right, moment)
        right = entrywise(scale * (letter("u") - letter("w")), {"u": predicted.u, "w": added}, ("c", "v"))
        solution = _solve(coefficients, coefficients.scores(error, erased, moment), scale, right, moment, gates, name)
        return {weight: [Write(erased, solution), known]}
    right = entrywise(slope * letter("u") + rest, {"u": predicted.u, "v": rows["v"], **gates}, ("c", "v"))
    return {weight: [Write(left, _solve(coefficients, coefficients.scores(error, left, moment), slope, right, moment, gates, name))]}


def _solve(
    coefficients: TileCoefficients, scores: Node, slope: sp.Expr, right: Node, moment: Moment, gates: Mapping[str, Node], name: Name
) -> Node:
    name(scores, "kk", "K Kᵀ")
    couplings = coefficients.spread(coefficients.weighted(moment, scores), moment)
    if "v" in gates["eta"].axes:
        couplings = entrywise(letter("x") * letter("eta"), {"x": couplings, "eta": rename(gates["eta"], "c", "j")})
    lower = name(entrywise(slope * letter("x"), {"x": couplings, **gates}), "L", "L")
    return name(triangular_solve(lower, name(right, "R", "R")), "U", "U")


def substituted_surprises(
    rule: UpdateRule, coefficients: TileCoefficients, rows: Mapping[str, Node], seen: Seen, gates: Mapping[str, Node], name: Name
) -> Writes:
    """The same system with any row-wise ∂ℓ/∂u in place of s u + r: U_t = φ(f_t) with f_t = β₋ k_t A_0 − Σ_{j<t} G₋tj (k_t·k_j) U_j."""
    moment = measuring_moment(rule)
    (weight,) = (w.name for w in rule.spec.memory.weights())
    left = rename(rows["write"], "c", "j")
    lower = coefficients.weighted(moment, coefficients.scores(rows["error"], left, moment))
    phi = row_map(rule)
    bound = {leaf.name: _row(leaf, rows, gates) for leaf in leaves_of(phi) if leaf.name != "z"}
    entering = name(seen(rows["error"], moment), "R", "R")
    return {weight: [Write(left, name(forward_substitute(name(lower, "L", "L"), entering, phi, bound), "U", "U"))]}


def row_map(rule: UpdateRule) -> Program:
    """φ: from f = k W of one row to the surprise of the product, through norm, residual and ∂ℓ/∂u."""
    spec = rule.spec
    z, v = input_tile("z", ("v",)), input_tile("v", ("v",))
    raw = input_tile("k", ("k",)) if spec.memory.residual else constant(0, ("k",))
    at_key = build_prediction(spec, raw, raw, lambda _, __: z, "", "memory")
    gates = {gate: input_tile(gate, ("v",) if spec.gates[gate].per == "value_channel" else ()) for gate in spec.gates}
    residual = entrywise(letter("u") - letter("v"), {"u": at_key.u, "v": v})
    du = lower_expression(rule.bias_derivative, {"u": at_key.u, "v": v, "e": residual, **gates}, ("v",), ("v",))
    (pulled,) = pulled_back(at_key, du).values()
    named = {**at_key.labels, residual: Label("e", "e", "surprise", ""), du: Label("du", "∂ℓ/∂u", "surprise", "")}
    labels = {node: label for node, label in named.items() if not isinstance(node, Leaf)}
    labels.setdefault(pulled, Label("d", "d", "surprise", ""))
    return Program("row_surprise", {"phi": pulled}, labels_in_use({"phi": pulled}, labels))


def _row(leaf: Leaf, rows: Mapping[str, Node], gates: Mapping[str, Node]) -> Node:
    if leaf.name.startswith("ln_"):
        return input_tile(leaf.name, leaf.axes)
    return {**gates, "v": rows["v"], "k": rows["raw"]}[leaf.name]


def measuring_moment(rule: UpdateRule) -> Moment:
    """Which state an exact surprise is measured at."""
    return "decayed" if rule.spec.retention.order == "before_gradient" else "before"


def affine_in_u(rule: UpdateRule) -> tuple[sp.Expr, sp.Expr]:
    """∂ℓ/∂u = s u + r."""
    expr = sp.expand(rule.bias_derivative.xreplace({E: U - V}))
    slope = sp.diff(expr, U)
    return slope, sp.expand(expr - slope * U)
