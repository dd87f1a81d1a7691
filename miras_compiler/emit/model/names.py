"""Names of a model in its files."""

from __future__ import annotations

from miras_compiler.emit.layer import layer_class
from miras_compiler.spec import Spec


def model_name(spec: Spec) -> str:
    """titans_lmm has TitansLmmConfig, TitansLmmModel, and TitansLmmForCausalLM or TitansLmmForForecasting."""
    return layer_class(spec).removesuffix("Layer")


def model_exports(spec: Spec) -> dict[str, str]:
    """The classes, and the modules in which they are."""
    name = model_name(spec)
    modeling = f"modeling_{spec.name}"
    return {f"{name}Config": f"configuration_{spec.name}", f"{name}{task_name(spec)}": modeling, f"{name}Model": modeling}


def task_name(spec: Spec) -> str:
    """The end of the name of the class whose model does something: of tokens, or of values."""
    return "ForCausalLM" if spec.model.input is None else "ForForecasting"
