"""The names that the package of a spec exports: operators, layer, and the classes of its model."""

from __future__ import annotations

from typing import Protocol

from miras_compiler.spec.model import Model


class Exported(Protocol):
    """The name of a spec, and its model."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> Model: ...


OPERATORS = ("chunk", "fused_recurrent", "naive_recurrent")


def operator_names(spec: Exported) -> list[str]:
    """chunk_yaad, fused_recurrent_yaad, naive_recurrent_yaad."""
    return [f"{operator}_{spec.name}" for operator in OPERATORS]


def class_stem(spec: Exported) -> str:
    """TitansLmm for titans_lmm: the begin of the names of its classes."""
    return "".join(part[:1].upper() + part[1:] for part in spec.name.split("_"))


def layer_class(spec: Exported) -> str:
    """TitansLmmLayer for titans_lmm."""
    return f"{class_stem(spec)}Layer"


def task_name(spec: Exported) -> str:
    """The end of the name of the class whose model does something: of tokens, or of values."""
    return "ForCausalLM" if spec.model.input is None else "ForForecasting"


def model_exports(spec: Exported) -> dict[str, str]:
    """The classes of the model, and the modules in which they are."""
    stem, modeling = class_stem(spec), f"modeling_{spec.name}"
    return {f"{stem}Config": f"configuration_{spec.name}", f"{stem}{task_name(spec)}": modeling, f"{stem}Model": modeling}
