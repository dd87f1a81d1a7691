"""The compiler: a spec becomes a package.

    Spec -> UpdateRule -> DependencyGraph -> ParallelForm -> Program, and its adjoint -> SourceFile, …

Every stage maps a frozen value to the next; nothing ambient enters, and none of them imports torch.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

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
from miras_compiler.analysis.sensitivity import measure_sensitivity
from miras_compiler.derive import UpdateRule, derive_update_rule
from miras_compiler.derive.statements import bias_statements, retention_statements, statement_lines
from miras_compiler.ir.differentiate import differentiate
from miras_compiler.ir.nodes import Program
from miras_compiler.ir.verify import verify_program
from miras_compiler.lower import build_program
from miras_compiler.passes import run_passes
from miras_compiler.schedule import (
    KernelFacts,
    Schedule,
    Walk,
    build_schedule,
    build_walk,
    describe_schedule,
    describe_walk,
    kernel_facts,
    tile_length,
    why_not,
    why_too_large,
)
from miras_compiler.spec import Spec, check_spec
from miras_compiler.spec.stability import Sensitivity, sensitivity_of, stability_lines
from miras_compiler.spec.wanted import check_is_spec

if TYPE_CHECKING:
    from miras_compiler.emit import SourceFile


def compile_spec(spec: Spec) -> Compilation:
    """Everything that follows from a spec; raises SpecError where it is wrong."""
    check_is_spec(spec, "compile_spec")
    check_spec(spec)
    rule = derive_update_rule(spec)  #                   Spec -> UpdateRule: what it means
    graph = build_dependency_graph(rule)  #        UpdateRule -> values across time
    form = with_suggestion(rule, graph, classify_parallel_form(rule, graph))  # -> what can run in parallel, and why
    program = run_passes(build_program(rule, form))  #        -> one tile of tokens
    adjoint = verify_program(differentiate(program))  #       -> its reverse mode, on the same nodes
    cost = estimate_cost(rule, form.kind, program, adjoint, rule.step.chunk_end)
    return Compilation(spec, rule, annotate(graph, form), form, program, adjoint, cost)


@dataclass(frozen=True, repr=False)
class Compilation:
    """Every value on the way from a spec to its files; kernels and files are made when they are first asked for."""

    spec: Spec
    update_rule: UpdateRule
    graph: nx.MultiDiGraph[str]
    parallel_form: ParallelForm
    program: Program
    adjoint: Program
    cost: tuple[CostLine, ...]

    @cached_property
    def schedule(self) -> Schedule | None:
        """The kernels that run the program on a GPU, tile by tile; None where there are none but those that walk over tokens."""
        return build_schedule(self.update_rule, self.program, self.adjoint)

    @cached_property
    def walk(self) -> Walk:
        """The kernels that every rule has, token by token."""
        return build_walk(self.update_rule)

    @cached_property
    def files(self) -> tuple[SourceFile, ...]:
        """The package. The stage is imported here: a spec that is explained has no files."""
        from miras_compiler.emit import emit

        return emit(self.update_rule, self.graph, self.parallel_form, self.program, self.schedule, self.walk, self.cost)

    def write(self, folder: str | Path = "generated") -> Path:
        """Writes the package as `folder`/<name>, whole or not at all, and returns that path. InputError if it cannot be written."""
        from miras_compiler.store import write_package

        return write_package(Path(folder), self.spec.name, self.files)

    def load(self) -> ModuleType:
        """The package as a module: its operators (chunk_<name> and its siblings) and its layer (<Name>Layer)."""
        from miras_compiler.loaded import load_package

        return load_package(self.spec.name, self.files)

    def __repr__(self) -> str:
        return f"Compilation({self.spec.name}: {self.parallel_form.kind.replace('_', ' ')}, {len(self.program.outputs)} outputs of a tile)"

    def _repr_html_(self) -> str:
        """What a notebook shows: the rule, the form with its reason, and the dependency graph."""
        spec, form = self.spec, self.parallel_form
        title = spec.name + (f" — {spec.paper}" if spec.paper else "")
        return (
            f"<h4>{html.escape(title)}</h4>\n<pre>{html.escape(self.update_rule.text())}</pre>\n"
            f"<p><b>{form.kind.replace('_', ' ')}</b>: {html.escape(form.reason)}</p>\n{self._repr_svg_()}"
        )

    def _repr_latex_(self) -> str:
        return self.update_rule._repr_latex_()

    def _repr_svg_(self) -> str:
        """The dependency graph as an element of a page."""
        from miras_compiler.emit.graph import emit_svg

        picture = emit_svg(self.graph)
        return picture[picture.index("<svg") :]

    def kernel_facts(self) -> list[KernelFacts]:
        """The facts about every kernel of the schedule at the spec's own dimensions."""
        from miras_compiler.emit.triton.blocks import blocks_of

        lengths = axis_lengths(self.spec, tile_length(self.update_rule))
        return kernel_facts(self.schedule, lengths, blocks_of) if self.schedule else []

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """How much a late output depends on an early token, at the gates as the layer starts them."""
        return sensitivity_of(self.spec, lambda: measure_sensitivity(self.update_rule))

    def stability(self) -> list[str]:
        """What is known of the stability at these gates, in sentences."""
        return stability_lines(self.spec, self.sensitivity)

    def explain(self, *, kernels: bool = False) -> str:
        """The rule, the coefficients, the parallel form with its reason, and the stability, as plain text.

        With `kernels` each kernel, what it loads, saves and computes again, and what it needs.
        """
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
            "\n  ".join(["stability, at the gates as the layer starts them", *self.stability()]),
        ]
        parts.append(self.explain_kernels() if kernels else self.kernels_in_short())
        return "\n\n".join(parts)

    def explain_kernels(self) -> str:
        """The kernels, with what they need; why there are none over tiles of tokens, where there are none."""
        if self.schedule:
            return describe_schedule(self.schedule, self.kernel_facts(), tile_length(self.update_rule))
        return describe_walk(self.walk, why_not(self.update_rule, self.program), axis_lengths(self.spec, tile_length(self.update_rule)))

    def kernels_in_short(self) -> str:
        """Which kernels there are, in a line."""
        reason = why_not(self.update_rule, self.program)
        if reason:
            told = why_too_large(self.walk.states, axis_lengths(self.spec, 1), self.walk.split)
            refused = f"; they are refused at these widths, and PyTorch runs: a state with {told}" if told else ""
            return f"Triton kernels, token by token, because {reason}{refused}"
        return f"Triton kernels, over tiles of {tile_length(self.update_rule)} tokens"
