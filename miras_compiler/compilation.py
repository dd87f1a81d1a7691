"""`Compilation`: every value on the way from a spec to its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import networkx as nx

from miras_compiler.analysis import CostLine, ParallelForm
from miras_compiler.derive import UpdateRule
from miras_compiler.ir.program import Program
from miras_compiler.schedule import KernelFacts, Prepared, Schedule, Walk, build_schedule, build_starts, build_walk, prepare_program
from miras_compiler.spec import Spec
from miras_compiler.spec.stability import Sensitivity, sensitivity_of, stability_lines

if TYPE_CHECKING:
    from miras_compiler.emit import SourceFile


@dataclass(frozen=True, repr=False)
class Compilation:
    """Every value on the way from a spec to its files; kernels and files are made when they are first asked for.

    Stages that a spec without files does not need are imported inside the methods.
    """

    spec: Spec
    update_rule: UpdateRule
    graph: nx.MultiDiGraph[str]
    parallel_form: ParallelForm
    program: Program
    adjoint: Program
    cost: tuple[CostLine, ...]
    compile: Callable[[Spec], Compilation] = field(repr=False, compare=False)  # another spec, to compare with

    @cached_property
    def prepared(self) -> Prepared:
        """The program as kernels over tiles compute it, and why there are none."""
        return prepare_program(self.update_rule, self.program)

    @cached_property
    def schedule(self) -> Schedule | None:
        """The kernels that run the program on a GPU, tile by tile; None where there are none but those that walk over tokens."""
        return build_schedule(self.update_rule, self.prepared, self.adjoint)

    @cached_property
    def starts(self) -> Schedule | None:
        """The kernels for the state at the start of every chunk, from where chunks walk at once; None where there are none."""
        return build_starts(self.update_rule, self.prepared)

    @cached_property
    def walk(self) -> Walk:
        """The kernels that every rule has, token by token."""
        return build_walk(self.update_rule)

    @cached_property
    def files(self) -> tuple[SourceFile, ...]:
        """The files of the package."""
        from miras_compiler.emit import emit

        return emit(self.update_rule, self.graph, self.parallel_form, self.prepared, self.schedule, self.starts, self.walk, self.cost)

    def write(self, folder: str | Path = "generated") -> Path:
        """Writes the package as `folder`/<name>, whole or not at all, and returns that path. InputError if it cannot be written."""
        from miras_compiler.store import write_package

        return write_package(Path(folder), self.spec.name, self.files)

    def load(self) -> ModuleType:
        """The package as a module: its operators (chunk_<name> and its siblings) and its layer (<Name>Layer)."""
        from miras_compiler.loaded import load_package

        return load_package(self.spec.name, self.files)

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """The dependence of a late output on an early token, at the initial gates of the layer."""

        def measure() -> Sensitivity:
            from miras_compiler.analysis.sensitivity import measure_sensitivity  # with numpy, which a shipped rule does without

            return measure_sensitivity(self.update_rule)

        return sensitivity_of(self.spec, measure)

    def stability(self) -> list[str]:
        """Sentences on the stability at these gates."""
        return stability_lines(self.spec, self.sensitivity)

    def explain(self, *, kernels: bool = False) -> str:
        """The rule, the coefficients, the parallel form with its reason, and the stability, as plain text.

        With `kernels` each kernel: its loads, its stores, the tiles that it computes again, its registers and memory.
        """
        from miras_compiler.explanation import explain_rule

        text = self.explain_kernels() if kernels else self.kernels_in_short()
        return explain_rule(self.update_rule, self.parallel_form, self.stability(), "\n  ".join([text, *self.tiles_instead()]))

    def explain_kernels(self) -> str:
        """The kernels, with their registers and memory; without kernels over tiles of tokens, the reason."""
        from miras_compiler.explanation import explain_kernels

        return explain_kernels(self.update_rule, self.parallel_form, self.prepared, self.schedule, self.starts, self.walk)

    def kernels_in_short(self) -> str:
        """The kernels in a line."""
        from miras_compiler.explanation import kernels_in_short

        schedule = self.schedule if self.prepared.holds_features else None
        return kernels_in_short(self.update_rule, self.parallel_form, self.prepared, self.walk, schedule)

    def tiles_instead(self) -> list[str]:
        """Of a rule that runs token by token, a sentence on its cost beside that of tiles, which another function would have."""
        from miras_compiler.explanation import tiles_instead
        from miras_compiler.spec.siblings import changed

        change = self.parallel_form.change
        spec = changed(self.spec, *change) if change else None
        return [] if spec is None else [tiles_instead(self.parallel_form, self.cost, self.compile(spec).cost)]

    def kernel_facts(self) -> list[KernelFacts]:
        """Facts about each kernel of the schedule at the spec's own dimensions."""
        from miras_compiler.explanation import facts_of_kernels

        return facts_of_kernels(self.update_rule, self.schedule)

    def __repr__(self) -> str:
        return f"Compilation({self.spec.name}: {self.parallel_form.kind.replace('_', ' ')}, {len(self.program.outputs)} outputs of a tile)"

    def _repr_html_(self) -> str:
        """A notebook's view: the rule, the form with its reason, and the dependency graph."""
        from miras_compiler.explanation import notebook_page

        return notebook_page(self.update_rule, self.parallel_form, self._repr_svg_())

    def _repr_latex_(self) -> str:
        return self.update_rule._repr_latex_()

    def _repr_svg_(self) -> str:
        """The dependency graph as an element of a page."""
        from miras_compiler.emit.graph import emit_svg

        picture = emit_svg(self.graph)
        return picture[picture.index("<svg") :]
