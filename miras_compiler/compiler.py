"""The compiler: a spec becomes a package.

    Spec -> UpdateRule -> DependencyGraph -> ParallelForm -> Program, and its adjoint -> SourceFile, …

Every stage maps a frozen value to the next; nothing ambient enters, and none of them imports torch.
"""

from __future__ import annotations

from miras_compiler.analysis import annotate, build_dependency_graph, classify_parallel_form, estimate_cost
from miras_compiler.compilation import Compilation
from miras_compiler.derive import derive_update_rule
from miras_compiler.ir.differentiate import differentiate
from miras_compiler.ir.verify import verify_program
from miras_compiler.lower import build_program
from miras_compiler.passes import run_passes
from miras_compiler.spec import Spec, check_spec
from miras_compiler.spec.wanted import check_is_spec
from miras_compiler.suggestion import with_suggestion

__all__ = ["Compilation", "compile_spec"]


def compile_spec(spec: Spec) -> Compilation:
    """Everything that follows from a spec; raises SpecError where it is wrong."""
    check_is_spec(spec, "compile_spec")
    check_spec(spec)
    rule = derive_update_rule(spec)  #                   Spec -> UpdateRule: its meaning
    graph = build_dependency_graph(rule)  #        UpdateRule -> values across time
    form = with_suggestion(spec, graph, classify_parallel_form(rule, graph))  # -> the form that can run in parallel, and why
    program = run_passes(build_program(rule, form))  #        -> one tile of tokens
    adjoint = verify_program(differentiate(program))  #       -> its reverse mode, on the same nodes
    cost = estimate_cost(rule, form.kind, program, adjoint, rule.step.chunk_end)
    return Compilation(spec, rule, annotate(graph, form), form, program, adjoint, cost, compile_spec)
