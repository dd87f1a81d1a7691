"""The coefficients of a chunk as tiles: paths through decay triangles, from sums of log decays over segments.

A decay over the tokens j < l ≤ t is exp of a sum over just these tokens, never the difference of two cumulated sums: a reset of −60
would cost two digits. Sums run over masked entries, which are 0 above the diagonal, so that no exponential overflows there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import sympy as sp

from miras_compiler.derive.chunk_coefficients import ChunkCoefficients, Path
from miras_compiler.derive.notation import GREEK
from miras_compiler.ir.build import constant, contract, cumulate, entrywise, mask, rename, total
from miras_compiler.ir.nodes import Node
from miras_compiler.symbols import letter

Moment = Literal["after", "before", "decayed"]
"""Which state a row sees: after its token's write; before it; before it, but with its token's decay applied."""
SUFFIX: dict[Moment, str] = {"after": "", "before": "_before", "decayed": "_decayed"}
LETTERS: dict[Moment, str] = {"after": "", "before": "[t−1]", "decayed": "[decayed]"}


class TileCoefficients:
    """`logs` are the log decays [c] by letter, `eta` the step sizes [c]; `valid` [c] is 0 for tokens that are not there (None: all are).

    `name` gives a tile its name in code and its letters.
    """

    def __init__(
        self,
        coefficients: ChunkCoefficients,
        logs: Mapping[str, Node],
        eta: Node,
        valid: Node | None,
        name: Callable[[Node, str, str], Node],
    ) -> None:
        self.paths = coefficients
        self.name = name
        self.logs = logs
        self.eta = eta
        self.valid = valid

    def beta(self, moment: Moment) -> Node:
        """[c]: what is left of the state that entered the tile."""
        return self.column(self.paths.beta, moment)

    def f(self, moment: Moment) -> Node | None:
        """[c]: what the momentum that entered the tile has added."""
        return self.column(self.paths.f, moment) if self.paths.f else None

    def weighted(self, moment: Moment, scores: Node) -> Node:
        """[c, j]: G ∘ scores, 0 where token j comes too late for row c."""
        if self.paths.G.decays == (None,):
            return mask(_times(scores, rename(self.eta, "c", "j")), "c", "j", _low(moment))
        return _times(self.G(moment), scores)

    def G(self, moment: Moment) -> Node:
        """[c, j]: the weight of the surprise of token j in the state that row c sees."""
        outer, *inner = self.paths.G.decays
        eta = rename(self.eta, "c", "j")
        if not inner:
            weights = _times(self.triangle(outer, moment, "c", "j"), eta)
        else:
            weights = _times(contract(self.written(outer, moment), self.triangle(inner[0], "after", "i", "j")), eta)
        return self.name(weights, f"G{SUFFIX[moment]}", f"G{LETTERS[moment]}")

    def written(self, gate: str | None, moment: Moment) -> Node:
        """[c, i]: the decay since the momentum of token i was added."""
        return _times(self.triangle(gate, moment, "c", "i"), self.valid_rows())

    def valid_rows(self) -> Node:
        """[i]: without it a token that is not there would add the momentum once more."""
        return rename(self.valid, "c", "i") if self.valid is not None else constant(1, ("i",))

    def column(self, path: Path, moment: Moment) -> Node:
        """[c]: the coefficient of a state that entered the tile."""
        outer, *inner = path.decays
        if not inner:
            return self.decay_from_start(outer, moment)
        reached = rename(self.decay_from_start(inner[0], "after"), "c", "i")
        reach = total(_times(self.written(outer, moment), reached), "i")
        return self.name(reach, f"reach{SUFFIX[moment]}", f"f{LETTERS[moment]}")

    def decay_from_start(self, gate: str | None, moment: Moment) -> Node:
        if gate is None:
            return constant(1, ("c",))
        decay = _exp(cumulate(self.logs[gate], "c", exclusive=moment == "before"))
        code, letters = {"alpha": ("beta", "β"), "mu": ("m", "m")}[gate]
        suffix: Moment = "before" if moment == "before" else "after"
        return self.name(decay, f"{code}{SUFFIX[suffix]}", f"{letters}{LETTERS[suffix]}")

    def triangle(self, gate: str | None, moment: Moment, row: str, column: str) -> Node:
        """[row, column]: the decay between two tokens."""
        low = _low(moment)
        if gate is None:
            return mask(constant(1, (row, column)), row, column, low)
        rows = entrywise(letter("x"), {"x": rename(self.logs[gate], "c", row)}, (row, column))
        segments = cumulate(mask(rows, row, column, 1), row, exclusive=moment == "before")
        triangle = mask(_exp(segments), row, column, low)
        return self.name(triangle, f"D_{gate}{SUFFIX[moment]}", f"D{GREEK[gate]}{LETTERS[moment]}")

    def end(self, path: Path, name: str, letters: str) -> Node:
        """The coefficient in the state after the tile: a number for an earlier state, [j] for the surprises."""
        outer, *inner = path.decays
        eta = rename(self.eta, "c", "j")
        if not inner:
            weights = _times(self.decay_to_end(outer, "j"), eta) if path.start == "token" else self.decay_through(outer)
            return self.name(weights, name, letters)
        written = self.name(_times(self.decay_to_end(outer, "i"), self.valid_rows()), "D_end", "D[C]")
        if path.start == "token":
            weights = _times(total(_times(written, self.triangle(inner[0], "after", "i", "j")), "i"), eta)
        else:
            weights = total(_times(written, rename(self.decay_from_start(inner[0], "after"), "c", "i")), "i")
        return self.name(weights, name, letters)

    def decay_to_end(self, gate: str | None, axis: str) -> Node:
        if gate is None:
            return constant(1, (axis,))
        return _exp(cumulate(rename(self.logs[gate], "c", axis), axis, reverse=True, exclusive=True))

    def decay_through(self, gate: str | None) -> Node:
        return constant(1) if gate is None else _exp(total(self.logs[gate], "c"))


def _low(moment: Moment) -> int:
    return 0 if moment == "after" else 1


def _exp(node: Node) -> Node:
    return entrywise(sp.exp(letter("x")), {"x": node})


def _times(a: Node, b: Node) -> Node:
    return entrywise(letter("a") * letter("b"), {"a": a, "b": b})
