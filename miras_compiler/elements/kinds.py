"""Every kind of every element, under the key of a spec that chooses it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from miras_compiler.elements.base import Element
from miras_compiler.elements.bias import AnyBias
from miras_compiler.elements.feature_map import AnyFeatureMap
from miras_compiler.elements.memory import AnyMemory
from miras_compiler.elements.optimizer import AnyOptimizer
from miras_compiler.elements.retention import AnyRetention


def _kinds(union: Any) -> dict[str, type[Element]]:
    members: Iterable[type[Element]] = get_args(get_args(union)[0])
    return {member.model_fields["kind"].default: member for member in members}


KINDS: dict[str, dict[str, type[Element]]] = {
    "memory": _kinds(AnyMemory),
    "feature_map": _kinds(AnyFeatureMap),
    "attentional_bias": _kinds(AnyBias),
    "retention": _kinds(AnyRetention),
    "optimizer": _kinds(AnyOptimizer),
}
