"""The compiler: a spec becomes a package.

    Spec -> UpdateRule -> DependencyGraph -> ParallelForm -> Program, and its adjoint -> SourceFile, …

Every stage maps a frozen value to the next; nothing ambient enters, and none of them imports torch.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import networkx as nx

from miras_compiler.analysis import (
    CostLine,
    ParallelForm,
    annotate,
    build_dependency_graph,
    classify_parallel_form,
    estimate_cost,
    separable_axes,
    with_suggestion,
)
from miras_compiler.analysis.cost import axis_lengths
from miras_compiler.derive import UpdateRule, derive_update_rule
from miras_compiler.derive.statements import bias_statements, retention_statements, statement_lines
from miras_compiler.emit import SourceFile, emit
from miras_compiler.emit.triton.blocks import blocks_of
from miras_compiler.ir.differentiate import differentiate
from miras_compiler.ir.nodes import Program
from miras_compiler.lower import build_program
from miras_compiler.passes import run_passes
from miras_compiler.schedule import (
    KernelFacts,
    Schedule,
    build_schedules,
    describe_schedules,
    kernel_facts,
    tile_length,
    why_not,
)
from miras_compiler.spec import Spec, check_spec
from miras_compiler.store import write_package


def compile_spec(spec: Spec) -> Compilation:
    """Everything that follows from a spec; raises SpecError where it is wrong."""
    check_spec(spec)
    rule = derive_update_rule(spec)  #                   Spec -> UpdateRule: what it means
    graph = build_dependency_graph(rule)  #        UpdateRule -> values across time
    form = with_suggestion(rule, graph, classify_parallel_form(rule, graph))  # -> what can run in parallel, and why
    program = run_passes(build_program(rule, form))  #        -> one tile of tokens
    adjoint = run_passes(differentiate(program))  #           -> its reverse mode, on the same nodes
    cost = estimate_cost(spec, form.kind, program, adjoint, rule.step.chunk_end)
    schedules = build_schedules(spec, program)  #        -> the kernels that run it on a GPU
    files = emit(rule, graph, form, program, schedules, cost)
    return Compilation(spec, rule, annotate(graph, form), form, program, adjoint, schedules, cost, files)


@dataclass(frozen=True)
class Compilation:
    """Every value on the way from a spec to its files."""

    spec: Spec
    update_rule: UpdateRule
    graph: nx.MultiDiGraph[str]
    parallel_form: ParallelForm
    program: Program
    adjoint: Program
    schedules: Mapping[str, Schedule]
    cost: tuple[CostLine, ...]
    files: tuple[SourceFile, ...]

    def write(self, folder: str | Path = "generated") -> Path:
        """Writes the package as `folder`/<name>, whole or not at all, and returns that path. InputError if it cannot be written."""
        return write_package(Path(folder), self.spec.name, self.files)

    def load(self) -> ModuleType:
        """The package's operators, imported from a temporary folder; a module with chunk_<name> and its siblings."""
        folder = tempfile.mkdtemp(prefix="miras-")
        self.write(folder)
        sys.path.insert(0, folder)
        try:
            for module in [name for name in sys.modules if name.split(".")[0] == self.spec.name]:
                del sys.modules[module]
            return importlib.import_module(f"{self.spec.name}.ops")
        finally:
            sys.path.remove(folder)

    def kernel_facts(self) -> dict[str, list[KernelFacts]]:
        """What is to be said of every kernel at the spec's own dimensions, by the prefix of the schedule."""
        lengths = axis_lengths(self.spec, tile_length(self.spec))
        return {prefix: kernel_facts(schedule, lengths, blocks_of) for prefix, schedule in self.schedules.items()}

    def explain(self) -> str:
        """The rule, the coefficients, the parallel form with its reason, and the kernels, as plain text."""
        rule, form, spec = self.update_rule, self.parallel_form, self.spec
        separable = separable_axes(rule)
        split = f"separable: the axis {', '.join(separable).upper()} of the state can be split over programs" if separable else ""
        stated = {"attentional bias": bias_statements(rule), "retention": retention_statements(rule)}
        parts = [
            f"{spec.name}" + (f" — {spec.paper}" if spec.paper else ""),
            "\n\n".join("\n".join([title, *statement_lines(statements)]) for title, statements in stated.items()),
            rule.text(),
            "over a chunk\n" + "\n".join(f"  {line}" for line in rule.unrolled_text()),
            "\n  ".join([f"parallel form: {form.kind.replace('_', ' ')}", form.reason, *filter(None, (form.suggestion, split))]),
            describe_schedules(self.schedules, why_not(spec, self.program), self.kernel_facts(), tile_length(spec)),
        ]
        return "\n\n".join(parts)
