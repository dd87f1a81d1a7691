"""Rows of a layer that are made of others: keys that a paper ties to one another, or to a gate."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from miras_compiler.elements.base import Settings

RowName = Literal["q", "k", "v", "erase_key", "erase_write_key"]
ROWS: tuple[RowName, ...] = get_args(RowName)
RETAINED = "1 - alpha"


class TieGate(Settings):
    """A sigmoid of its own by which a tied row is multiplied: a number per head, or per channel of the row; `init` is where it starts."""

    key = "layer.tie.gate"

    per: Annotated[Literal["head", "channel"], Field(description="One number per head, or per channel of the row.")] = "channel"
    source: Annotated[
        Literal["input", "learned", "constant"],
        Field(description="Where the layer takes it from: a projection of its input, a learned number, or a constant."),
    ] = "input"
    low_rank: Annotated[
        Annotated[int, Field(ge=1, le=2**20)] | None, Field(description="The rank of the projection of the input; null for a full one.")
    ] = 32
    init: Annotated[float, Field(gt=0, lt=1, description="The value before training.")] = 0.5


class Tie(Settings):
    """The source of a row that has no projection of its own: another row as the operator gets it, or 1 − alpha, times a gate.

    A row of itself is projected, and then multiplied by the gate.
    """

    key = "layer.tie"

    of: Annotated[
        Literal["q", "k", "v", "erase_key", "erase_write_key", "1 - alpha"],
        Field(description="The row that this one is made of, as the operator gets it."),
    ]
    gate: Annotated[TieGate | None, Field(description="A sigmoid by which the row is multiplied; null for none.")] = None
