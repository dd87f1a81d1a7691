"""The design space as Markdown: every kind with its formula, the form it runs in and its kernels, and the verdicts of the checks on all
combinations.

Nothing here knows a kind: the tables come from the elements, from compiling a base spec with one of its choices exchanged, and from
running the checks on the product of all choices.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from miras_compiler.analysis import build_dependency_graph, classify_parallel_form
from miras_compiler.analysis.cost import axis_lengths
from miras_compiler.analysis.parallel_form import EXPLANATION
from miras_compiler.derive import derive_update_rule
from miras_compiler.elements.base import Element
from miras_compiler.elements.kinds import KINDS
from miras_compiler.emit.triton.blocks import refused
from miras_compiler.errors import Fault
from miras_compiler.ir.differentiate import differentiate
from miras_compiler.lower import build_program
from miras_compiler.passes import run_passes
from miras_compiler.schedule import build_schedule, build_walk, prepare_program, states_alone, tile_lengths, why_too_large
from miras_compiler.spec import Spec
from miras_compiler.spec.checks import CHECKS, faults_of
from miras_compiler.spec.parameters import SAMPLES

BASE = {"feature_map": "identity", "attentional_bias": "l2", "retention": "l2", "optimizer": "gradient_descent"}
MEMORY_OF = {"exact": "matrix", "chunk_start": "mlp"}  # of the base spec, by where it takes its gradients
KERNELS = {
    "tiles": "products of matrices over a tile of tokens",
    "chunk walk": "products of matrices for the state at the start of every chunk, then all chunks at once, each token after token",
    "walk": "one token after another with the state in registers",
}
ORDER_OF = {"exact": "before_gradient", "chunk_start": "after_gradient"}  # the one that every retention and optimizer can have
PRODUCT = ("memory", "attentional_bias", "retention", "optimizer")

Choice = Mapping[str, str]  # key of a spec -> kind
Known = dict[tuple[object, ...], list[Fault]]  # the faults that a check finds, by the parts that it reads


def space_markdown() -> str:
    """The tables, one per family, and the count of the product."""
    blocks = [_table(family) for family in KINDS]
    forms = "\n".join(f"- *{kind.replace('_', ' ')}*: {text}" for kind, text in EXPLANATION.items())
    kernels = "\n".join(f"- *{kernel}*: {text}" for kernel, text in KERNELS.items())
    return "\n\n".join([*blocks, f"The forms:\n\n{forms}", f"The Triton kernels, forward and backward:\n\n{kernels}", _count()])


def _table(family: str) -> str:
    columns = [gradient if family == "memory" else f"{memory}, {gradient}" for gradient, memory in MEMORY_OF.items()]
    lines = [
        f"| {family.replace('_', ' ')} | formula | {' | '.join(f'{column} | kernel' for column in columns)} |",
        "|---|---|---|---|---|---|",
    ]
    for kind, element in KINDS[family].items():
        specs = [spec_of({"memory": memory, **BASE, family: kind}, gradient) for gradient, memory in MEMORY_OF.items()]
        cells = [text for spec in specs for text in (form_of(spec), kernel_of(spec))]
        lines.append(f"| `{kind}` | {_cell(element.formula)} | {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def element_of(family: str, kind: str, **fields: object) -> Element:
    """The kind at its defaults, or at its sample."""
    return KINDS[family][kind].model_validate({"kind": kind, **SAMPLES.get((family, kind), {}), **fields})


def spec_of(choice: Choice, gradient: str) -> Spec:
    """A spec with these kinds and every gate that they read, not yet checked."""
    elements: dict[str, Any] = {family: element_of(family, kind) for family, kind in choice.items() if family != "retention"}
    elements["retention"] = element_of("retention", choice["retention"], order=ORDER_OF[gradient])
    gates = {"eta", *(gate for element in elements.values() for gate in element.gates())}
    return Spec.unchecked(
        {"name": "base", **elements, "gates": {gate: {} for gate in sorted(gates)}, "chunk": {"gradient": gradient, "size": 16}}
    )


def form_of(spec: Spec) -> str:
    """The parallel form, or why there is none."""
    faults = faults_of(spec)
    if faults:
        return f"refused: {faults[0].what}"
    rule = derive_update_rule(spec)
    return classify_parallel_form(rule, build_dependency_graph(rule)).kind.replace("_", " ")


def kernel_of(spec: Spec) -> str:
    """The Triton kernels of a spec; for a state that they cannot hold at the widths of the spec, its bytes and the widths that fit."""
    if faults_of(spec):
        return "–"
    rule = derive_update_rule(spec)
    form = classify_parallel_form(rule, build_dependency_graph(rule))
    prepared = prepare_program(rule, run_passes(build_program(rule, form)))
    if not prepared.why_not:
        schedule = build_schedule(rule, prepared, differentiate(prepared.given)) if rule.features.outer else None
        told = refused(schedule.kernels, tile_lengths(rule)) if schedule else ""
        return f"tiles; refused: {told}" if told else "tiles"
    walk = build_walk(rule)
    told = why_too_large(walk.states, axis_lengths(spec, 1), walk.split)
    way = "chunk walk" if states_alone(rule, prepared) else "walk"
    return f"{way}; refused: a state with {told}" if told else way


def _count() -> str:
    accepted, refused, reasons = count_product()
    names = ", ".join(family.replace("_", " ") for family in PRODUCT)
    told = (
        f"Of the {accepted + refused:,} combinations of {names} and chunk.gradient (retention.order is before_gradient where it is exact),"
        f"\n{accepted:,} are accepted and {refused:,} refused, some for several reasons:"
    )
    rows = [f"| {count:,} | {_cell(reason)} |" for reason, count in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))]
    return "\n".join([told, "", "| combinations | refused because |", "|---|---|", *rows])


def count_product() -> tuple[int, int, Counter[str]]:
    """The numbers of combinations that are accepted and refused, and the number for each reason."""
    known: Known = {}
    accepted = refused = 0
    reasons: Counter[str] = Counter()
    for choice, gradient in product_of_choices():
        found = {fault.what for fault in faults_by_parts(choice, gradient, known)}
        reasons.update(found)
        accepted, refused = accepted + (not found), refused + bool(found)
    return accepted, refused, reasons


def product_of_choices() -> Iterator[tuple[Choice, str]]:
    for kinds in itertools.product(*(KINDS[family] for family in PRODUCT)):
        for gradient in MEMORY_OF:
            yield {**BASE, **dict(zip(PRODUCT, kinds, strict=True))}, gradient


def faults_by_parts(choice: Choice, gradient: str, known: Known) -> Iterator[Fault]:
    """The faults that the checks find; each check runs once for every choice of the parts that it reads, as CHECKS names them."""
    spec = spec_of(choice, gradient)
    gates = tuple(spec.gates)
    for check, parts in CHECKS:
        kinds = [choice.get(part, "") for part in sorted(parts)]
        key = (check, *kinds, gradient if parts & {"retention", "chunk"} else "", gates if "gates" in parts else ())
        if key not in known:
            known[key] = list(check(spec))
        yield from known[key]
