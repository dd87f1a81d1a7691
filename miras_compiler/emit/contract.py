"""contract.py of a package: what its operators take and keep, as data for the runtime."""

from __future__ import annotations

from collections.abc import Iterator

from miras_compiler.derive.carried import Entry
from miras_compiler.derive.leaves import code_name, steps_of, window_gates
from miras_compiler.elements.feature_map import PolynomialMap
from miras_compiler.elements.memory import VectorMemory
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.python_text import bracketed, header, import_line, legend, quoted
from miras_compiler.emit.template import fill
from miras_compiler.spec import Spec, digest


def emit_contract(spec: Spec, interface: Interface) -> str:
    """Text of contract.py."""
    parts = [part for part in (_polynomial(spec, interface), _writes(spec), _window(spec, interface)) if part]
    imports = {"runtime_contract": ["Contract"]}
    for part in parts:
        imports |= part.imports
    fields = [*_fields(spec, interface), *(f"{part.field}={part.value}" for part in parts)]
    return fill("contract.py", {
        "header": header(spec),
        "name": spec.name,
        "imports": "\n".join(import_line(f".{module}", names) for module, names in sorted(imports.items())),
        "legend": legend(interface),
        "contract": bracketed("CONTRACT = Contract(", fields, ")", 0),
    })  # fmt: skip


class _Part:
    """A field of the contract that only some packages have, and what it is made with."""

    def __init__(self, field: str, value: str, imports: dict[str, list[str]]) -> None:
        self.field, self.value, self.imports = field, value, imports


def _fields(spec: Spec, interface: Interface) -> Iterator[str]:
    yield f'"{spec.name}_{digest(spec)}"'
    yield _table("tokens", [(argument.name, f'"{argument.axes}"') for argument in interface.tokens])
    if interface.parameters:
        yield _table("parameters", [(argument.name, f'"{argument.axes}"') for argument in interface.parameters])
    yield _table("state", [(entry.name, f'"{entry.axes}"') for entry in interface.state])
    yield f"weights={quoted([entry.name for entry in interface.weights])}"
    ranges = [(argument.name, str(argument.range)) for argument in interface.tokens if argument.range]
    if ranges:
        yield _table("ranges", [(name, text.replace("inf", 'float("inf")')) for name, text in ranges])
    if spec.frozen_gradient:
        yield f"chunk={spec.chunk.size}"
    if spec.memory.residual or isinstance(spec.memory, VectorMemory):
        yield "one_width=True"
    if spec.retention.start == "uniform":
        yield _table("start", [(entry.name, _uniform(spec, entry)) for entry in interface.weights])
    if interface.requires_state:
        yield f'needs_state="{interface.requires_state}"'


def _table(field: str, items: list[tuple[str, str]]) -> str:
    return bracketed(f"{field}={{", [f'"{name}": {value}' for name, value in items], "}", 4)


def _uniform(spec: Spec, entry: Entry) -> str:
    """The sum of a slice of a weight, and the axes of the slice."""
    channels = entry.axes[2:]
    over = {"input": channels[:1], "output": channels[-1:], "all": channels}[spec.retention.slice_axis()]
    return f'({float(spec.retention.constraint() or 1)}, "{over}")'


def _polynomial(spec: Spec, interface: Interface) -> _Part | None:
    if not isinstance(spec.feature_map, PolynomialMap):
        return None
    of = quoted([name.removesuffix("_features") for name in interface.derived])
    return _Part("polynomial", f"Polynomial({spec.feature_map.degree}, {of})", {"runtime_polynomial": ["Polynomial"]})


def _writes(spec: Spec) -> _Part | None:
    if steps_of(spec) == 1:
        return None
    options = "" if spec.chunk.read == "after_write" else ", reads_before=True"
    return _Part("writes", f"Steps({steps_of(spec)}{options})", {"runtime_steps": ["Steps"]})


def _window(spec: Spec, interface: Interface) -> _Part | None:
    size = spec.attentional_bias.window
    if not size:
        return None
    if size == 1:
        return _Part("own_weight", "OwnWeight()", {"runtime_own_weight": ["OwnWeight"]})
    kept = quoted(["k", "v", *map(code_name, window_gates(spec))])
    features, more = (", polynomial", {"runtime_polynomial": ["Polynomial", "polynomial"]}) if interface.derived else ("", {})
    return _Part("window", f"Window({size}, {kept}{features})", {"runtime_window": ["Window"], **more})
