"""The chunk program: a tile of C tokens from the state before it to its outputs and the state behind it (MATH §7, forms 1, 1b and 2).

Three steps that the forms share, each with two ways: the surprises of all tokens (at the state that entered the chunk, or as the
solution of a triangular system), the reads (of the linear path, or of every token's own ψ(A_t)), and the state at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import sympy as sp

from miras_compiler.derive.notation import GREEK
from miras_compiler.derive.prediction import build_features, build_prediction, plain_product, subscripted
from miras_compiler.derive.token_step import DECAYS, LOWEST_LOG_DECAY, dual_name, slice_axes
from miras_compiler.derive.update_rule import UpdateRule
from miras_compiler.elements.memory import Weight
from miras_compiler.ir.build import (
    add,
    constant,
    contract,
    entrywise,
    input_tile,
    is_constant,
    lower_expression,
    rename,
    state_tile,
    total,
    triangular_solve,
)
from miras_compiler.ir.differentiate import cotangents
from miras_compiler.ir.nodes import Label, Node, Program, Rename
from miras_compiler.ir.traverse import labels_in_use
from miras_compiler.lower.coefficients import Moment, TileCoefficients
from miras_compiler.symbols import E, U, V, larger, letter


@dataclass
class ChunkBuilder:
    """Builds one tile; `per_token` forms every token's state, `solve` has surprises that depend on each other."""

    rule: UpdateRule
    per_token: bool
    solve: bool
    labels: dict[Node, Label] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.spec = self.rule.spec
        self.weights = {weight.name: weight for weight in self.spec.memory.weights()}

    def name(self, node: Node, name: str, letters: str, section: str, origin: str = "") -> Node:
        if not isinstance(node, Rename) and not is_constant(node):
            self.labels.setdefault(node, Label(name, letters, section, origin))
        return node

    def build(self) -> Program:
        spec = self.spec
        q, k, v = (self.name(input_tile(x, ("c", axis)), x, x, "input") for x, axis in (("q", "k"), ("k", "k"), ("v", "v")))
        gates = self.gates()
        self.coefficients = self.chunk_coefficients(gates)
        self.before = {w: self.state(weight, "", "") for w, weight in self.weights.items()}
        self.momentum = {w: self.state(weight, "_momentum", "") for w, weight in self.weights.items()} if "mu" in spec.gates else {}
        self.start = (
            {w: self.state(weight, "_start", "[start]") for w, weight in self.weights.items()} if spec.frozen_gradient else self.before
        )

        keys = self.name(build_features(spec, k), "k_phi", "φ(k)", "input")
        if self.solve:
            left, pulled = self.solved_surprises(keys, k, v, gates)
        else:
            left, pulled = self.known_surprises(keys, k, v, gates)
        queries = self.name(build_features(spec, q), "q_phi", "φ(q)", "input")
        read = build_prediction(spec, queries, q, self.reader(left, pulled), "read_", "read")
        self.labels |= {node: label for node, label in read.labels.items() if node not in self.labels}
        self.labels[read.u] = Label("o", "y", "output", "memory")
        outputs = {"o": read.u, **self.end_state(left, pulled)}
        return Program(f"{spec.name}_chunk", outputs, labels_in_use(outputs, self.labels))

    def gates(self) -> dict[str, Node]:
        """Gates [c] by letter, decays as logarithms."""
        gates: dict[str, Node] = {}
        for gate in sorted(self.spec.gates, key=self.spec.gate_order):
            if gate in DECAYS:
                log = input_tile(f"log_{gate}", ("c",))
                node = entrywise(larger(LOWEST_LOG_DECAY, letter("x")), {"x": log})
                gates[gate] = self.name(node, f"decay_{gate}", f"log {GREEK[gate]}", "decay")
            else:
                gates[gate] = self.name(input_tile(gate, ("c",)), gate, GREEK.get(gate, gate), "decay")
        return gates

    def chunk_coefficients(self, gates: Mapping[str, Node]) -> TileCoefficients:
        valid = self.name(input_tile("valid", ("c",)), "valid", "valid", "decay") if "mu" in gates else None
        logs = {gate: gates[gate] for gate in DECAYS if gate in gates}
        return TileCoefficients(
            self.rule.coefficients, logs, gates["eta"], valid, lambda node, name, letters: self.name(node, name, letters, "decay")
        )

    def state(self, weight: Weight, suffix: str, letters: str) -> Node:
        leaf = state_tile(weight.name + suffix, (weight.rows, weight.columns))
        value = f"S{weight.name[1:]}" if suffix == "_momentum" else dual_name(self.spec, weight.name)
        return self.name(leaf, weight.name + suffix, f"{subscripted(value)}{letters or '[0]'}", "state")

    def primal(self, name: str, dual: Node) -> Node:
        """ψ of a dual state [rows, columns], or of one per token."""
        if self.spec.retention.identity:
            return dual
        return lower_expression(self.rule.mirror_map, {"a": dual}, slice_axes(self.spec, self.weights[name]), dual.axes)

    def known_surprises(self, keys: Node, k: Node, v: Node, gates: Mapping[str, Node]) -> tuple[dict[str, Node], dict[str, Node]]:
        """Rows h and gradients d of every weight, [c, ·], all at the state that entered the chunk."""
        measured = {name: self.primal(name, node) for name, node in self.start.items()}
        for name, node in measured.items():
            self.name(node, f"{name}_measured", f"{subscripted(name)}[start]", "surprise")
        at_key = build_prediction(self.spec, keys, k, plain_product(measured), "", "memory")
        self.labels |= {node: label for node, label in at_key.labels.items() if node not in self.labels}
        residual = self.name(entrywise(letter("u") - letter("v"), {"u": at_key.u, "v": v}), "e", "e", "surprise")
        du = lower_expression(self.rule.bias_derivative, {"u": at_key.u, "v": v, "e": residual, **gates}, ("v",), ("c", "v"))
        self.name(du, "du", "∂ℓ/∂u", "surprise")
        gradients = cotangents({at_key.u: du}, list(at_key.products.values()))
        pulled = {name: gradients[product] for name, product in at_key.products.items()}
        for name, d in pulled.items():
            self.name(d, f"d{name[1:]}", f"d{subscripted(name[1:])}", "surprise")
        return self.rows(at_key.left), self.rows(pulled)

    def solved_surprises(self, keys: Node, k: Node, v: Node, gates: Mapping[str, Node]) -> tuple[dict[str, Node], dict[str, Node]]:
        """∂ℓ/∂u = s u + r with u = k W_r, and W_r holds the surprises before: (I + s G₋∘KKᵀ) U = s (β₋ K A_0 + f₋ K S_0) + r."""
        moment: Moment = "decayed" if self.spec.retention.order == "before_gradient" else "before"
        slope, rest = _affine_in_u(self.rule)
        (name,) = self.weights
        keys_j = rename(keys, "c", "j")
        scores = self.name(contract(keys, keys_j), "kk", "K Kᵀ", "surprise")
        couplings = self.coefficients.weighted(moment, scores)
        lower = self.name(entrywise(slope * letter("x"), {"x": couplings, **gates}), "L", "L", "surprise")
        measured = self.from_state(name, keys, moment, self.before[name])
        predicted = build_prediction(self.spec, keys, k, lambda weight, rows: measured, "seen_", "surprise")
        self.name(predicted.u, "seen", "u[0]", "surprise")
        right = entrywise(slope * letter("u") + rest, {"u": predicted.u, "v": v, **gates}, ("c", "v"))
        self.name(right, "R", "R", "surprise")
        return {name: keys_j}, {name: self.name(triangular_solve(lower, right), "U", "U", "surprise")}

    def rows(self, tiles: Mapping[str, Node]) -> dict[str, Node]:
        """The same rows as the tokens that are written: axis j."""
        return {name: rename(tile, "c", "j") for name, tile in tiles.items()}

    def from_state(self, name: str, rows: Node, moment: Moment, base: Node) -> Node:
        """β (x A_0) + f (x S_0): what rows read of the state that entered the tile."""
        result = entrywise(letter("b") * letter("x"), {"b": self.coefficients.beta(moment), "x": contract(rows, base)})
        reach = self.coefficients.f(moment)
        if reach is None:
            return result
        return add(result, entrywise(letter("b") * letter("x"), {"b": reach, "x": contract(rows, self.momentum[name])}))

    def reader(self, left: Mapping[str, Node], pulled: Mapping[str, Node]) -> Callable[[Weight, Node], Node]:
        """How the rows of a query multiply a weight."""
        read = self.spec.chunk.read
        if read == "chunk_start":
            return plain_product({name: self.primal(name, node) for name, node in self.start.items()})
        moment: Moment = "after" if read == "after_write" else "before"
        if self.per_token:
            return lambda weight, rows: self.read_own_state(weight, rows, left[weight.name], pulled[weight.name], moment)
        bases = {name: self.linear_base(name) for name in self.weights}

        def times(weight: Weight, rows: Node) -> Node:
            name = weight.name
            scores = self.coefficients.weighted(moment, contract(rows, left[name]))
            self.name(scores, f"P{name[1:]}", f"P{subscripted(name[1:])}", "read")
            written = contract(scores, pulled[name])
            return entrywise(letter("x") - letter("y"), {"x": self.from_state(name, rows, moment, bases[name]), "y": written})

        return times

    def linear_base(self, name: str) -> Node:
        """A_0; with `retention: chunk_end`, the point of the linear path from ψ(A_start) that the tile begins at."""
        if not self.spec.linear_reads:
            return self.before[name]
        beta = entrywise(sp.exp(letter("x")), {"x": self.log_beta()})
        start, mapped = self.start[name], self.primal(name, self.start[name])
        path = letter("A") + letter("b") * (letter("p") - letter("s"))
        base = entrywise(path, {"A": self.before[name], "b": beta, "p": mapped, "s": start})
        return self.name(base, f"{name}_path", f"{subscripted(name)}[0]", "read")

    def log_beta(self) -> Node:
        return self.name(state_tile("log_beta", ()), "log_beta", "log β[0]", "decay")

    def read_own_state(self, weight: Weight, rows: Node, left: Node, pulled: Node, moment: Moment) -> Node:
        """x_t ψ(A_t) with A_t [c, rows, columns] of every token of the tile."""
        name = weight.name
        written = contract(self.coefficients.G(moment), entrywise(letter("h") * letter("d"), {"h": left, "d": pulled}))
        terms = letter("b") * letter("A") - letter("w")
        tiles = {"b": self.coefficients.beta(moment), "A": self.before[name], "w": written}
        reach = self.coefficients.f(moment)
        if reach is not None:
            terms += letter("f") * letter("S")
            tiles |= {"f": reach, "S": self.momentum[name]}
        value = dual_name(self.spec, name)
        dual = self.name(entrywise(terms, tiles, ("c", weight.rows, weight.columns)), f"{value}_t", f"{subscripted(value)}[t]", "read")
        primal = self.name(self.primal(name, dual), f"{name}_t", f"{subscripted(name)}[t]", "read")
        return total(entrywise(letter("x") * letter("W"), {"x": rows, "W": primal}), weight.rows)

    def end_state(self, left: Mapping[str, Node], pulled: Mapping[str, Node]) -> dict[str, Node]:
        """Dual state and momentum behind the tile."""
        paths, end = self.rule.coefficients, self.coefficients.end
        state: dict[str, Node] = {}
        beta = end(paths.beta, "beta_end", "β[C]")
        weights = end(paths.G, "G_end", "G[C]")
        reach = end(paths.f, "reach_end", "f[C]") if paths.f else constant(0)
        for name, weight in self.weights.items():
            written = contract(left[name], entrywise(letter("g") * letter("d"), {"g": weights, "d": pulled[name]}))
            terms = letter("b") * letter("A") - letter("w")
            tiles = {"b": beta, "A": self.before[name], "w": written}
            if paths.f:
                terms += letter("f") * letter("S")
                tiles |= {"f": reach, "S": self.momentum[name]}
            value = subscripted(dual_name(self.spec, name))
            state[name] = self.name(entrywise(terms, tiles, (weight.rows, weight.columns)), f"{name}_next", f"{value}[C]", "end")
        if paths.m and paths.n:
            kept = end(paths.m, "m_end", "m[C]")
            weights = end(paths.n, "n_end", "n[C]")
            for name in self.weights:
                written = contract(left[name], entrywise(letter("g") * letter("d"), {"g": weights, "d": pulled[name]}))
                node = entrywise(letter("m") * letter("S") - letter("w"), {"m": kept, "S": self.momentum[name], "w": written})
                state[f"{name}_momentum"] = self.name(node, f"{name}_momentum_next", f"S{subscripted(name[1:])}[C]", "end")
        if self.spec.linear_reads:
            node = entrywise(letter("x") + letter("s"), {"x": self.log_beta(), "s": total(self.coefficients.logs["alpha"], "c")})
            state["log_beta"] = self.name(node, "log_beta_next", "log β[C]", "end")
        return state


def _affine_in_u(rule: UpdateRule) -> tuple[sp.Expr, sp.Expr]:
    """∂ℓ/∂u = s u + r."""
    expr = sp.expand(rule.bias_derivative.xreplace({E: U - V}))
    slope = sp.diff(expr, U)
    return slope, sp.expand(expr - slope * U)
