"""The surprises of all tokens of a tile: known at once, or the solution of a triangular system, or of a row-by-row substitution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy as sp

from miras_compiler.derive.prediction import build_prediction, plain_product, subscripted
from miras_compiler.derive.rule import Rule
from miras_compiler.derive.writes import Write, Writes, plain_writes, pulled_back
from miras_compiler.expressions.symbols import E, U, V, letter
from miras_compiler.ir.build import constant, entrywise, input_tile, rename
from miras_compiler.ir.formulas import lower_expression
from miras_compiler.ir.nodes import Leaf, Node
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.rows import forward_substitute, triangular_solve
from miras_compiler.ir.traverse import labels_in_use, leaves_of
from miras_compiler.lower.coefficients import Moment, TileCoefficients

Name = Callable[[Node, str, str], Node]


def known_surprises(
    rule: Rule, measured: Mapping[str, Node], keys: Node, k: Node, v: Node, gain: Node | None, gates: Mapping[str, Node], name: Name
) -> Writes:
    """Every gradient at the same weights, the tokens side by side [c, ·]."""
    at_key = build_prediction(rule, keys, k, plain_product(measured), "", "memory")
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


@dataclass(frozen=True)
class SurpriseSystem:
    """Surprises that are each measured at the state behind the ones before: a triangular system.

    `rows` are the tiles of the rows that measure (error, raw, v) and of their writes (write), `thresholds` the gates of the attentional
    bias as these rows have them, `eta` the step sizes of tokens; `seen` are the reads of rows from the state that entered the tile.
    """

    rule: Rule
    coefficients: TileCoefficients
    rows: Mapping[str, Node]
    thresholds: Mapping[str, Node]
    eta: Node
    seen: Callable[[Node, Moment], Node]
    name: Name

    @property
    def weight(self) -> str:
        (weight,) = self.rule.weights
        return weight.name

    def solved(self) -> Writes:
        """∂ℓ/∂u = s u + r, and W_r holds the surprises before: (I + s G₋∘KKᵀ) U = s (β₋ K A_0 + f₋ K S_0) + r.

        With three keys u = κ W and two outer products are written, so that the system couples κ with b, and v enters from the right.
        """
        rule, moment, left = self.rule, measuring_moment(self.rule), self.column(self.rows["write"])
        slope, rest = affine_in_u(self.rule)
        entering = self.seen(self.rows["error"], moment)
        predicted = build_prediction(rule, self.rows["error"], self.rows["raw"], lambda _, __: entering, "seen_", "surprise")
        self.name(predicted.u, "seen", "u[0]")
        if rule.update.erases:
            scale, erased = rule.surprise.scale, self.column(self.rows["erase_write_key"])
            assert scale is not None
            known = Write(left, entrywise(-scale * letter("v"), {"v": self.column(self.rows["v"])}))
            weights = self.coefficients.weighted(moment, self.scores(left))
            added = self.coefficients.collected(weights, self.sized(known.right), moment)
            right = entrywise(scale * (letter("u") - letter("w")), {"u": predicted.u, "w": added}, ("c", "v"))
            return {self.weight: [Write(erased, self.solution(erased, scale, right)), known]}
        right = entrywise(slope * letter("u") + rest, {"u": predicted.u, "v": self.rows["v"], **self.thresholds}, predicted.u.axes)
        return {self.weight: [Write(left, self.solution(left, slope, right))]}

    def solution(self, left: Node, slope: sp.Expr, right: Node) -> Node:
        lower = entrywise(slope * letter("x"), {"x": self.couplings(left), "v": self.rows["v"], **self.thresholds})
        return self.name(triangular_solve(self.name(lower, "L", "L"), self.name(right, "R", "R")), "U", "U")

    def substituted(self) -> Writes:
        """The same with any row-wise ∂ℓ/∂u in place of s u + r: U_t = φ(f_t) with f_t = β₋ k_t A_0 − Σ_{j<t} G₋tj (k_t·k_j) U_j."""
        left, phi = self.column(self.rows["write"]), row_map(self.rule)
        lower = self.name(self.couplings(left), "L", "L")
        entering = self.name(self.seen(self.rows["error"], measuring_moment(self.rule)), "R", "R")
        bound = {leaf.name: self.row(leaf) for leaf in leaves_of(phi) if leaf.name != "z"}
        node = forward_substitute(lower, entering, phi, bound, together=self.rule.surprise.window)
        return {self.weight: [Write(left, self.name(node, "U", "U"))]}

    def row(self, leaf: Leaf) -> Node:
        """The value to which a leaf of the row map is bound."""
        if leaf.name.startswith("ln_"):
            return input_tile(leaf.name, leaf.axes)
        thresholds = {self.rule.gates[gate].code: tile for gate, tile in self.thresholds.items()}
        return {**thresholds, "v": self.rows["v"], "k": self.rows["raw"]}[leaf.name]

    def column(self, tile: Node) -> Node:
        """A tile of rows that measure, as rows that are written."""
        return rename(tile, "c", "j")

    def scores(self, left: Node) -> Node:
        return self.coefficients.scores(self.rows["error"], left, measuring_moment(self.rule))

    def couplings(self, left: Node) -> Node:
        """[row, column] or [row, column, v]: how much of a written row another one sees."""
        moment, scores = measuring_moment(self.rule), self.name(self.scores(left), "kk", "c")
        weights = self.coefficients.spread(self.coefficients.weighted(moment, scores), moment)
        return self.sized(weights)

    def sized(self, columns: Node) -> Node:
        """Times the step sizes of the columns, where every value channel has its own: those of other kinds are in the coefficients."""
        if "v" not in self.eta.axes:
            return columns
        eta = self.coefficients.of_columns(rename(self.eta, "c", "j"))
        return entrywise(letter("x") * letter("eta"), {"x": columns, "eta": eta})


def row_map(rule: Rule) -> Program:
    """φ: from f = k W of one row to the surprise of the product, through norm, residual and ∂ℓ/∂u."""
    z, v = input_tile("z", ("v",)), input_tile("v", ("v",))
    axis = rule.row_axes
    raw = input_tile("k", axis) if rule.memory.residual else constant(0, axis)
    at_key = build_prediction(rule, raw, raw, lambda _, __: z, "", "memory")
    gates = {gate.name: input_tile(gate.code, gate.axes) for gate in rule.gates.values()}
    residual = entrywise(letter("u") - letter("v"), {"u": at_key.u, "v": v})
    du = lower_expression(rule.bias_derivative, {"u": at_key.u, "v": v, "e": residual, **gates}, ("v",), ("v",))
    (pulled,) = pulled_back(at_key, du).values()
    named = {**at_key.labels, residual: Label("e", "e", "surprise", ""), du: Label("du", "∂ℓ/∂u", "surprise", "")}
    labels = {node: label for node, label in named.items() if not isinstance(node, Leaf)}
    labels.setdefault(pulled, Label("d", "d", "surprise", ""))
    return Program("row_surprise", {"phi": pulled}, labels_in_use({"phi": pulled}, labels))


def measuring_moment(rule: Rule) -> Moment:
    """The state at which an exact surprise is measured."""
    decayed, ahead = rule.surprise.at == "decayed", rule.surprise.ahead
    if decayed:
        return "decayed_ahead" if ahead else "decayed"
    return "ahead" if ahead else "before"


def affine_in_u(rule: Rule) -> tuple[sp.Expr, sp.Expr]:
    """∂ℓ/∂u = s u + r."""
    expr = sp.expand(rule.bias_derivative.xreplace({E: U - V}))
    slope = sp.diff(expr, U)
    return slope, sp.expand(expr - slope * U)
