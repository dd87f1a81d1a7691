"""The base of all elements: a kind, its formula and citation, and the gates that it reads.

An element is a frozen pydantic model: its fields are the keys of the spec, its methods are the mathematics as sympy expressions over
the letters of `symbols`. Facts about a kind are class variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import sympy as sp
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from miras_compiler.errors import SpecError

Positive = Annotated[float, Field(gt=0, le=1e12)]
NonNegative = Annotated[float, Field(ge=0, le=1e12)]


def _require_kind(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """A kind has a default in Python, where the class says it; in a file it must be written."""
    if "kind" in schema.get("properties", {}) and issubclass(model, Element):
        schema["properties"]["kind"]["description"] = model.formula
        schema["required"] = ["kind", *(key for key in schema.get("required", []) if key != "kind")]


class Settings(BaseModel):
    """A part of a spec: frozen, strict about types, no unknown keys, no NaN or infinity.

    Built in Python it raises SpecError at once, under the dotted key at which a spec has such a part (`key`).
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, json_schema_extra=_require_kind, defer_build=True
    )
    key: ClassVar[str] = ""

    if not TYPE_CHECKING:  # type checkers see a parameter for every field

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise self.refusal(error, fields) from None

        __init__.__pydantic_base_init__ = True  # pydantic need not call this for the parts of a tree, whose faults belong to the tree

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """As pydantic's; raises SpecError."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise cls.refusal(error, obj) from None

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields set, which are validated like those of a new one; raises SpecError."""
        if not update:
            return super().model_copy(deep=deep)
        aliases = {name: field.alias or name for name, field in type(self).model_fields.items()}
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**{aliases.get(name, name): value for name, value in {**kept, **self._by_name(update)}.items()})

    @classmethod
    def _by_name(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        names = {field.alias: name for name, field in cls.model_fields.items() if field.alias}
        return {names.get(key, key): value for key, value in fields.items()}

    @classmethod
    def refusal(cls, error: ValidationError, tree: Any) -> SpecError:
        """pydantic's verdict on a tree of this model, in our words."""
        from miras_compiler.elements.complaints import complaints

        return SpecError(fault.problem for fault in complaints(error, tree, cls))

    @classmethod
    def unchecked(cls, tree: Any) -> Self:
        """The model of a tree whose types are right; raises pydantic's ValidationError."""
        return super().model_validate(tree)


class Element(Settings):
    """One choice of the design space: a memory, an attentional bias, a retention, an optimizer or a feature map."""

    kind: str
    formula: ClassVar[str]  # one line of Unicode, as `miras list` prints it
    citation: ClassVar[str]  # paper and equation

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
