"""docs/reference.md: every key of a spec, as the schema has it."""

from __future__ import annotations

from collections.abc import Iterator

from miras_compiler.elements.base import Element, Settings
from miras_compiler.elements.kinds import KINDS
from miras_compiler.elements.memory import MemoryInit
from miras_compiler.expressions.vocabulary import FUNCTIONS
from miras_compiler.spec import Attention, Chunk, Gate, Layer, LedgerEntry, Mlp, Model, Spec, Tie, TieGate, TieTerm, Values
from miras_compiler.spec.gates import FREE_LETTER, GATE_LETTERS, range_of
from miras_compiler.spec.parameters import Parameter, example, parameters

PARTS: dict[str, type[Settings]] = {  # dotted key -> its class of keys
    "memory.init": MemoryInit,
    "gates": Gate,
    "chunk": Chunk,
    "layer": Layer,
    "layer.tie": Tie,
    "layer.tie.plus": TieTerm,
    "layer.tie.gate": TieGate,
    "model": Model,
    "model.input": Values,
    "model.mlp": Mlp,
    "model.attention": Attention,
    "ledger": LedgerEntry,
}


def reference_markdown() -> str:
    """The page."""
    return "\n\n".join(_blocks()) + "\n"


def _blocks() -> Iterator[str]:
    yield "# Reference of a spec"
    yield (
        "Every key that a spec may have, written by `miras schema --markdown`. `miras list KIND` prints one kind in a terminal, "
        "`miras schema` the same as JSON Schema for editors."
    )
    yield "## A spec"
    yield _table(parameters(Spec), "")
    for family, kinds in KINDS.items():
        yield f"## {family}"
        for kind, element in kinds.items():
            yield f"### {family}: {kind}"
            yield f"`{element.formula}`"
            yield _words(element)
            rows = parameters(element)
            if rows:
                yield _table(rows, family)
            yield f"```yaml\n{example(family, kind)}\n```"
    for key, part in PARTS.items():
        yield f"## {key}"
        yield " ".join((part.__doc__ or "").split())
        yield _table(parameters(part), key)
        if key == "gates":
            yield "A gate's name says what it is. A name that is not listed is a coefficient of a formula of yours."
            yield "\n".join(_gates())
    yield "## Functions of formulas"
    names = sorted({f"{name}({', '.join('abc'[:arity])})" for name, arity in FUNCTIONS})
    yield f"Numbers, letters and gates with `+ - * / **` and brackets, and: `{'` `'.join(names)}`."
    yield "`sum`, `norm` and `max` of one argument run over the channels of a row; every other function is entrywise."


def _words(element: type[Element]) -> str:
    """The description of the class, and its source."""
    said = " ".join((element.__doc__ or "").split())
    return said if element.citation == "–" else f"{said} Source: {element.citation}."


def _table(rows: tuple[Parameter, ...], home: str) -> str:
    lines = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for row in rows:
        key = f"{home}.{row.name}" if home else row.name
        link = f"[{row.name}](#{key.replace('.', '')})" if key in PARTS or key in KINDS else f"`{row.name}`"
        lines.append(f"| {link} | {_cell(row.values)} | {_cell(row.default)} | {_cell(row.description)} |")
    return "\n".join(lines)


def _gates() -> Iterator[str]:
    yield from ("| gate | meaning | range | init |", "|---|---|---|---|")
    for name, letter in {**GATE_LETTERS, "any other": FREE_LETTER}.items():
        label = f"`{name}`" if name in GATE_LETTERS else name
        yield f"| {label} | {letter.meaning} | {range_of(Gate(init=letter.init), letter).domain} | {letter.init:g} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
