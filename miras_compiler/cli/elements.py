"""The elements of a spec, family by family, as the unions of the schema name them."""

from __future__ import annotations

from typing import Any, get_args

from miras_compiler.elements.base import Element
from miras_compiler.elements.bias import AnyBias
from miras_compiler.elements.feature_map import AnyFeatureMap
from miras_compiler.elements.memory import AnyMemory
from miras_compiler.elements.optimizer import AnyOptimizer
from miras_compiler.elements.retention import AnyRetention

UNIONS: dict[str, Any] = {  # key of a spec -> annotated union of its kinds
    "memory": AnyMemory,
    "feature_map": AnyFeatureMap,
    "attentional_bias": AnyBias,
    "retention": AnyRetention,
    "optimizer": AnyOptimizer,
}
FAMILIES: dict[str, tuple[type[Element], ...]] = {key: get_args(get_args(union)[0]) for key, union in UNIONS.items()}


def kind(element: type[Element]) -> str:
    """What a spec calls the element."""
    return str(element.model_fields["kind"].default)
