"""The requests that the page may send: JSON of these shapes, and nothing else."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=200_000)]
Name = Annotated[str, Field(max_length=200)]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Nothing(Request):
    """A question without anything given."""


class SpecRequest(Request):
    """A spec as it stands in the editor; messages call it by the name of the file."""

    text: Text
    file: Name


class Expanded(SpecRequest):
    """The graph of a spec, with every value of the memory or without."""

    expand: bool


class CodeRequest(SpecRequest):
    """A generated file of a spec."""

    path: Name


class Change(SpecRequest):
    """A key of a spec to be set to a value, or with `yaml` to the value of that text in YAML; with `remove` to be removed."""

    key: Name
    value: bool | int | float | str | dict[str, str] | None = None
    yaml: Annotated[str, Field(max_length=2000)] | None = None
    remove: bool = False


class Comparison(SpecRequest):
    """A spec to compare with: a shipped one, or a file of the folder."""

    other: Name
    shipped: bool = True


class OpenRequest(Request):
    """A spec to open: a shipped one, or a file of the folder."""

    name: Name
    shipped: bool


class Saved(Request):
    """A spec to save; `over` is the mark of the file that may be replaced."""

    file: Name
    text: Text
    over: Annotated[str, Field(max_length=64)] | None = None
