"""A chunk of tokens, as a spec says it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from miras_compiler.elements.base import Settings, refused
from miras_compiler.spec.names import Count
from miras_compiler.spec.ties import without_defaults


class Chunk(Settings):
    """A chunk (it changes the function): the state at which gradients are taken, the state that a token reads, the place of ψ."""

    key = "chunk"

    size: Annotated[Count, Field(description="C, the tokens of a chunk. Where gradient is exact it is a way to compute only.")] = 64
    gradient: Annotated[
        Literal["exact", "chunk_start"],
        Field(description="Where a surprise is measured: at the state that its token finds, or (chunk_start) that enters the chunk."),
    ] = "exact"
    read: Annotated[
        Literal["after_write", "before_write", "chunk_start"],
        Field(description="What a query reads: the state behind its token, the state before it, or the state that enters the chunk."),
    ] = "after_write"
    retention: Annotated[
        Literal["per_token", "chunk_end"],
        Field(description="Where the mirror map ψ is applied: at every token, or at the end of a chunk, with linear reads inside it."),
    ] = "per_token"
    reset: Annotated[
        Count | None,
        Field(
            description="The number of tokens after which the state is the initial one again, counted from the start of each sequence;"
            " a multiple of size. null: never."
        ),
    ] = None

    @model_validator(mode="after")
    def _reset_on_border(self) -> Self:
        """A memory begins anew where a chunk begins."""
        if self.reset is not None and self.reset % self.size:
            what = f"chunk.reset: {self.reset} is not a multiple of chunk.size: {self.size}"
            multiple = self.size * max(1, round(self.reset / self.size))
            raise refused(
                what, "a chunk would begin in one memory and end in the next", f"for example `reset: {multiple}`, or another size"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_null(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A chunk without a reset is written, and has the digest, as before there was one."""
        return without_defaults(serialize(self), "reset")
