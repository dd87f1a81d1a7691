"""The coefficients of a chunk as tiles: paths through decay triangles, from sums of log decays over segments.

A decay over the tokens j < l ≤ t is exp of a sum over just these tokens, never the difference of two cumulated sums: a reset of −60
would cost two digits. Sums run over masked entries, which are 0 above the diagonal, so that no exponential overflows there.

Decays per head make one coefficient per pair of tokens; decays per key or value channel stay apart from it, one per channel.

A surprise is written at its token j. With a window several rows s are written at one token, and the coefficients of tokens spread
over them. Where those rows are measured each at the state of its own token, the rows of the tile are they: `earlier` [c, j] is 1 where
the token of row j is before that of row c. The decay of a token stands on its first row then, and its output on its last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import sympy as sp

from miras_compiler.derive.chunk_coefficients import ChunkCoefficients, Path
from miras_compiler.derive.gate_letters import gate_letters
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import constant, contract, cumulate, entrywise, is_constant, mask, ordered, rename, times, total
from miras_compiler.ir.nodes import Node
from miras_compiler.lower.window import TileWindow

Moment = Literal["after", "before", "decayed", "ahead", "decayed_ahead"]
"""Which state a row sees: after its token's write; before it; before it, but with its token's decay applied; and the last two with
mu_t S_{t−1} added."""
WITHOUT_STEP: dict[Moment, Moment] = {"ahead": "before", "decayed_ahead": "decayed"}
SUFFIX: dict[Moment, str] = {
    "after": "", "before": "_before", "decayed": "_decayed", "ahead": "_ahead", "decayed_ahead": "_decayed_ahead",
}  # fmt: skip
LETTERS: dict[Moment, str] = {
    "after": "", "before": "[before]", "decayed": "[decayed]", "ahead": "[ahead]", "decayed_ahead": "[decayed, ahead]",
}  # fmt: skip
COLUMN = {"alpha": ("beta", "β"), "mu": ("m", "m"), "alpha_value": ("beta_value", "β_value"), "alpha_d": ("beta_d", "β_d")}


class TileCoefficients:
    """`logs` are the log decays [c] or [c, channel] by letter, `eta` the step sizes [c] (None: weighed into the surprises already).

    `valid` [c] is 0 for tokens that are not there (None: all are), and for rows but the last of a token; `name` gives a tile its name in
    code and its letters.
    """

    def __init__(
        self, coefficients: ChunkCoefficients, logs: Mapping[str, Node], eta: Node | None, valid: Node | None,
        name: Callable[[Node, str, str], Node], *, window: TileWindow | None = None, earlier: Node | None = None,
    ) -> None:  # fmt: skip
        self.paths = coefficients
        self.logs = logs
        self.eta = eta
        self.valid = valid
        self.name = name
        self.window = window
        self.earlier = earlier
        self.source = "s" if window else "j"
        self.by_axis: dict[str, list[str]] = {}
        for gate in ("alpha", "alpha_value"):
            if gate in logs:
                self.by_axis.setdefault("".join(logs[gate].axes[1:]), []).append(gate)

    def head(self, gate: str | None) -> str | None:
        """The gate, if it is one number per head."""
        return gate if gate is not None and len(self.logs[gate].axes) == 1 else None

    def channel(self, axis: str) -> list[str]:
        """The decays that have a value per channel of the axis."""
        return self.by_axis.get(axis, [])

    # The state that entered the tile, as rows see it

    def seen(self, rows: Node, read: Callable[[Node], Node], moment: Moment) -> Node:
        """β (x A_0): `read` multiplies rows x by the state A_0."""
        for gate in self.channel("k"):
            rows = times(rows, self.decay_from_start(gate, moment))
        result = times(self.decay_from_start(self.head("alpha") if "alpha" in self.logs else None, moment), read(rows))
        for gate in self.channel("v"):
            result = times(result, self.decay_from_start(gate, moment))
        return result

    def reach(self, moment: Moment) -> Node | None:
        """[c]: the share of the momentum that entered the tile."""
        if self.paths.reach is None:
            return None
        reach = self.column(self.paths.reach, moment)
        if moment in WITHOUT_STEP:
            reach = entrywise(letter("f") + letter("m"), {"f": reach, "m": self.decay_from_start("mu", "after")})
        return self.name(reach, f"reach{SUFFIX[moment]}", f"ω{LETTERS[moment]}")

    # The surprises inside the tile, as rows see them

    def scores(self, rows: Node, left: Node, moment: Moment) -> Node:
        """[c, j]: rows · left under the decay of every key channel; entry by entry [c, j, v] for a vector memory."""
        decays = [self.between(gate, moment) for gate in self.channel("k")]
        if rows.axes[-1] == "v" or decays:
            product = times(rows, left)
            for decay in decays:
                product = times(product, decay)
            return product if rows.axes[-1] == "v" else total(product, "k")
        return contract(rows, left)

    def weighted(self, moment: Moment, scores: Node) -> Node:
        """[c, j] (or [c, j, v]): G ∘ scores, 0 where token j comes too late for row c."""
        if self.window is not None:
            return times(self.G(moment), scores)
        if self.paths.G.decays == (None,) or (len(self.paths.G.decays) == 1 and not self.head(self.paths.G.decays[0])):
            weighed = times(scores, rename(self.eta, "c", "j")) if self.eta is not None else scores
            return self.masked(weighed, "c", "j", _low(moment))
        return times(self.G(moment), scores)

    def spread(self, weights: Node, moment: Moment) -> Node:
        """The weights under the decay of every value channel."""
        for gate in self.channel("v"):
            weights = times(weights, self.between(gate, moment))
        return weights

    def collected(self, weights: Node, right: Node, moment: Moment) -> Node:
        """Σ_j weights_tj d_j: the reads of rows from the surprises of the tile."""
        weights = self.spread(weights, moment)
        return total(times(weights, right), self.source) if "v" in weights.axes else contract(weights, right)

    def G(self, moment: Moment) -> Node:
        """[c, j] or [c, s]: the weight of a surprise in the state that row c sees, but for decays per channel."""
        outer, *inner = self.paths.G.decays
        if not inner:
            weights = self.triangle(self.head(outer), moment, "c", "j")
        else:
            weights = contract(self.written(outer, moment), self.triangle(inner[0], "after", "i", "j"))
            if moment in WITHOUT_STEP:
                weights = entrywise(letter("g") + letter("n"), {"g": weights, "n": self.triangle("mu", "decayed", "c", "j")})
        if self.eta is not None:
            weights = times(weights, rename(self.eta, "c", "j"))
        if self.window is not None:
            weights = contract(weights, self.window.weights)
        return self.name(weights, f"G{SUFFIX[moment]}", f"G{LETTERS[moment]}")

    def written(self, gate: str | None, moment: Moment) -> Node:
        """[c, i]: the decay since the momentum of token i was added."""
        return times(self.triangle(gate, moment, "c", "i"), self.valid_rows())

    def valid_rows(self) -> Node:
        """[i]: without it a token that is not there would add the momentum once more."""
        return rename(self.valid, "c", "i") if self.valid is not None else constant(1, ("i",))

    # The state behind the tile

    def kept(self, state: Node) -> Node:
        """β_C A_0."""
        for gate in ("alpha", "alpha_value"):
            if gate in self.logs:
                end = _exp(total(self.logs[gate], "c"))
                state = times(self.name(end, f"{COLUMN[gate][0]}_end", f"{COLUMN[gate][1]}[C]"), state)
        return state

    def left_at_end(self, left: Node) -> Node:
        """[j, k] under the decay to the end of every key channel."""
        for gate in self.channel("k"):
            left = times(left, self.of_columns(self.decay_to_end(gate, "j")))
        return left

    def right_at_end(self, right: Node, weights: Node) -> Node:
        """[j, v] under its weight at the end, and the decay to the end of every value channel."""
        right = times(weights, right)
        for gate in self.channel("v"):
            right = times(right, self.of_columns(self.decay_to_end(gate, "j")))
        return right

    def end(self, path: Path, name: str, letters: str) -> Node:
        """The coefficient in the state after the tile: a number for an earlier state, [j] for the surprises."""
        outer, *inner = path.decays
        from_token = path.from_token
        if not inner:
            weights = self.decay_to_end(self.head(outer), "j") if from_token else self.decay_through(self.head(outer))
        else:
            written = self.name(times(self.decay_to_end(outer, "i"), self.valid_rows()), "D_end", "Λ[C]")
            inside = (
                self.triangle(inner[0], "after", "i", "j") if from_token else rename(self.decay_from_start(inner[0], "after"), "c", "i")
            )
            weights = total(times(written, inside), "i")
        if path.start == "surprise":
            weights = times(weights, rename(self.valid, "c", "j")) if self.valid is not None else weights
        elif from_token and self.eta is not None:
            weights = times(weights, rename(self.eta, "c", "j"))
        if from_token and self.window is not None and not self.orthogonal_steps(path):
            weights = contract(weights, self.window.weights)
        return self.name(weights, name, letters)

    # The rows of windows

    def of_columns(self, tile: Node) -> Node:
        """A value of tokens [j, …] as a value of the rows that they write."""
        if self.window is None or is_constant(tile):
            return rename(tile, "j", self.source)
        assert self.window.owner is not None
        return contract(self.window.owner, tile)

    # Decays between two tokens

    def between(self, gate: str, moment: Moment) -> Node:
        """[row, column, channel]: the decay of a channel between a write and the rows that see it."""
        decay = self.triangle(gate, moment, "c", "j")
        if self.window is None:
            return decay
        assert self.window.owner is not None
        spread = contract(decay, self.window.owner)  # [row, channel, s]
        return entrywise(letter("x"), {"x": spread}, ordered(spread.axes))

    def column(self, path: Path, moment: Moment) -> Node:
        """[c]: the coefficient of a momentum that entered the tile."""
        outer, inner = path.decays
        reached = rename(self.decay_from_start(inner, "after"), "c", "i")
        return total(times(self.written(outer, moment), reached), "i")

    def decay_from_start(self, gate: str | None, moment: Moment) -> Node:
        """[c] or [c, channel]."""
        if gate is None:
            return constant(1, ("c",))
        moment = WITHOUT_STEP.get(moment, moment)
        decay = _exp(self.summed(self.logs[gate], "c", moment))
        suffix: Moment = "before" if moment == "before" else "after"
        code, letters = COLUMN[gate]
        return self.name(decay, f"{code}{SUFFIX[suffix]}", f"{letters}{LETTERS[suffix]}")

    def triangle(self, gate: str | None, moment: Moment, row: str, column: str) -> Node:
        """[row, column] or [row, column, channel]: the decay between two tokens."""
        low, moment = _low(moment), WITHOUT_STEP.get(moment, moment)
        if gate is None:
            return self.masked(constant(1, (row, column)), row, column, low)
        log = rename(self.logs[gate], "c", row)
        rows = entrywise(letter("x"), {"x": log}, ordered((column, *log.axes)))
        segments = self.summed(mask(rows, row, column, 1), row, moment)
        return self.name(
            self.masked(_exp(segments), row, column, low),
            f"D_{gate}{SUFFIX[moment]}",
            _letters(gate, moment),
        )

    def summed(self, logs: Node, row: str, moment: Moment) -> Node:
        """Sums over the rows up to each, or over those before it: of earlier tokens."""
        if moment != "before" or self.earlier is None:
            return cumulate(logs, row, exclusive=moment == "before")
        inner = "j" if "i" in logs.axes else "i"
        earlier, logs = rename(self.earlier, "j", inner), rename(logs, row, inner)
        return contract(earlier, logs) if len(logs.axes) > 1 else total(times(earlier, logs), inner)

    def masked(self, tile: Node, row: str, column: str, low: int) -> Node:
        """A tile, 0 where the column comes too late for the row."""
        tile = mask(tile, row, column, low)
        return tile if low == 0 or self.earlier is None else times(tile, rename(self.earlier, "j", column))

    def orthogonal_steps(self, path: Path) -> bool:
        """True if the path starts at the steps of Muon, which are one per token however many rows a window has."""
        return path.start == "token" and self.paths.n is not None and self.paths.n.start == "surprise"

    def decay_to_end(self, gate: str | None, axis: str) -> Node:
        if gate is None:
            return constant(1, (axis,))
        return _exp(cumulate(rename(self.logs[gate], "c", axis), axis, reverse=True, exclusive=True))

    def decay_through(self, gate: str | None) -> Node:
        return constant(1) if gate is None else _exp(total(self.logs[gate], "c"))


def _letters(gate: str, moment: Moment) -> str:
    """ "Λ[α, decayed]"."""
    return f"Λ[{', '.join(filter(None, (gate_letters(gate), LETTERS[moment][1:-1])))}]"


def _low(moment: Moment) -> int:
    return 0 if moment == "after" else 1


def _exp(node: Node) -> Node:
    return entrywise(sp.exp(letter("x")), {"x": node})
