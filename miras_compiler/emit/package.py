"""`emit`: all files of a package."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence

import networkx as nx

from miras_compiler.analysis import CostLine, ParallelForm, annotate
from miras_compiler.derive import UpdateRule
from miras_compiler.derive.leaves import steps_of, window_gates, window_of
from miras_compiler.elements.feature_map import PolynomialMap
from miras_compiler.elements.memory import VectorMemory
from miras_compiler.emit.derivation import emit_derivation
from miras_compiler.emit.graph import emit_dot, emit_json, emit_svg
from miras_compiler.emit.interface import Entry, Interface, build_interface
from miras_compiler.emit.layer import bracketed, emit_layer, import_line, layer_class
from miras_compiler.emit.python_text import axes_table, file_name, header, legend, mapping, names_table, pass_on, signature
from miras_compiler.emit.runtime_files import runtime_files
from miras_compiler.emit.source_file import SourceFile
from miras_compiler.emit.template import fill
from miras_compiler.emit.torch.chunked import emit_chunked
from miras_compiler.emit.torch.recurrent import emit_recurrent
from miras_compiler.emit.triton import can_decode, emit_decode, emit_kernels
from miras_compiler.gpus.launch_table import forms_of
from miras_compiler.ir.nodes import Program
from miras_compiler.ir.traverse import leaves_of
from miras_compiler.schedule import Schedule, why_not
from miras_compiler.spec import Spec, digest, normalized_yaml
from miras_compiler.version import __version__


def emit(
    rule: UpdateRule,
    graph: nx.MultiDiGraph[str],
    form: ParallelForm,
    program: Program,
    schedules: Mapping[str, Schedule],
    cost: Sequence[CostLine],
) -> tuple[SourceFile, ...]:
    """The files of the package of one spec, in the order of their names."""
    spec = rule.spec
    interface = build_interface(spec)
    form = form.named(file_name(spec), spec.location)
    graph = annotate(graph, form)
    chunked = spec.frozen_gradient
    decodes = bool(schedules) and can_decode(rule, interface)
    texts = {
        "__init__.py": emit_init(spec),
        "contract.py": emit_contract(spec, interface, any(leaf.name == "owner" for leaf in leaves_of(program))),
        "recurrent.py": emit_recurrent(rule, interface, chunked),
        "chunked.py": emit_chunked(rule, form, program, interface, chunked),
        "layer.py": emit_layer(spec, interface),
        "ops.py": emit_ops(spec, interface, bool(schedules), decodes),
        "derivation.md": emit_derivation(rule, form, program),
        "graph.dot": emit_dot(graph),
        "graph.svg": emit_svg(graph),
        "graph.json": emit_json(graph),
        "manifest.json": emit_manifest(spec, interface, form, cost, why_not(spec, program)),
        "spec.yaml": normalized_yaml(spec),
    }
    if schedules:
        texts["kernels.py"] = emit_kernels(spec, schedules, interface)
    if decodes:
        texts["decode.py"] = emit_decode(rule, interface)
    texts |= runtime_files({path: text for path, text in texts.items() if path.endswith(".py")})
    return tuple(SourceFile(path, texts[path]) for path in sorted(texts))


def emit_init(spec: Spec) -> str:
    operators = [f"{form}_{spec.name}" for form in ("chunk", "fused_recurrent", "naive_recurrent")]
    return fill("init.py", {
        "header": header(spec),
        "summary": summary(spec),
        "layer": layer_class(spec),
        "import_operators": import_line(".ops", operators),
        "exports": bracketed("__all__ = [", [f'"{name}"' for name in (layer_class(spec), *operators)], "]", 0),
    })  # fmt: skip


def summary(spec: Spec) -> str:
    """One line: what the package computes."""
    parts = (f"{spec.memory.kind} memory", f"{spec.attentional_bias.kind} bias", f"{spec.retention.kind} retention", spec.optimizer.kind)
    return f"{spec.name}: {', '.join(parts)}."


def emit_contract(spec: Spec, interface: Interface, own_rows: bool) -> str:
    zero = ", ".join(f'"{entry.name}": {starting_weight(spec, entry)}' for entry in interface.weights)
    return fill("contract.py", {
        "header": header(spec),
        "name": spec.name,
        "legend": legend(interface),
        "tokens": axes_table((argument.name, argument.axes) for argument in interface.tokens),
        "parameters": axes_table((argument.name, argument.axes) for argument in interface.parameters),
        "state": axes_table(interface.state),
        "weights": names_table(interface.weights),
        "chunk": spec.chunk.size if spec.frozen_gradient else 1,
        "steps": steps_of(spec),
        "read": spec.chunk.read,
        "window": window_of(spec),
        "own_rows": own_rows,
        "weighs_itself": spec.attentional_bias.window == 1,
        "past": "(" + ", ".join(f'"{name}"' for name in ("k", "v", *window_gates(spec))) + ")",
        "degree": spec.feature_map.degree if isinstance(spec.feature_map, PolynomialMap) else 0,
        "features": "(" + ", ".join(f'"{name.removesuffix("_features")}"' for name in interface.derived) + ")",
        "same_width": spec.memory.residual or isinstance(spec.memory, VectorMemory),
        "requires_state": bool(interface.requires_state),
        "why_required": interface.requires_state,
        "zero_state": f"{{{zero}}}",
    })  # fmt: skip


def starting_weight(spec: Spec, entry: Entry) -> str:
    """What a missing weight begins with: 0, or the uniform point of its slices."""
    shape = f'[lengths[axis] for axis in "{entry.axes}"]'
    if spec.retention.start != "uniform":
        return f"torch.zeros({shape}, dtype=work, device=device)"
    channels = entry.axes[2:]
    over = {"input": channels[:1], "output": channels[-1:], "all": channels}[spec.retention.slice_axis()]
    entries = " * ".join(f'lengths["{axis}"]' for axis in over)
    total = spec.retention.constraint()
    return f"torch.full({shape}, {float(total or 1)} / ({entries}), dtype=work, device=device)"


def emit_ops(spec: Spec, interface: Interface, kernels: bool, decodes: bool) -> str:
    described = [f"{a.name} [{', '.join(a.axes)}]: {a.role}, {a.domain}" for a in interface.inputs]
    state = ", ".join(f"{entry.name} [{', '.join(entry.axes)}]" for entry in interface.state)
    state_lines = textwrap.wrap(f"State: {state}.", 130)
    docs = "\n".join([*described, *state_lines, "Returns the outputs [B, T, H, V] and, if asked for, the final state."])
    return fill("ops.py", {
        "header": header(spec), "name": spec.name, "signature": signature(interface), "pass_on": pass_on(interface), "docs": docs,
        "kernels": kernels,
        "decodes": decodes,
        "tokens_dict": mapping([argument.name for argument in interface.tokens], 4),
        "parameters_dict": mapping([argument.name for argument in interface.parameters], 4),
    })  # fmt: skip


def emit_manifest(spec: Spec, interface: Interface, form: ParallelForm, cost: Sequence[CostLine], no_kernels: str) -> str:
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
        "kernels": {"triton": not no_kernels, "reason": no_kernels, "form": forms_of(spec)[0]},
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
