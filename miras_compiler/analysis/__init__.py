"""Facts about a rule, with reasons: its dependencies across time, and the parallel form that they allow."""

from __future__ import annotations

from miras_compiler.analysis.cost import CostLine, estimate_cost
from miras_compiler.analysis.dependency_graph import DependencyGraph, build_dependency_graph
from miras_compiler.analysis.parallel_form import ParallelForm, annotate, classify_parallel_form
from miras_compiler.analysis.separable import separable_axes

__all__ = [
    "CostLine", "DependencyGraph", "ParallelForm", "annotate", "build_dependency_graph", "classify_parallel_form", "estimate_cost",
    "separable_axes",
]  # fmt: skip
