"""A rule run token by token in numpy, over one head of one sequence, with gates as the layer starts them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement, pairwise
from math import comb, factorial, prod

import numpy as np

from miras_compiler.derive.chunk_end import leaving
from miras_compiler.derive.update_rule import UpdateRule
from miras_compiler.ir.interpret import Array, interpret
from miras_compiler.ir.nodes import State
from miras_compiler.ir.traverse import leaves_of
from miras_compiler.spec.ties import RETAINED, TieTerm

SPREAD = 3**-0.5  # the standard deviations of a fresh projection's and a fresh convolution's outputs, for inputs of standard deviation 1
LOWEST = 1e-26  # of a decay that is 0; its logarithm is −60

Token = dict[str, Array]  # rows by name, before ties: [writes, channels]
Values = dict[str, Array]


class Loop:
    """The loop of a rule at a key width of `width`, a value width in proportion, and chunks of at most `longest` tokens."""

    def __init__(self, rule: UpdateRule, width: int, longest: int) -> None:
        self.frame, self.rule = rule.frame, rule
        frame, size = rule.frame, rule.chunk.size
        leave = [(size, leaving(rule, rule.step.chunk_end))] if rule.step.chunk_end else []
        self.events = [
            (min(every, longest) if every == size else every, event) for every, event in (*leave, *rule.chunk.events(rule.carried))
        ]
        self.key, self.value = width, max(1, width * frame.value_dim // frame.key_dim)
        hidden = width * frame.hidden_dim // frame.key_dim
        degree = rule.features.degree
        features = comb(width + degree, degree) if rule.features.outer else width
        self.lengths = {"k": features, "v": self.value, "n": hidden, "j": rule.surprise.window, **{f"n{i}": hidden for i in range(1, 17)}}
        self.leaves = leaves_of(rule.step.program)
        self.shapes = {leaf.name: tuple(self.lengths[axis] for axis in leaf.axes) for leaf in self.leaves if isinstance(leaf, State)}

    def draw_token(self, random: np.random.Generator) -> Token:
        """The output of a fresh layer's projections, convolution, activation and norm for a random hidden state."""
        writes = self.rule.update.writes
        widths = {"q": (1, self.key), "k": (writes, self.key), "v": (writes, self.value)}
        widths |= {"erase_key": (1, self.key), "erase_write_key": (1, self.key)}
        return {name: self._row(random.standard_normal(shape), is_key=name != "v") for name, shape in widths.items()}

    def _row(self, x: Array, *, is_key: bool) -> Array:
        layer = self.frame.layer
        x = x * SPREAD * (SPREAD if layer.conv else 1)
        x = x / (1 + np.exp(-x)) if layer.activation == "silu" else x
        return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True) if is_key and layer.qk_norm == "l2" else x)

    def draw_state(self, random: np.random.Generator) -> Values:
        """The state that the layer starts from."""
        rule, state = self.rule, {name: np.zeros(shape) for name, shape in self.shapes.items()}
        for weight in rule.weights:
            shape = tuple(self.lengths[axis] for axis in weight.axes)
            if rule.memory.deep or rule.mirror.start == "required":
                std = self.rule.memory.std
                std = shape[0] ** -0.5 if std == "fan_in" else std
                begin = std * random.standard_normal(shape)
            elif rule.mirror.start == "uniform" and rule.mirror.primal:
                begin = np.full(shape, rule.mirror.total / prod(self.lengths[axis] for axis in rule.mirror.axes(weight)))
            else:
                begin = np.zeros(shape)
            state[weight.name] = begin
            for entry in rule.state:
                if entry.of == weight.name:
                    state[entry.name] = begin
        return state

    def outputs(self, sequence: Sequence[Token], state: Values) -> Array:
        """The outputs [T, V]."""
        rule = self.rule
        outputs: list[Array] = []
        past: list[Values] = []
        nothing = {name: np.zeros_like(row) for name, row in sequence[0].items()}
        for t, (before, token) in enumerate(pairwise((nothing, *sequence)), 1):
            rows = self.tied(token, before)
            read: list[Array] = []
            for write in range(rule.update.writes):
                given = {name: x[min(write, len(x) - 1)] for name, x in rows.items()}
                past = [given, *past[: rule.surprise.window - 1]]
                found = self._step(given | self._gates(write) | self._window(past), state)
                read.append(found.pop("o"))
                state = state | found
            outputs.append(read[-1] if rule.chunk.read == "after_write" else read[0])
            for every, event in self.events:
                if t % every == 0:
                    state = state | interpret(event, {leaf.name: state[leaf.name] for leaf in leaves_of(event)})
        return np.array(outputs)

    def _step(self, given: Values, state: Values) -> Values:
        if self.rule.features.outer:
            mapped = [name for name in ("q", "k", "erase_key", "erase_write_key", "k_rows") if name in given]
            given = given | {f"{name}_features": polynomial(given[name], self.rule.features.degree) for name in mapped}
        given = given | {"ln_weight": np.ones(self.value), "ln_bias": np.zeros(self.value)}
        return interpret(self.rule.step.program, {leaf.name: {**given, **state}[leaf.name] for leaf in self.leaves})

    def tied(self, token: Token, before: Token) -> Token:
        """The rows of a token with ties; those of the token before the first are zeros."""
        rows = dict(token)
        for name, tie in self.frame.layer.tie.items():
            if tie.write is not None:
                rows[name] = np.where(np.arange(1, len(token[name]) + 1)[:, None] == tie.write, 0.0, token[name])
            else:
                rows[name] = np.sum([self._term(term, name, before if term.lag else token) for term in tie.terms], 0)
        return rows

    def _term(self, term: TieTerm, name: str, token: Token) -> Array:
        row = np.full_like(token[name], 1 - self._init("alpha")) if term.of == RETAINED else token[term.of]
        factor = 1.0 if term.gate is None else term.gate.init ** (0.5 if term.gate.root else 1)
        return row * (-factor if term.minus else factor)

    def _init(self, gate: str) -> float:
        """The initial value of a gate; of several heads the largest."""
        init = self.rule.gates[gate].init
        return max(init) if isinstance(init, tuple) else init

    def _gates(self, write: int) -> Values:
        """The gates of a write; a token decays once, at its first."""
        gates = {}
        for name, gate in self.rule.gates.items():
            init = self._init(name)
            if gate.decay:
                init = np.log(max(init, LOWEST)) if write == 0 else 0.0
            gates[gate.leaf] = np.full([self.lengths[axis] for axis in gate.axes], init)
        return gates

    def _window(self, past: list[Values]) -> Values:
        """The rows of the window, the newest first, and the weights of those that are there."""
        size = self.rule.surprise.window
        if size == 1:
            return {}
        missing = [{name: np.zeros_like(x) for name, x in past[0].items()}] * (size - len(past))
        rows = {f"{name}_rows": np.array([row[name] for row in (*past, *missing)]) for name in ("k", "v")}
        gates = self._gates(0)
        names = [gate.code for gate in self.rule.gates.values() if gate.measured]
        own = {f"{name}_rows": np.broadcast_to(gates[name], (size, *gates[name].shape)) for name in names}
        return rows | own | {"gamma_rows": np.where(np.arange(size) < len(past), self._init("gamma"), 0.0)}


def polynomial(x: Array, degree: int) -> Array:
    """(√(|b|!/b!) x^b / √|b|!) over |b| ≤ degree, [..., K] to [..., F]: the coefficients with which a layer starts."""
    columns = [np.ones((*x.shape[:-1], 1))]
    for power in range(1, degree + 1):
        index = list(combinations_with_replacement(range(x.shape[-1]), power))
        weight = np.array([prod(factorial(row.count(channel)) for channel in set(row)) for row in index]) ** -0.5
        columns.append(weight * prod(x[..., [row[i] for row in index]] for i in range(power)))
    return np.concatenate(columns, -1)
