"""The chunk program: a tile of C tokens, from the state before it to its outputs and the state behind it.

Its forms are 1 to 4 of docs/mathematics.md §7.

Three steps that the forms share, each with its ways: the surprises of all tokens, the reads (of the linear path, or of every token's
own ψ(A_t)), and the state at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import sympy as sp

from miras_compiler.analysis.parallel_form import Kind
from miras_compiler.derive.chunk_coefficients import ChunkCoefficients
from miras_compiler.derive.gate_letters import gate_letters
from miras_compiler.derive.parts import RuleGate, Weight
from miras_compiler.derive.prediction import build_prediction, plain_product, subscripted
from miras_compiler.derive.tiles import RuleTiles, clamped_log
from miras_compiler.derive.writes import Writes
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import add, contract, entrywise, input_tile, is_constant, rename, state_tile, times, total
from miras_compiler.ir.nodes import Node, Rename
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.traverse import labels_in_use
from miras_compiler.lower.coefficients import Moment, TileCoefficients
from miras_compiler.lower.orthogonal import OrthogonalReads
from miras_compiler.lower.per_token import PerTokenReads
from miras_compiler.lower.surprises import SurpriseSystem, known_surprises
from miras_compiler.lower.window import build_window, own_rows


@dataclass(kw_only=True)
class ChunkBuilder(RuleTiles):
    """Builds the tile of one parallel form, from the coefficients of a chunk."""

    kind: Kind
    paths: ChunkCoefficients

    token = ("c",)
    past = "s"
    gate_section = "decay"

    def __post_init__(self) -> None:
        self.weights = {weight.name: weight for weight in self.rule.weights}

    @property
    def windowed(self) -> bool:
        return super().windowed and not own_rows(self.rule, self.kind)

    def name(self, node: Node, name: str, letters: str, section: str, origin: str = "", definition: str = "") -> Node:
        """The node, labelled unless it is a second name of another, or a constant."""
        if not isinstance(node, Rename) and not is_constant(node):
            self.labels.setdefault(node, Label(name, letters, section, "", definition=definition))
        return node

    def build(self) -> Program:
        rule = self.rule
        q, k, v = map(self.row, ("q", "k", "v"))
        gates = self.gates()
        self.thresholds = gates
        if self.windowed:
            k, v, self.thresholds = self.window_rows()
        keys, queries = self.features(k), self.features(q)
        gates["eta"] = self.step_size(keys, gates["eta"])
        if own_rows(rule, self.kind):
            gates["eta"] = self.name(times(gates["eta"], gates["gamma"]), "weighed_step", "η̂", "decay")
        self.coefficients = self.chunk_coefficients(gates)
        self.before = {w: self.state(weight, "", "") for w, weight in self.weights.items()}
        self.momentum = {w: self.state(weight, "_momentum", "") for w, weight in self.weights.items()} if rule.momentum else {}
        start = {w: self.state(weight, "_start", "[start]") for w, weight in self.weights.items()} if rule.chunk.has_grid else None
        self.start = start or self.before
        gain, memory_of_keys = self.preconditioner(keys, gates)

        writes = self.weighed(self.surprises(k, keys, v, gain, gates), gates)
        read = build_prediction(rule, queries, q, self.reader(writes), "read_", "read")
        self.take_names(read)
        self.labels[read.u] = Label("o", "y", "output", "memory")
        outputs = {"o": read.u, **self.end_state(writes), **memory_of_keys}
        return Program(f"{rule.frame.name}_chunk", outputs, labels_in_use(outputs, self.labels))

    def comes_with_rows(self, gate: RuleGate) -> bool:
        return super().comes_with_rows(gate) or (gate.measured and gate.name != "eta")

    def read_gate(self, gate: RuleGate, leaf: Node) -> Node:
        """Decays as logarithms, below −60 read as −60."""
        if gate.decay:
            return self.name(entrywise(clamped_log(), {"x": leaf}), f"decay_{gate.name}", f"log {gate_letters(gate.name)}", "decay")
        return self.name(leaf, gate.code, gate_letters(gate.name), "decay")

    def chunk_coefficients(self, gates: Mapping[str, Node]) -> TileCoefficients:
        def name(node: Node, name: str, letters: str) -> Node:
            return self.name(node, name, letters, "decay")

        valid = name(input_tile("valid", ("c",)), "valid", "valid") if self.rule.momentum else None
        logs = {gate.name: gates[gate.name] for gate in self.rule.gates.values() if gate.decay}
        eta = gates["eta"] if len(gates["eta"].axes) == 1 else None
        earlier = name(input_tile("earlier", ("c", "j")), "earlier", "earlier") if own_rows(self.rule, self.kind) else None
        return TileCoefficients(self.paths, logs, eta, valid, name, window=build_window(self.rule, self.kind, name), earlier=earlier)

    def weighed(self, writes: Writes, gates: Mapping[str, Node]) -> Writes:
        """Writes with a step size per channel weighed into the row that has the channel."""
        eta = gates["eta"]
        if len(eta.axes) == 1 or ("k" in eta.axes and self.kind in ("triangular_solve", "forward_substitution")):
            return writes  # the latter weigh the key that they write
        eta = self.coefficients.of_columns(rename(eta, "c", "j"))
        side = "left" if "k" in eta.axes else "right"
        return {w: [each._replace(**{side: times(getattr(each, side), eta)}) for each in parts] for w, parts in writes.items()}

    def state(self, weight: Weight, suffix: str, letters: str) -> Node:
        leaf = state_tile(weight.name + suffix, weight.axes)
        number = weight.name[1:]
        value = {"_momentum": f"S{number}", "_pending": f"Z{number}"}.get(suffix, self.rule.dual_name(weight.name))
        return self.name(leaf, weight.name + suffix, f"{subscripted(value)}{letters or '[0]'}", "state")

    def preconditioner(self, keys: Node, gates: Mapping[str, Node]) -> tuple[Node | None, dict[str, Node]]:
        """The gain [c, k] of every token's key, and the decayed sum of squared keys behind the tile."""
        if self.rule.update.gain is None:
            return None, {}
        before = self.name(state_tile("preconditioner", ("k",)), "preconditioner", "D[0]", "state")
        added = rename(entrywise(letter("eta") * letter("k") ** 2, {"eta": gates["eta_d"], "k": keys}, ("c", "k")), "c", "j")
        c = self.coefficients
        triangle, column = c.triangle("alpha_d", "after", "c", "j"), c.decay_from_start("alpha_d", "after")
        collected = contract(triangle, added) if len(triangle.axes) == 2 else total(times(triangle, added), "j")
        sums = self.name(add(times(column, before), collected), "D", "D", "surprise")
        to_end = c.decay_to_end("alpha_d", "j")
        behind = add(times(c.decay_through("alpha_d"), before), total(times(to_end, added), "j"))
        return self.gain(sums), {"preconditioner": self.name(behind, "preconditioner_next", "D[C]", "end")}

    def surprises(self, k: Node, keys: Node, v: Node, gain: Node | None, gates: Mapping[str, Node]) -> Writes:
        def name(node: Node, name: str, letters: str) -> Node:
            return self.name(node, name, letters, "surprise")

        if self.kind in ("dual", "dual_per_token"):
            measured = {w: name(self.primal(w, node), f"{w}_measured", f"{subscripted(w)}[start]") for w, node in self.start.items()}
            return known_surprises(self.rule, measured, keys, k, v, gain, self.thresholds, name)
        rows = {"raw": k, "error": keys, "v": v, "write": keys}
        erases = self.rule.update.erases
        if erases:
            erase_key, erase_write_key = map(self.row, ("erase_key", "erase_write_key"))
            rows |= {"raw": erase_key, "error": self.features(erase_key), "erase_write_key": self.features(erase_write_key)}
        if gain is not None:
            rows["write"] = name(times(gain, keys), "written_key", "k̃")
        if "k" in gates["eta"].axes:
            eta = self.coefficients.of_columns(rename(gates["eta"], "c", "j"))
            rows["write"] = name(times(rename(eta, self.coefficients.source, keys.axes[0]), rows["write"]), "sized_key", "k̂")
            if erases:
                erased = rows["erase_write_key"]
                sized = times(rename(eta, self.coefficients.source, erased.axes[0]), erased)
                rows["erase_write_key"] = name(sized, "sized_erase_write_key", "b̂")
        (weight,) = self.weights
        if not self.weights[weight].columns:
            rows |= {x: rename(rows[x], "k", "v") for x in ("error", "write")}
        system = SurpriseSystem(self.rule, self.coefficients, rows, self.thresholds, gates["eta"], partial(self.seen, weight), name)
        return system.solved() if self.kind == "triangular_solve" else system.substituted()

    def seen(self, name: str, rows: Node, moment: Moment) -> Node:
        return self.from_state(name, rows, moment, self.before[name])

    def multiply(self, name: str, rows: Node, tile: Node) -> Node:
        return plain_product({name: tile})(self.weights[name], rows)

    def from_state(self, name: str, rows: Node, moment: Moment, base: Node) -> Node:
        """β (x A_0) + f (x S_0): the reads of rows from the state that entered the tile."""
        result = self.coefficients.seen(rows, lambda x: self.multiply(name, x, base), moment)
        reach = self.coefficients.reach(moment)
        if reach is None:
            return result
        return add(result, times(reach, self.multiply(name, rows, self.momentum[name])))

    def reader(self, writes: Writes) -> Callable[[Weight, Node], Node]:
        """The product of a query's rows with a weight."""
        read = self.rule.chunk.read
        if read == "chunk_start" and self.rule.chunk.has_grid:
            return plain_product({name: self.primal(name, node) for name, node in self.start.items()})
        moment: Moment = "after" if read == "after_write" else "before"
        bases = {name: self.linear_base(name) for name in self.weights}
        if self.kind == "dual_per_token":
            return replace(self.per_token_reads(writes, moment), before=bases).times

        def multiplied(weight: Weight, rows: Node) -> Node:
            name = weight.name
            read = self.from_state(name, rows, moment, bases[name])
            for number, write in enumerate(writes[name]):
                scores = self.coefficients.weighted(moment, self.coefficients.scores(rows, write.left, moment))
                which, part = ("ab"[number], ("[erase]", "[write]")[number]) if len(writes[name]) > 1 else ("", "")
                self.name(scores, f"P{name[1:]}{which}", f"P{subscripted(name[1:])}{part}", "read")
                written = self.coefficients.collected(scores, write.right, moment)
                read = entrywise(letter("x") - letter("y"), {"x": read, "y": written})
            return read

        return multiplied

    def per_token_reads(self, writes: Writes, moment: Moment) -> PerTokenReads:
        reads = PerTokenReads if self.rule.update.orthogonal is None else OrthogonalReads
        bases = {name: self.linear_base(name) for name in self.weights}
        return reads(self.rule, self.coefficients, bases, self.momentum, writes, moment, self.name)

    def linear_base(self, name: str) -> Node:
        """A_0; with `retention: chunk_end`, the point of the linear path from ψ(A_start) that the tile begins at."""
        if not self.rule.chunk.path:
            return self.before[name]
        beta = entrywise(sp.exp(letter("x")), {"x": self.log_beta()})
        start, mapped = self.start[name], self.primal(name, self.start[name])
        path = letter("A") + letter("b") * (letter("p") - letter("s"))
        base = entrywise(path, {"A": self.before[name], "b": beta, "p": mapped, "s": start})
        return self.name(base, f"{name}_path", f"{subscripted(name)}[0]", "read")

    def log_beta(self) -> Node:
        return self.name(state_tile("log_beta", self.rule.axes("alpha")), "log_beta", "log_beta[0]", "decay")

    def end_state(self, writes: Writes) -> dict[str, Node]:
        """Dual state and momentum behind the tile."""
        if self.rule.update.waits:
            return self.waiting_state(writes)
        paths, c = self.paths, self.coefficients
        state: dict[str, Node] = {}
        weights = c.end(paths.G, "G_end", "G[C]")
        reach = c.end(paths.reach, "reach_end", "ω[C]") if paths.reach else None
        for name, weight in self.weights.items():
            node = c.kept(self.before[name])
            if reach is not None:
                node = add(node, times(reach, self.momentum[name]))
            if self.rule.update.orthogonal is not None:
                reads = self.per_token_reads(writes, "after")
                assert isinstance(reads, OrthogonalReads)
                node = add(node, reads.behind(weight, weights))
            else:
                node = self.without(node, weight, writes, weights)
            state[name] = self.name(node, f"{name}_next", f"{subscripted(self.rule.dual_name(name))}[C]", "end")
        if paths.m and paths.n:
            kept, weights = c.end(paths.m, "m_end", "m[C]"), c.end(paths.n, "n_end", "n[C]")
            for name, weight in self.weights.items():
                node = self.without(times(kept, self.momentum[name]), weight, writes, weights)
                state[f"{name}_momentum"] = self.name(node, f"{name}_momentum_next", f"S{subscripted(name[1:])}[C]", "end")
        return state | self.end_log_beta()

    def end_log_beta(self) -> dict[str, Node]:
        """The decay since the beginning of a linear path, which reads follow."""
        if not self.rule.chunk.path:
            return {}
        node = entrywise(letter("x") + letter("s"), {"x": self.log_beta(), "s": total(self.coefficients.logs["alpha"], "c")})
        return {"log_beta": self.name(node, "log_beta_next", "log β[C]", "end")}

    def waiting_state(self, writes: Writes) -> dict[str, Node]:
        """A decayed, and the surprises added to the sum that waits for the end of the chunk."""
        c, state = self.coefficients, {}
        assert c.eta is not None
        assert c.valid is not None
        shares = entrywise(sp.exp(letter("x")) * letter("v") / self.rule.chunk.size, {"x": c.logs["mu"], "v": c.valid})
        mean = self.name(total(shares, "c"), "mu_share", "μ̄", "decay")
        weights = rename(c.eta, "c", "j")
        if c.window is not None:
            weights = contract(weights, c.window.weights)
        for name, weight in self.weights.items():
            held = self.state(weight, "_pending", "[0]")
            pending = self.without(add(held, times(mean, self.momentum[name])), weight, writes, weights)
            state[name] = self.name(c.kept(self.before[name]), f"{name}_next", f"{subscripted(name)}[C]", "end")
            state[f"{name}_momentum"] = self.momentum[name]
            state[f"{name}_pending"] = self.name(pending, f"{name}_pending_next", f"Z{subscripted(name[1:])}[C]", "end")
        return state | self.end_log_beta()

    def without(self, node: Node, weight: Weight, writes: Writes, weights: Node) -> Node:
        """The state less Σ_j weights_j g_j."""
        for write in writes[weight.name]:
            left, right = self.coefficients.left_at_end(write.left), self.coefficients.right_at_end(write.right, weights)
            written = contract(left, right) if weight.columns else total(times(left, right), self.coefficients.source)
            node = entrywise(letter("x") - letter("y"), {"x": node, "y": written}, weight.axes)
        return node
