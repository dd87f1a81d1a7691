"""The layer around the operator, as a spec says it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from miras_compiler.elements.base import Settings, refused
from miras_compiler.spec.names import Count
from miras_compiler.spec.ties import RowName, Tie, without_defaults


class Layer(Settings):
    """The layer around the operator: widths, short convolution on q, k, v, norms and gates; `tie` makes rows of others."""

    key = "layer"

    heads: Annotated[Count, Field(description="H, the number of heads.")] = 16
    head_dim: Annotated[Count, Field(description="K, the width of a key and a query.")] = 64
    value_dim: Count = Field(
        default_factory=lambda data: data.get("head_dim", 64), description="V, the width of a value; as wide as a key if it is not given."
    )
    value_heads: Count = Field(
        default_factory=lambda data: data.get("heads", 16),
        description="The heads of values, of gates and of the memory: a multiple of heads, which shares a query and a key among as many;"
        " as many as heads if it is not given.",
    )
    conv: Annotated[
        int, Field(ge=0, le=64, description="The width of the short convolution over tokens of queries, keys and values; 0 for none.")
    ] = 4
    qk_norm: Annotated[Literal["l2", "none"], Field(description="l2 brings queries and keys to length 1.")] = "l2"
    activation: Annotated[Literal["silu", "none"], Field(description="The function behind the convolution.")] = "silu"
    output_norm: Annotated[Literal["rms", "layer", "none"], Field(description="The norm of what the memory reads, in every head.")] = "rms"
    output_gate: Annotated[bool, Field(description="Whether what is read is multiplied by silu of a projection of the input.")] = True
    skip: Annotated[bool, Field(description="Whether D v is added to what is read, with a learned number D per head that starts at 1.")] = (
        False
    )
    tie: dict[RowName, Tie] = Field(default_factory=dict, description="Rows that are made of other rows instead of a projection, by name.")

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        """Every head of keys serves as many heads of values."""
        if self.value_heads % self.heads:
            least = max(1, round(self.value_heads / self.heads)) * self.heads
            what = f"layer.value_heads: {self.value_heads} is not a multiple of layer.heads: {self.heads}"
            raise refused(what, "every head of keys serves as many heads of values", f"for example `value_heads: {least}`")
        return self

    def tie_of(self, row: str) -> Tie | None:
        """The tie of a row, if it has one."""
        return next((tie for name, tie in self.tie.items() if name == row), None)

    @property
    def groups(self) -> int:
        """The heads of values that share a query and a key."""
        return self.value_heads // self.heads

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A layer without these is written, and has the digest, as before there were any."""
        tree = without_defaults(serialize(self), "skip")
        return {key: value for key, value in tree.items() if key != "value_heads" or self.groups > 1}
