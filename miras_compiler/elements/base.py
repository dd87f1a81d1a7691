"""What every element shares: a kind, its formula and citation, and the gates that it reads.

An element is a frozen pydantic model: its fields are the keys of the spec, its methods are the mathematics as sympy expressions over
the letters of `symbols`. Facts about a kind are class variables.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, ClassVar

import sympy as sp
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Positive = Annotated[float, Field(gt=0, le=1e12)]
NonNegative = Annotated[float, Field(ge=0, le=1e12)]


def _require_kind(schema: dict[str, Any]) -> None:
    """A kind has a default in Python, where the class says it; in a file it must be written."""
    if "kind" in schema.get("properties", {}):
        schema["required"] = ["kind", *(key for key in schema.get("required", []) if key != "kind")]


class Settings(BaseModel):
    """A part of a spec: frozen, strict about types, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, json_schema_extra=_require_kind, defer_build=True
    )


class Element(Settings):
    """One choice of the design space: a memory, an attentional bias, a retention, an optimizer or a feature map."""

    kind: str
    formula: ClassVar[str]  # one line of Unicode, as `miras list` prints it
    citation: ClassVar[str]  # paper and equation
    later: ClassVar[str] = ""  # what this version lacks for the kind; such a kind is in the schema but refused

    def gates(self) -> tuple[str, ...]:
        """Names of the gates that this element reads."""
        return ()


def refused(what: str, why: str = "", remedy: str = "") -> PydanticCustomError:
    """A validator's refusal, in the parts of an `errors.Problem`."""
    message = "; ".join(part for part in (what, why, remedy) if part)
    return PydanticCustomError("refused", "{message}", {"message": message, "what": what, "why": why, "remedy": remedy})


def exact(number: float) -> sp.Rational:
    """The simplest fraction that reads back as this number: 0.02 is 1/50 and 1.3333333333333333 is 4/3."""
    simple = Fraction(number).limit_denominator(10**6)
    return sp.Rational(simple if float(simple) == number else Fraction(str(number)))
