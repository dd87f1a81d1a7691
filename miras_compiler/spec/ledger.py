"""The ledger of a spec: where it follows its paper, and where it does not."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from miras_compiler.elements.base import Settings
from miras_compiler.spec.names import Line


class LedgerEntry(Settings):
    """An equation of a paper, and its status here."""

    key = "ledger"

    equation: Annotated[Line, Field(description="The number of an equation, or what the entry is about.")]
    status: Annotated[
        Literal["faithful", "deviation", "novel"], Field(description="Whether it is as the paper has it, differs, or stands in no paper.")
    ]
    note: Annotated[Line, Field(description="How, and why.")] = ""
