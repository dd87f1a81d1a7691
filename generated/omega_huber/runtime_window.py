"""Windows: the surprise of a token measures the tokens before it, too, each by its weight."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .runtime_contract import Call
from .runtime_past import before_tiles, last_rows, walk_weights, windows_of, with_past
from .runtime_plan import Piece, Plan
from .runtime_repeated import by_rows, of_row, on_row

Polynomial = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Window:
    """A surprise measures the `size` last tokens, its own included. The state holds the last L = `size` − 1 of the arguments `kept`, by
    their names in code.

    `features` is the map of keys to features, where keys are mapped before the forms read them.
    """

    size: int
    kept: tuple[str, ...] = ()
    features: Polynomial | None = None

    def check(self, lengths: dict[str, int]) -> None:
        """gamma has a weight per token of the window."""
        if lengths["W"] != self.size:
            raise ValueError(f"gamma: expected one weight for each token of the window, W = {self.size}, got W = {lengths['W']}")
        lengths["L"] = self.size - 1

    def prepare(self, tokens: dict[str, Tensor], parameters: Mapping[str, Tensor], axes: Mapping[str, str]) -> dict[str, Tensor]:
        """As they are."""
        return tokens

    def lines(self, call: Call, plan: Plan) -> dict[str, Tensor]:
        """The tokens of every sequence behind those of its window, by the names of a form's arguments."""
        kept = {name: name.rstrip("_") for name in self.kept}
        lines = {f"{name}_rows": plan.line(call.tokens[given], call.state[f"window_{given}"]) for name, given in kept.items()}
        if self.features is not None:
            lines["k_rows_features"] = self.features(lines["k_rows"], call.parameters["feature_coefficients"])
        return lines

    def step_values(self, call: Call, lines: Mapping[str, Tensor], piece: Piece) -> dict[str, Tensor]:
        """The rows [B, H, W, ...] that the surprise of one token measures, oldest first, and their weights [B, H, W]."""
        before = self.size - 1
        present = piece.present(call.state["window_length"], before)
        gamma = torch.where(present[:, None], piece.take(call.tokens["gamma"])[:, :, 0].flip(-1), 0.0)
        return {name: piece.rows(line, before) for name, line in lines.items()} | {"gamma_rows": gamma}

    def tile_values(self, call: Call, lines: Mapping[str, Tensor], piece: Piece, takes: Collection[str]) -> dict[str, Tensor]:
        """The rows [N, H, C + L, ...] that the surprises of a tile measure, and each row's weight in each surprise.

        Where a form takes `owner`, every token has rows of its own [N, H, C · W, ...], and that says whose they are. Where it takes
        `gamma`, its tokens are these rows.
        """
        before = self.size - 1
        present, gamma = piece.present(call.state["window_length"], before), piece.take(call.tokens["gamma"])
        rows = {name: piece.rows(line, before) for name, line in lines.items()}
        if "owner" not in takes and "gamma" not in takes:
            return rows | {"gamma_rows": weight_matrix(gamma, present, self.size)}
        owned = {name: in_windows(x, self.size) for name, x in rows.items()}
        weights = row_weights(gamma, present, self.size)
        if "owner" in takes:
            return owned | {"gamma_rows": weights, "owner": owners(gamma, self.size)}
        given = {name.replace("_rows", ""): x for name, x in owned.items()} | {"gamma": weights}
        others = {*given, *call.parameters, *call.state}
        names = [name for name in takes if name.rstrip("_") in call.tokens and name not in others]
        given |= {name: by_rows(name, piece.take(call.token(name)), self.size, 2) for name in names}
        valid = on_row(by_rows("valid", piece.valid(call.tokens["q"]), self.size, 2), self.size, self.size - 1, 2)
        return given | {"valid": valid, "earlier": earlier_rows(gamma, self.size)}

    def outputs(self, x: Tensor, axis: int) -> Tensor:
        """Of the outputs behind all rows along an axis those of tokens: each is read behind the last row of its window."""
        return of_row(x, self.size, self.size - 1, axis)

    def final(self, call: Call, lines: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
        """The entries of the state that hold the window."""
        entries = {f"window_{name.rstrip('_')}": plan.last(lines[f"{name}_rows"], self.size - 1) for name in self.kept}
        return entries | {"window_length": plan.behind(call.state["window_length"]).clamp(max=self.size - 1)}

    def past_lines(self, tokens: Mapping[str, Tensor], state: Mapping[str, Tensor], cu_seqlens: Tensor | None) -> dict[str, Tensor]:
        """The rows of every sequence behind those of its window, by the names of a form's arguments."""
        kept = {name: name.rstrip("_") for name in self.kept}
        return {f"{name}_rows": with_past(tokens[each], state[f"window_{each}"], cu_seqlens) for name, each in kept.items()}

    def tile_rows(
        self,
        tokens: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        lines: Mapping[str, Tensor],
        tile: int,
        cu_seqlens: Tensor | None,
        grid: str,
    ) -> dict[str, Tensor]:
        """The arguments of kernels over tiles that come of windows: the rows before every tile of a grid, of `past_lines`, and weights."""
        gamma = tokens["gamma"]
        before = before_tiles(gamma, tile, None if grid == "whole" else state["position"], cu_seqlens, grid)
        rows = {name: lines[f"{name}_rows"][before].transpose(1, 2) for name in self.kept}
        if self.features is not None:
            rows["k_features"] = self.features(rows["k"], parameters["feature_coefficients"])
        found = {f"{name}_past": x.to(tokens[name.rstrip("_")].dtype) for name, x in rows.items()}
        weights = walk_weights(gamma, state["window_length"], cu_seqlens).flip(-1)
        return {**found, "gamma_own": weights, "gamma_past": weights}

    def walk_rows(
        self, tokens: Mapping[str, Tensor], parameters: Mapping[str, Tensor], state: Mapping[str, Tensor], cu_seqlens: Tensor | None
    ) -> dict[str, Tensor]:
        """The arguments of a walk that come of windows: rows behind those before a sequence, and weights."""
        rows = self.past_lines(tokens, state, cu_seqlens)
        if self.features is not None:
            rows["k_rows_features"] = self.features(rows["k_rows"], parameters["feature_coefficients"])
        return rows | {"gamma_rows": walk_weights(tokens["gamma"], state["window_length"], cu_seqlens)}

    def tokens_by_row(self, tokens: Mapping[str, Tensor], walked: Mapping[str, Tensor], cu_seqlens: Tensor | None) -> dict[str, Tensor]:
        """Tokens [B, T, H, ...] by the rows of the windows of all of them [B, T · W, H, ...]; `walked` are their `walk_rows`."""
        kept = {name.rstrip("_"): f"{name}_rows" for name in self.kept}
        kept |= {} if self.features is None else {"k_features": "k_rows_features"}
        rows = {name: windows_of(walked[line], tokens["gamma"], tokens[name].dtype, cu_seqlens) for name, line in kept.items()}
        rows["gamma"] = walked["gamma_rows"].transpose(2, 3).flatten(1, 2)
        return {name: rows[name] if name in rows else by_rows(name, x, self.size, 1) for name, x in tokens.items()}

    def walk_final(
        self, tokens: Mapping[str, Tensor], walked: Mapping[str, Tensor], state: Mapping[str, Tensor], cu_seqlens: Tensor | None
    ) -> dict[str, Tensor]:
        """The entries of the state that hold the window behind a walk, whose `walk_rows` are `walked`."""
        before, number = self.size - 1, tokens["gamma"].shape[1]
        kept = {name: name.rstrip("_") for name in self.kept}
        entries = {f"window_{each}": last_rows(walked[f"{name}_rows"], before, number, cu_seqlens) for name, each in kept.items()}
        length = number if cu_seqlens is None else cu_seqlens.diff()
        return entries | {"window_length": (state["window_length"] + length).clamp(max=before)}


def in_windows(x: Tensor, window: int) -> Tensor:
    """[N, H, C + L, ...] to [N, H, C · W, ...]: the rows of the window of every token of a tile, oldest first."""
    tokens = x.shape[2] - window + 1
    return torch.stack([x[:, :, row : row + tokens] for row in range(window)], 3).flatten(2, 3)


def row_weights(gamma: Tensor, present: Tensor, window: int) -> Tensor:
    """[N, H, C · W]: the weights of these rows, 0 for those that are not there; gamma is [N, H, C, W], present [N, C + L]."""
    return torch.where(present.unfold(1, window, 1)[:, None], gamma.flip(-1), 0.0).flatten(2, 3)


def owners(gamma: Tensor, window: int) -> Tensor:
    """[C, C · W]: 1 where the row is one of the token's window, else 0."""
    return torch.eye(gamma.shape[2], dtype=gamma.dtype, device=gamma.device).repeat_interleave(window, 1)


def earlier_rows(gamma: Tensor, window: int) -> Tensor:
    """[N, H, C · W, C · W]: 1 where the column is a row of an earlier token than the row, else 0."""
    token = torch.arange(gamma.shape[2], device=gamma.device).repeat_interleave(window)
    return (token[:, None] > token).to(gamma.dtype).expand(*gamma.shape[:2], -1, -1)


def weight_matrix(gamma: Tensor, present: Tensor, window: int) -> Tensor:
    """[N, H, C, C + L]: the weight of every row in the surprise of every token of a tile; gamma is [N, H, C, W], present [N, C + L]."""
    tokens = gamma.shape[2]
    back = torch.arange(tokens, device=gamma.device)[:, None] + window - 1 - torch.arange(tokens + window - 1, device=gamma.device)
    weights = gamma.gather(-1, back.clamp(0, window - 1).expand(*gamma.shape[:2], *back.shape))
    return torch.where((back >= 0) & (back < window) & present[:, None, None], weights, 0.0)
