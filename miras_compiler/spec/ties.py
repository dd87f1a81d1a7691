"""Rows of a layer that are made of others: keys that a paper ties to one another, or to a gate."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, SerializerFunctionWrapHandler, Strict, model_serializer

from miras_compiler.elements.base import Settings

RowName = Literal["q", "k", "v", "erase_key", "erase_write_key"]
ROWS: tuple[RowName, ...] = get_args(RowName)
RETAINED, ZERO = "1 - alpha", "zero"


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
    root: Annotated[bool, Field(description="Whether the row is multiplied by the square root of the gate.")] = False

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_defaults(serialize(self), "root")


class TieTerm(Settings):
    """A source of a row, as the operator gets it, or 1 − alpha: of this token or of the one before it, times a gate."""

    key = "layer.tie.plus"

    of: Annotated[
        Literal["q", "k", "v", "erase_key", "erase_write_key", "1 - alpha", "zero"],
        Field(description="The row that this one is made of, as the operator gets it; zero: a write of several has zeros for it."),
    ]
    lag: Annotated[
        int, Field(ge=0, le=1, description="1: that of the token before, zeros at the first token of a sequence; 0: of the token itself.")
    ] = 0
    minus: Annotated[bool, Field(description="Whether it is subtracted.")] = False
    gate: Annotated[TieGate | None, Field(description="A sigmoid by which the row is multiplied; null for none.")] = None

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_defaults(serialize(self), "lag", "minus", "plus", "write")


class Tie(TieTerm):
    """The sources of a row that has no projection of its own: other rows as the operator gets them, or 1 − alpha, times gates.

    A row of itself is projected first; then it may lag and be multiplied by the gate.
    """

    key = "layer.tie"

    plus: Annotated[
        tuple[TieTerm, ...],
        Strict(False),
        Field(description="Terms that are added, each with a lag and a gate of its own."),
    ] = ()
    write: Annotated[
        Annotated[int, Field(ge=1, le=64)] | None,
        Field(description="With `of: zero`, the write of a token, from 1, that has zeros; the others are projected."),
    ] = None

    @property
    def terms(self) -> tuple[TieTerm, ...]:
        """The terms of the sum."""
        return (self, *self.plus)

    def projects(self, row: str) -> bool:
        """True if the row that is tied so has a projection of its own."""
        return any(term.of in (row, ZERO) for term in self.terms)


def gate_name(row: str, number: int) -> str:
    """The name of the gate of a term of a row: erase_key_gate, erase_key_gate_2, …"""
    return f"{row}_gate" if number == 1 else f"{row}_gate_{number}"


def without_defaults(tree: dict[str, Any], *keys: str) -> dict[str, Any]:
    """A part of a spec without those of the keys that say nothing: it is written, and has the digest, as before there were any."""
    return {key: value for key, value in tree.items() if key not in keys or value}
