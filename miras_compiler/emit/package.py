"""`emit`: all files of a package, from every backend."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx

from miras_compiler.analysis import CostLine, ParallelForm, annotate
from miras_compiler.derive import UpdateRule
from miras_compiler.emit.backend import Backend, Derived, Scheduled
from miras_compiler.emit.documents import emit_derivation_file, emit_facts
from miras_compiler.emit.graph import emit_graph
from miras_compiler.emit.interface import build_interface
from miras_compiler.emit.layer import emit_layer_file
from miras_compiler.emit.model import emit_configured, emit_model
from miras_compiler.emit.operators import emit_operators
from miras_compiler.emit.printing.python_text import file_name
from miras_compiler.emit.runtime_files import runtime_files
from miras_compiler.emit.source_file import SourceFile
from miras_compiler.emit.torch import emit_torch
from miras_compiler.emit.triton import emit_triton
from miras_compiler.ir.program import Program
from miras_compiler.schedule import Prepared, Schedule, why_walked
from miras_compiler.schedule.walk import Walk

READABLE = ("recurrent.py", "chunked.py", "layer.py", "derivation.md")
OF_RULE: tuple[Backend[Derived], ...] = (emit_torch, emit_layer_file, emit_derivation_file)
BACKENDS: tuple[Backend[Scheduled], ...] = (*OF_RULE, emit_triton, emit_operators, emit_model, emit_facts, emit_graph)


def emit(
    rule: UpdateRule,
    graph: nx.MultiDiGraph[str],
    form: ParallelForm,
    prepared: Prepared,
    schedule: Schedule | None,
    starts: Schedule | None,
    walk: Walk,
    cost: Sequence[CostLine],
) -> tuple[SourceFile, ...]:
    """The files of the package of one spec, in the order of their names; without graph.svg where nothing can draw it."""
    form = placed(rule, form)
    interface = build_interface(rule)
    derived = rule, interface, form, prepared.given
    given = Scheduled(*derived, annotate(graph, form), schedule, starts, walk, cost, why_walked(form, prepared))
    texts = {path: text for backend in BACKENDS for path, text in backend(given).items()}
    texts |= runtime_files({path: text for path, text in texts.items() if path.endswith(".py")})
    texts |= emit_configured(given, texts)
    return tuple(SourceFile(path, texts[path]) for path in sorted(texts))


def emit_readable(rule: UpdateRule, form: ParallelForm, program: Program) -> dict[str, str]:
    """The files to read first, by name, as READABLE has them: the rule in PyTorch, the layer, the derivation. They need no kernels."""
    given = Derived(rule, build_interface(rule), placed(rule, form), program)
    return {path: text for backend in OF_RULE for path, text in backend(given).items()}


def placed(rule: UpdateRule, form: ParallelForm) -> ParallelForm:
    """The form with the spec's file by its name alone: a package does not depend on where its spec lies."""
    return form.named(file_name(rule.frame), rule.frame.location)
