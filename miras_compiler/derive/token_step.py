"""The rule at one token, as a tile program: memory, surprise, momentum, retention, read (docs/mathematics.md §2).

The surprise is reverse mode of the memory, seeded with ∂ℓ/∂u: one gradient per pre-activation, and with it one outer product per weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from miras_compiler.derive.chain_rule import in_residual
from miras_compiler.derive.chunk_end import build_chunk_end
from miras_compiler.derive.newton_schulz import newton_schulz
from miras_compiler.derive.parts import Weight
from miras_compiler.derive.prediction import Prediction, build_prediction, plain_product, subscripted
from miras_compiler.derive.step_names import Lag, StepNames, state_letters
from miras_compiler.derive.tiles import clamped_log
from miras_compiler.derive.writes import Write, Writes, erasing_writes, plain_writes, pulled_back, squared_size, squares, surprise_tile
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import constant, entrywise, input_tile, state_tile
from miras_compiler.ir.formulas import lower_expression
from miras_compiler.ir.nodes import Leaf, Node
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.traverse import topological


@dataclass(frozen=True, repr=False)
class TokenStep:
    """`program` maps a token and the state to the output `o` and the next state; `trace` adds ℓ, ‖e‖, ‖g‖ and ‖A‖.

    `earlier` says of every state leaf which labelled value it is, and when. `chunk_end` is the program that changes the state of a full
    chunk.
    """

    program: Program
    trace: Program
    earlier: Mapping[Leaf, tuple[str, Lag]]
    chunk_end: Program | None

    def __repr__(self) -> str:
        return f"TokenStep({self.program!r})"


@dataclass
class TokenStepBuilder(StepNames):
    """Builds the step of one rule."""

    def build(self) -> TokenStep:
        rule, weights = self.rule, self.rule.weights
        q, k, v = map(self.row, ("q", "k", "v"))
        gates = self.gates()
        keys, queries = self.features(k), self.features(q)
        before = {w.name: self.state(w, "", 1) for w in weights}
        momentum = {w.name: self.momentum_state(w) for w in weights} if rule.momentum else {}
        start = {w.name: self.state(w, "_start", "chunk") for w in weights} if rule.chunk.has_grid else before

        error_row = self.row("erase_key") if rule.update.erases else k
        measured = self.measured(before, start, momentum, gates)
        error_keys = self.features(error_row)
        at_key = build_prediction(rule, error_keys, error_row, plain_product(measured), "", "memory")
        self.take_names(at_key)
        residual = entrywise(letter("u") - letter("v"), {"u": at_key.u, "v": v})
        self.name(residual, "e", "e", "surprise", "attentional_bias")
        gain, memory_of_keys = self.preconditioner(keys, gates)
        writes = self.window_writes(measured, gates) if self.windowed else self.writes(at_key, residual, v, keys, gain, gates)
        gates |= {"eta": self.step_size(keys, gates["eta"])}
        dual, next_momentum = self.update(writes, before, momentum, gates)
        read, log_beta = self.read_weights(dual, before, start, gates)
        at_query = build_prediction(rule, queries, q, plain_product(read), "read_", "read")
        self.take_names(at_query)
        self.labels[at_query.u] = Label("o", "y", "output", "memory")

        outputs = {"o": at_query.u, **dual, **next_momentum, **log_beta, **memory_of_keys}
        step = self.finished("step", outputs)  # before the measures get their names: a rule may compute with one of them
        loss = in_residual(rule.surprise.loss)
        measures = {
            "loss": ("ℓ", lower_expression(loss, {"u": at_key.u, "v": v, "e": residual, **gates}, ("v",), ())),
            "error": ("‖e‖", root(squares(residual))),
            "surprise": ("‖g‖", root(*(squared_size(w, writes[w.name]) for w in weights))),
            "state": ("‖A‖", root(*map(squares, dual.values()))),
        }
        computed = set(topological(outputs.values()))
        for name, (letters, node) in measures.items():
            if node in computed:
                continue  # a step of the rule, which has a place of its own
            self.name(node, f"norm_{name}" if name != "loss" else name, letters, "measure", "")
        trace = outputs | {name: node for name, (_, node) in measures.items()}
        return TokenStep(step, self.finished("trace", trace), dict(self.earlier), build_chunk_end(rule))

    def measured(
        self, before: Mapping[str, Node], start: Mapping[str, Node], momentum: Mapping[str, Node], gates: Mapping[str, Node]
    ) -> dict[str, Node]:
        """W_r: the weights at which the surprise is measured."""
        surprise = self.rule.surprise
        chosen, suffix, when = dict(start if surprise.at == "start" else before), "prev", "[t−1]"
        if surprise.at == "start":
            suffix, when = "start", "[start]"
        elif surprise.at == "decayed" and self.rule.decays:
            chosen = {name: self.decayed(dual, gates) for name, dual in before.items()}
            suffix, when = "decayed", "[decayed]"
        if surprise.ahead:
            ahead = letter("A") + letter("mu") * letter("S")
            chosen = {name: entrywise(ahead, {"A": dual, "mu": gates["mu"], "S": momentum[name]}) for name, dual in chosen.items()}
            suffix, when = "ahead", "[ahead]"
        for name, dual in chosen.items():
            value = self.rule.dual_name(name)
            self.name(dual, f"{value}_{suffix}", f"{subscripted(value)}{when}", "state", "retention")
        primal = {name: self.primal(name, dual) for name, dual in chosen.items()}
        for name, node in primal.items():
            self.name(node, f"{name}_{suffix}", subscripted(name) + when, "state", "retention")
        return primal

    def preconditioner(self, keys: Node, gates: Mapping[str, Node]) -> tuple[Node | None, dict[str, Node]]:
        """The gain m of every key channel, and the decayed sum of squared keys that it comes from."""
        if self.rule.update.gain is None:
            return None, {}
        before = self.leaf(state_tile("preconditioner", ("k",)), "D", 1, "optimizer")
        step = letter("alpha_d") * letter("D") + letter("eta_d") * letter("k") ** 2
        after = self.name(entrywise(step, {**gates, "D": before, "k": keys}, ("k",)), "D", "D", "state", "optimizer")
        return self.gain(after), {"preconditioner": after}

    def writes(self, at_key: Prediction, residual: Node, v: Node, keys: Node, gain: Node | None, gates: Mapping[str, Node]) -> Writes:
        """The surprise of every weight as outer products."""
        if self.rule.update.erases:
            return erasing_writes(self.rule, at_key.u, v, keys, self.features(self.row("erase_write_key")))
        du = lower_expression(self.rule.bias_derivative, {"u": at_key.u, "v": v, "e": residual, **gates}, ("v",), ("v",))
        self.name(du, "du", "∂ℓ/∂u", "surprise", "attentional_bias")
        pulled = pulled_back(at_key, du)
        for name, d in pulled.items():
            self.name(d, f"d{name[1:]}", f"d{subscripted(name[1:])}", "surprise", "memory")
        return plain_writes(at_key, pulled, gain)

    def window_writes(self, measured: Mapping[str, Node], gates: Mapping[str, Node]) -> Writes:
        """The surprises of the tokens of the window [j], all at the same weights, under their weights gamma."""
        k, v, own = self.window_rows()
        gamma = self.name(input_tile("gamma_rows", ("j",)), "gamma_rows", "γ", "gate", "gates")
        at_keys = build_prediction(self.rule, self.features(k), k, plain_product(measured), "window_", "memory")
        self.take_names(at_keys)
        residual = entrywise(letter("u") - letter("v"), {"u": at_keys.u, "v": v})
        self.name(residual, "window_e", "e", "surprise", "attentional_bias")
        du = lower_expression(self.rule.bias_derivative, {"u": at_keys.u, "v": v, "e": residual, **gates, **own}, ("v",), ("j", "v"))
        self.name(du, "window_du", "∂ℓ/∂u", "surprise", "attentional_bias")
        writes: dict[str, list[Write]] = {}
        for name, d in pulled_back(at_keys, du).items():
            weighed = entrywise(letter("g") * letter("d"), {"g": gamma, "d": d})
            self.name(weighed, f"window_d{name[1:]}", f"d̄{subscripted(name[1:])}", "surprise", "memory")
            writes[name] = [Write(at_keys.left[name], weighed)]
        return writes

    def update(
        self, writes: Writes, before: Mapping[str, Node], momentum: Mapping[str, Node], gates: Mapping[str, Node]
    ) -> tuple[dict[str, Node], dict[str, Node]]:
        """The next dual state and, with momentum, the next S."""
        dual: dict[str, Node] = {}
        next_momentum: dict[str, Node] = {}
        for weight in self.rule.weights:
            name = weight.name
            tiles = {**gates, "W": before[name], "S": momentum.get(name, before[name])}
            step: sp.Expr = sp.Integer(0)
            for i, write in enumerate(writes[name]):
                if "j" in write.left.axes:
                    tiles |= {f"h{i}": surprise_tile(weight, [write]), f"d{i}": constant(1)}
                else:
                    tiles |= {f"h{i}": write.left, f"d{i}": write.right}
                step -= letter(f"h{i}") * letter(f"d{i}")
            if self.rule.update.waits:
                dual[name], more = self.waiting(weight, step, tiles)
                next_momentum |= more
                continue
            if self.rule.momentum:
                value, sized = f"S{name[1:]}", self.rule.update.sized
                after = entrywise(letter("mu") * letter("S") + (letter("eta") if sized else 1) * step, tiles, weight.axes)
                next_momentum[f"{name}_momentum"] = tiles["S"] = self.name(after, value, subscripted(value), "state", "optimizer")
                step = letter("S") if sized else letter("eta") * letter("S")
                if self.rule.update.orthogonal is not None:
                    tiles["S"] = self.orthogonal(weight, tiles["S"])
            else:
                step *= letter("eta")
            kept = sp.Mul(letter("W"), *map(letter, self.rule.decays))
            dual[name] = self.retained(weight, sp.expand(kept + step), tiles)
        return dual, next_momentum

    def waiting(self, weight: Weight, surprise: sp.Expr, tiles: Mapping[str, Node]) -> tuple[Node, dict[str, Node]]:
        """A decays, and the sum of surprises waits for the end of the chunk."""
        name, number = weight.name, weight.name[1:]
        held = self.leaf(state_tile(f"{name}_pending", weight.axes), f"S{number}_pending", 1, "optimizer")
        share = letter("P") + letter("mu") * letter("S") / self.rule.chunk.size + letter("eta") * surprise
        pending = entrywise(sp.expand(share), {**tiles, "P": held}, weight.axes)
        self.name(pending, f"S{number}_pending", state_letters(f"S{number}_pending"), "state", "optimizer")
        value = self.rule.dual_name(name)
        dual = self.name(self.decayed(tiles["W"], tiles), value, subscripted(value), "state", "retention")
        return dual, {f"{name}_momentum": tiles["S"], f"{name}_pending": pending}

    def orthogonal(self, weight: Weight, momentum: Node) -> Node:
        assert self.rule.update.orthogonal is not None
        rows, columns = self.rule.shorter_axis_first(weight)
        node = newton_schulz(momentum, rows, columns, self.rule.update.orthogonal.triples)
        number = weight.name[1:]
        self.labels[node] = Label(f"O{number}", subscripted(f"O{number}"), "state", "optimizer", definition="NS₅")
        return node

    def retained(self, weight: Weight, step: sp.Expr, tiles: Mapping[str, Node]) -> Node:
        """α A + S; a primal retention maps it to the next weights."""
        value, mirror = self.rule.dual_name(weight.name), self.rule.mirror
        node = entrywise(step, tiles, weight.axes)
        if mirror.step is not None:
            self.name(node, f"moved{weight.name[1:]}", f"X{subscripted(weight.name[1:])}", "state", "retention")
            given, row = {**tiles, "x": node, "w": tiles["W"]}, mirror.axes(weight)
            if mirror.relative is not None:
                step = lower_expression(mirror.relative, given, row, weight.axes)
                given["d"] = self.name(step, f"relative{weight.name[1:]}", f"R{subscripted(weight.name[1:])}", "state", "retention")
            node = lower_expression(mirror.step, given, row, weight.axes)
        return self.name(node, value, subscripted(value), "state", "retention")

    def read_weights(
        self, dual: Mapping[str, Node], before: Mapping[str, Node], start: Mapping[str, Node], gates: Mapping[str, Node]
    ) -> tuple[dict[str, Node], dict[str, Node]]:
        """The weights that the query reads, and the next log_beta where the chunk follows a linear path."""
        rule = self.rule
        chosen = {"after_write": dual, "before_write": before, "chunk_start": start}[rule.chunk.read]
        if not rule.chunk.linear or rule.chunk.read == "chunk_start":
            path = {name: self.primal(name, node) for name, node in chosen.items()}
            beta, log_beta = constant(1), self.log_beta()[1] if rule.chunk.path else {}
        else:
            beta, log_beta = (
                self.log_beta() if rule.chunk.has_grid else (gates["alpha"] if rule.chunk.read == "after_write" else constant(1), {})
            )
            line = letter("b") * letter("p") + letter("A") - letter("b") * letter("s")
            path = {n: entrywise(line, {"b": beta, "p": self.primal(n, start[n]), "A": chosen[n], "s": start[n]}) for n in chosen}
        for name, node in path.items():
            self.name(node, name, subscripted(name), "state", "retention")
        return path, log_beta

    def log_beta(self) -> tuple[Node, dict[str, Node]]:
        """β at the time of the read, and the log β that is handed on."""
        axes = self.rule.axes("alpha")
        leaf = state_tile("log_beta", axes)
        after = entrywise(letter("b") + clamped_log(), {"b": leaf, "x": input_tile("log_alpha", axes)})
        read = after if self.rule.chunk.read == "after_write" else leaf
        self.name(leaf, "log_beta_prev", "log_beta[t−1]", "state", "retention")
        self.name(after, "log_beta", "log_beta", "gate", "gates")
        beta = self.name(entrywise(sp.exp(letter("x")), {"x": read}), "beta", "β", "gate", "gates")
        return beta, {"log_beta": after}


def root(*parts: Node) -> Node:
    names = {f"s{i}": part for i, part in enumerate(parts)}
    return entrywise(sp.sqrt(sp.Add(*map(letter, names))), names)
