"""`emit`: all files of a package."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence

import networkx as nx

from miras_compiler.analysis import CostLine, ParallelForm, annotate
from miras_compiler.derive import UpdateRule
from miras_compiler.derive.rule import Rule
from miras_compiler.emit.contract import emit_contract
from miras_compiler.emit.derivation import emit_derivation
from miras_compiler.emit.graph import can_draw, emit_dot, emit_json, emit_svg
from miras_compiler.emit.interface import Interface, build_interface
from miras_compiler.emit.layer import emit_layer, layer_class
from miras_compiler.emit.model import emit_configuration, emit_modeling, model_exports, with_files
from miras_compiler.emit.ops import emit_ops
from miras_compiler.emit.python_text import bracketed, file_name, header, import_line
from miras_compiler.emit.runtime_files import runtime_files
from miras_compiler.emit.source_file import SourceFile
from miras_compiler.emit.template import fill
from miras_compiler.emit.torch.chunked import emit_chunked
from miras_compiler.emit.torch.recurrent import emit_recurrent
from miras_compiler.emit.triton import emit_kernels, emit_walk
from miras_compiler.gpus.launch_table import forms_of
from miras_compiler.ir.nodes import Program
from miras_compiler.schedule import Schedule, why_not
from miras_compiler.schedule.walk import Walk
from miras_compiler.spec import digest, normalized_yaml
from miras_compiler.version import __version__

READABLE = ("recurrent.py", "chunked.py", "layer.py", "derivation.md")


def emit(
    rule: UpdateRule,
    graph: nx.MultiDiGraph[str],
    form: ParallelForm,
    program: Program,
    schedules: Mapping[str, Schedule],
    walk: Walk,
    cost: Sequence[CostLine],
) -> tuple[SourceFile, ...]:
    """The files of the package of one spec, in the order of their names; without graph.svg where nothing can draw it."""
    spec = rule.spec
    interface = build_interface(rule)
    form = form.named(file_name(spec), spec.location)
    graph = annotate(graph, form)
    texts = emit_readable(rule, form, program) | {
        "__init__.py": emit_init(rule),
        "contract.py": emit_contract(rule, interface),
        "ops.py": emit_ops(rule, interface, bool(schedules)),
        "graph.dot": emit_dot(graph),
        "graph.json": emit_json(graph),
        "manifest.json": emit_manifest(rule, interface, form, cost, why_not(rule, program)),
        "spec.yaml": normalized_yaml(spec),
    }
    if can_draw():
        texts["graph.svg"] = emit_svg(graph)
    if schedules:
        texts["kernels.py"] = emit_kernels(rule, schedules, interface)
    texts["decode.py" if schedules else "kernels.py"] = emit_walk(rule, walk, interface, None if schedules else why_not(rule, program))
    texts[f"modeling_{spec.name}.py"] = emit_modeling(spec)
    texts |= runtime_files({path: text for path, text in texts.items() if path.endswith(".py")})
    texts[f"configuration_{spec.name}.py"] = emit_configuration(rule, interface, texts)
    for name in (f"configuration_{spec.name}.py", f"modeling_{spec.name}.py"):
        texts[name] = with_files(name, texts)
    return tuple(SourceFile(path, texts[path]) for path in sorted(texts))


def emit_readable(rule: UpdateRule, form: ParallelForm, program: Program) -> dict[str, str]:
    """The files to read first, by name: the rule in PyTorch, the layer, the derivation. They need no kernels, and take no time."""
    interface = build_interface(rule)
    form = form.named(file_name(rule.spec), rule.spec.location)
    texts = (
        emit_recurrent(rule, interface),
        emit_chunked(rule, form, program, interface),
        emit_layer(rule, interface),
        emit_derivation(rule, form, program),
    )
    return dict(zip(READABLE, texts, strict=True))


def emit_init(rule: Rule) -> str:
    spec = rule.spec
    operators = [f"{form}_{spec.name}" for form in ("chunk", "fused_recurrent", "naive_recurrent")]
    models = model_exports(spec)
    modules = sorted(set(models.values()))
    imported = [import_line(f".{module}", [name for name in models if models[name] == module]) for module in modules]
    exports = sorted((layer_class(spec), *models)) + operators
    return fill("init.py", {
        "header": header(spec),
        "summary": summary(rule),
        "layer": layer_class(spec),
        "import_operators": import_line(".ops", operators),
        "import_models": textwrap.indent("\n".join(imported), "    "),
        "models": bracketed("{", [f'"{name}": "{module}"' for name, module in models.items()], "}", 10),
        "exports": bracketed("__all__ = [", [f'"{name}"' for name in exports], "]", 0),
    })  # fmt: skip


def summary(rule: Rule) -> str:
    """One line: what the package computes."""
    kinds = rule.kinds
    parts = (f"{kinds['memory']} memory", f"{kinds['attentional_bias']} bias", f"{kinds['retention']} retention", kinds["optimizer"])
    return f"{rule.spec.name}: {', '.join(parts)}."


def emit_manifest(rule: Rule, interface: Interface, form: ParallelForm, cost: Sequence[CostLine], no_kernels: str) -> str:
    spec = rule.spec
    content = {
        "name": spec.name,
        "digest": digest(spec),
        "compiler_version": __version__,
        "paper": spec.paper,
        "dims": {"H": spec.layer.heads, "K": spec.key_dim, "V": spec.value_dim, **({"N": spec.hidden_dim} if spec.hidden_dim else {})},
        "inputs": [{"name": a.name, "axes": list(a.axes), "role": a.role, "domain": a.domain} for a in interface.inputs],
        "state": [{"name": entry.name, "axes": list(entry.axes)} for entry in interface.state],
        "parallel_form": {"kind": form.kind, "reason": form.reason, "exact": form.exact},
        "chunk": spec.chunk.model_dump(mode="json"),
        "cost": [{"what": line.what, "value": line.value, "unit": line.unit} for line in cost],
        "ops": {
            "naive_recurrent": f"naive_recurrent_{spec.name}",
            "chunk": f"chunk_{spec.name}",
            "fused_recurrent": f"fused_recurrent_{spec.name}",
        },
        "kernels": {"triton": True, "schedule": "walk" if no_kernels else "chunk", "reason": no_kernels, "form": forms_of(spec)[0]},
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
