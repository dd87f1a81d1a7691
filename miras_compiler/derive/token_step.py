"""The rule at one token, as a tile program: memory, surprise, momentum, retention, read (MATH §2).

The surprise is reverse mode of the memory, seeded with ∂ℓ/∂u: one gradient per pre-activation, and with it one outer product per weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import sympy as sp

from miras_compiler.derive.chain_rule import in_residual
from miras_compiler.derive.notation import GREEK
from miras_compiler.derive.prediction import Prediction, build_features, build_prediction, plain_product, subscripted
from miras_compiler.elements.memory import Weight
from miras_compiler.ir.build import constant, entrywise, input_tile, lower_expression, state_tile, total
from miras_compiler.ir.differentiate import cotangents
from miras_compiler.ir.nodes import Axes, Label, Leaf, Node, Program
from miras_compiler.ir.traverse import labels_in_use
from miras_compiler.ir.verify import verify_program
from miras_compiler.passes import run_passes
from miras_compiler.spec import Spec
from miras_compiler.symbols import larger, letter

Lag = Literal[1, "chunk"]
LOWEST_LOG_DECAY = sp.Integer(-60)
DECAYS = ("alpha", "mu")  # passed as logarithms


@dataclass(frozen=True)
class TokenStep:
    """`program` maps a token and the state to the output `o` and the next state; `trace` adds ℓ, ‖e‖, ‖g‖ and ‖A‖.

    `earlier` says of every state leaf which labelled value it is, and when.
    """

    program: Program
    trace: Program
    earlier: Mapping[Leaf, tuple[str, Lag]]


@dataclass
class TokenStepBuilder:
    """Collects labels while the step is built; a value keeps the first name it gets."""

    spec: Spec
    derivative: sp.Expr  # ∂ℓ/∂u
    mirror_map: sp.Expr  # ψ
    labels: dict[Node, Label] = field(default_factory=dict)
    earlier: dict[Leaf, tuple[str, Lag]] = field(default_factory=dict)

    def name(self, node: Node, name: str, letters: str, section: str, origin: str) -> Node:
        self.labels.setdefault(node, Label(name, letters, section, origin))
        return node

    def build(self) -> TokenStep:
        spec = self.spec
        q, k, v = (self.name(input_tile(x, (axis,)), x, x, "input", "input") for x, axis in (("q", "k"), ("k", "k"), ("v", "v")))
        gates = self.gates()
        before = {w.name: self.state(w, "", 1) for w in spec.memory.weights()}
        start = {w.name: self.state(w, "_start", "chunk") for w in spec.memory.weights()} if spec.frozen_gradient else before
        measured = self.measured(before, start, gates)

        at_key = build_prediction(spec, self.features(k, "k_phi"), k, plain_product(measured), "", "memory")
        self.labels.update({node: label for node, label in at_key.labels.items() if node not in self.labels})
        residual, pulled = self.surprise(at_key, v, gates)
        dual, momentum = self.update(at_key, pulled, before, gates)
        read, log_beta = self.read_weights(dual, before, start, gates)
        at_query = build_prediction(spec, self.features(q, "q_phi"), q, plain_product(read), "read_", "read")
        self.labels.update({node: label for node, label in at_query.labels.items() if node not in self.labels})
        self.labels[at_query.u] = Label("o", "y", "output", "memory")

        outputs = {"o": at_query.u, **dual, **momentum, **log_beta}
        measures = {
            "loss": (
                "ℓ",
                lower_expression(
                    in_residual(self.spec.attentional_bias.loss()), {"u": at_key.u, "v": v, "e": residual, **gates}, ("v",), ()
                ),
            ),
            "error": ("‖e‖", root(squares(residual))),
            "surprise": ("‖g‖", root(*(times(squares(at_key.left[name]), squares(d)) for name, d in pulled.items()))),
            "state": ("‖A‖", root(*map(squares, dual.values()))),
        }
        trace = outputs | {name: node for name, (_, node) in measures.items()}
        for name, (letters, node) in measures.items():
            self.name(node, f"norm_{name}" if name != "loss" else name, letters, "measure", "")
        return TokenStep(self.finished("step", outputs), self.finished("trace", trace), dict(self.earlier))

    def finished(self, name: str, outputs: Mapping[str, Node]) -> Program:
        return run_passes(verify_program(Program(name, outputs, labels_in_use(outputs, self.labels))))

    def features(self, rows: Node, name: str) -> Node:
        mapped = build_features(self.spec, rows)
        return self.name(mapped, name, f"φ({name[0]})", "input", "feature_map")

    def gates(self) -> dict[str, Node]:
        """Gates by letter; decays as exponentials of what is passed, logarithms below −60 read as −60."""
        gates: dict[str, Node] = {}
        for gate in sorted(self.spec.gates, key=self.spec.gate_order):
            if gate in DECAYS:
                log = input_tile(f"log_{gate}", ())
                node = entrywise(sp.exp(larger(LOWEST_LOG_DECAY, letter("x"))), {"x": log})
            else:
                node = input_tile(gate, ())
            gates[gate] = self.name(node, gate, GREEK.get(gate, gate), "gate", "gates")
        return gates

    def state(self, weight: Weight, suffix: str, lag: Lag) -> Node:
        """The dual state before the token, or that entered the chunk."""
        leaf = state_tile(weight.name + suffix, (weight.rows, weight.columns))
        return self.leaf(leaf, dual_name(self.spec, weight.name), lag, "retention")

    def leaf(self, leaf: Node, value: str, lag: Lag, origin: str) -> Node:
        assert isinstance(leaf, Leaf)
        self.earlier[leaf] = (value, lag)
        when, letters = ("prev", "t−1") if lag == 1 else ("start", "start")
        return self.name(leaf, f"{value}_{when}", f"{subscripted(value)}[{letters}]", "state", origin)

    def primal(self, name: str, dual: Node) -> Node:
        """ψ of one weight's dual state."""
        if self.spec.retention.identity:
            return dual
        weight = next(w for w in self.spec.memory.weights() if w.name == name)
        return lower_expression(self.mirror_map, {"a": dual}, slice_axes(self.spec, weight), dual.axes)

    def measured(self, before: Mapping[str, Node], start: Mapping[str, Node], gates: Mapping[str, Node]) -> dict[str, Node]:
        """W_r: the weights at which the surprise is measured."""
        spec = self.spec
        if spec.frozen_gradient:
            chosen, suffix, when = dict(start), "start", "[start]"
        elif spec.retention.order == "before_gradient" and "alpha" in gates:
            chosen = {name: times(gates["alpha"], dual) for name, dual in before.items()}
            suffix, when = "decayed", "[decayed]"
            for name, dual in chosen.items():
                value = dual_name(spec, name)
                self.name(dual, f"{value}_decayed", f"{subscripted(value)}[decayed]", "state", "retention")
        else:
            chosen, suffix, when = dict(before), "prev", "[t−1]"
        primal = {name: self.primal(name, dual) for name, dual in chosen.items()}
        for name, node in primal.items():
            self.name(node, f"{name}_{suffix}", subscripted(name) + when, "state", "retention")
        return primal

    def surprise(self, at_key: Prediction, v: Node, gates: Mapping[str, Node]) -> tuple[Node, dict[str, Node]]:
        """The residual, and ∂ℓ/∂u pulled back to the product of every weight."""
        residual = entrywise(letter("u") - letter("v"), {"u": at_key.u, "v": v})
        self.name(residual, "e", "e", "surprise", "attentional_bias")
        du = lower_expression(self.derivative, {"u": at_key.u, "v": v, "e": residual, **gates}, ("v",), ("v",))
        self.name(du, "du", "∂ℓ/∂u", "surprise", "attentional_bias")
        gradients = cotangents({at_key.u: du}, list(at_key.products.values()))
        pulled = {name: gradients[product] for name, product in at_key.products.items()}
        for name, d in pulled.items():
            self.name(d, f"d{name[1:]}", f"d{subscripted(name[1:])}", "surprise", "memory")
        return residual, pulled

    def update(
        self, at_key: Prediction, pulled: Mapping[str, Node], before: Mapping[str, Node], gates: Mapping[str, Node]
    ) -> tuple[dict[str, Node], dict[str, Node]]:
        """The next dual state and, with momentum, the next S."""
        dual: dict[str, Node] = {}
        momentum: dict[str, Node] = {}
        for weight in self.spec.memory.weights():
            name, axes = weight.name, (weight.rows, weight.columns)
            step = -letter("eta") * letter("h") * letter("d")
            tiles = {"eta": gates["eta"], "h": at_key.left[name], "d": pulled[name], "W": before[name]} | dict(gates)
            if "mu" in gates:
                value = f"S{name[1:]}"
                previous = self.leaf(state_tile(f"{name}_momentum", axes), value, 1, "optimizer")
                step = letter("mu") * letter("S") + step
                node = entrywise(step, tiles | {"S": previous}, axes)
                momentum[f"{name}_momentum"] = tiles["S"] = self.name(node, value, subscripted(value), "state", "optimizer")
                step = letter("S")
            kept = letter("alpha") * letter("W") if "alpha" in gates else letter("W")
            value = dual_name(self.spec, name)
            dual[name] = self.name(entrywise(kept + step, tiles, axes), value, subscripted(value), "state", "retention")
        return dual, momentum

    def read_weights(
        self, dual: Mapping[str, Node], before: Mapping[str, Node], start: Mapping[str, Node], gates: Mapping[str, Node]
    ) -> tuple[dict[str, Node], dict[str, Node]]:
        """The weights that the query reads, and the next log_beta where the chunk follows a linear path."""
        spec = self.spec
        log_beta: dict[str, Node] = {}
        beta = earlier_beta = constant(1)
        if spec.linear_reads:
            leaf = state_tile("log_beta", ())
            earlier_beta = entrywise(sp.exp(letter("x")), {"x": leaf})
            raw = {"x": leaf, "log": input_tile("log_alpha", ())}
            log_beta["log_beta"] = entrywise(letter("x") + larger(LOWEST_LOG_DECAY, letter("log")), raw)
            beta = self.name(entrywise(sp.exp(letter("x")), {"x": log_beta["log_beta"]}), "beta", "β", "gate", "gates")
        chosen = {"after_write": dual, "before_write": before, "chunk_start": start}[spec.chunk.read]
        if spec.linear_reads and spec.chunk.read != "chunk_start":
            at = beta if spec.chunk.read == "after_write" else earlier_beta
            path = letter("b") * letter("p") + letter("A") - letter("b") * letter("s")
            weights = {
                name: entrywise(path, {"b": at, "p": self.primal(name, start[name]), "A": chosen[name], "s": start[name]})
                for name in chosen
            }
        else:
            weights = {name: self.primal(name, node) for name, node in chosen.items()}
        for name, node in weights.items():
            self.name(node, name, subscripted(name), "state", "retention")
        return weights, log_beta


def dual_name(spec: Spec, weight: str) -> str:
    """What the dual state of a weight is called: the weight itself where ψ is the identity, A else."""
    return weight if spec.retention.identity else f"A{weight[1:]}"


def slice_axes(spec: Spec, weight: Weight) -> Axes:
    """The axes of a weight matrix that a reduction in ψ runs over."""
    return {"input": (weight.rows,), "output": (weight.columns,), "all": (weight.rows, weight.columns)}[spec.retention.slice_axis()]


def times(a: Node, b: Node) -> Node:
    return entrywise(letter("a") * letter("b"), {"a": a, "b": b})


def squares(node: Node) -> Node:
    """‖·‖² over all axes."""
    result = entrywise(letter("x") ** 2, {"x": node})
    for axis in node.axes:
        result = total(result, axis)
    return result


def root(*parts: Node) -> Node:
    names = {f"s{i}": part for i, part in enumerate(parts)}
    return entrywise(sp.sqrt(sp.Add(*map(letter, names))), names)
