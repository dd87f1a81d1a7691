"""contract.py of a package: the arguments and the state of its operators, as data for the runtime."""

from __future__ import annotations

from collections.abc import Iterator

from miras_compiler.derive.parts import Entry
from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.printing.python_text import bracketed, header, import_line, legend, quoted
from miras_compiler.emit.printing.template import fill


def emit_contract(rule: Rule, interface: Interface) -> str:
    """Text of contract.py."""
    parts = [part for part in (_polynomial(rule, interface), _writes(rule), _window(rule, interface), _segments(rule)) if part]
    imports = {"runtime_contract": ["OperatorContract"]}
    for part in parts:
        imports |= part.imports
    fields = [*_fields(rule, interface), *(f"{part.field}={part.value}" for part in parts)]
    return fill("contract.py", {
        "header": header(rule.frame),
        "name": rule.frame.name,
        "imports": "\n".join(import_line(f".{module}", names) for module, names in sorted(imports.items())),
        "legend": legend(interface),
        "contract": bracketed("CONTRACT = OperatorContract(", fields, ")", 0),
    })  # fmt: skip


class _Part:
    """A field of the contract that only some packages have, and the class that it is made with."""

    def __init__(self, field: str, value: str, imports: dict[str, list[str]]) -> None:
        self.field, self.value, self.imports = field, value, imports


def _fields(rule: Rule, interface: Interface) -> Iterator[str]:
    yield f'"{rule.frame.name}_{rule.frame.digest}"'
    yield _table("tokens", [(argument.name, f'"{argument.axes}"') for argument in interface.tokens])
    if interface.parameters:
        yield _table("parameters", [(argument.name, f'"{argument.axes}"') for argument in interface.parameters])
    yield _table("state", [(entry.name, f'"{entry.axes}"') for entry in interface.state])
    yield f"weights={quoted([entry.name for entry in interface.weights])}"
    ranges = [(argument.name, str(argument.range)) for argument in interface.tokens if argument.range]
    if ranges:
        yield _table("ranges", [(name, text.replace("inf", 'float("inf")')) for name, text in ranges])
    if rule.chunk.has_grid:
        yield f"chunk={rule.chunk.size}"
    if rule.memory.one_width:
        yield "one_width=True"
    if rule.mirror.start == "uniform":
        yield _table("start", [(entry.name, _uniform(rule, entry)) for entry in interface.weights])
    if interface.requires_state:
        yield f'needs_state="{interface.requires_state}"'


def _table(field: str, items: list[tuple[str, str]]) -> str:
    return bracketed(f"{field}={{", [f'"{name}": {value}' for name, value in items], "}", 4)


def _uniform(rule: Rule, entry: Entry) -> str:
    """The sum of a slice of a weight, and the axes of the slice."""
    channels = entry.axes[2:]
    over = {"input": channels[:1], "output": channels[-1:], "all": channels}[rule.mirror.slices]
    return f'({rule.mirror.total}, "{over}")'


def _polynomial(rule: Rule, interface: Interface) -> _Part | None:
    if not rule.features.outer:
        return None
    of = quoted([name.removesuffix("_features") for name in interface.derived])
    return _Part("polynomial", f"Polynomial({rule.features.degree}, {of})", {"runtime_polynomial": ["Polynomial"]})


def _writes(rule: Rule) -> _Part | None:
    if rule.update.writes == 1:
        return None
    options = "" if rule.chunk.read == "after_write" else ", reads_before=True"
    return _Part("writes", f"Steps({rule.update.writes}{options})", {"runtime_steps": ["Steps"]})


def _segments(rule: Rule) -> _Part | None:
    return _Part("segments", f"Reset({rule.chunk.reset})", {"runtime_reset": ["Reset"]}) if rule.chunk.reset else None


def _window(rule: Rule, interface: Interface) -> _Part | None:
    if not rule.surprise.weighed:
        return None
    if rule.surprise.window == 1:
        return _Part("own_weight", "OwnWeight()", {"runtime_own_weight": ["OwnWeight"]})
    kept = quoted(["k", "v", *(gate.code for gate in rule.gates.values() if gate.measured)])
    features, more = (", polynomial", {"runtime_polynomial": ["Polynomial", "polynomial"]}) if interface.derived else ("", {})
    return _Part("window", f"Window({rule.surprise.window}, {kept}{features})", {"runtime_window": ["Window"], **more})
