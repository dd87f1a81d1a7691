"""The derived rules of several specs in rows: equations that define the same value beside each other, their terms compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from miras_compiler.compare.alignment import merged
from miras_compiler.compare.links import ProgramLinks
from miras_compiler.compare.mathml import equation
from miras_compiler.compare.terms import Term, terms_of
from miras_compiler.compiler import Compilation
from miras_compiler.derive.dialects import LATEX
from miras_compiler.derive.equations import equations_of
from miras_compiler.derive.statements import DerivationLine, bias_statements, retention_statements
from miras_compiler.derive.update_rule import CHUNK_END
from miras_compiler.emit.documents.derivation import CHUNK_SECTIONS

BIAS, RETENTION, UNROLLED = "attentional bias", "retention", "unrolled over a chunk"
Place = tuple[str, str, int]
"""A heading, the left side, and how often that was there before under this heading."""


class Line(NamedTuple):
    """An equation of one spec: LaTeX of its sides, the value of the graph that it defines, the keys that it comes from, and a remark."""

    title: str
    left: str
    right: str
    node: str = ""
    keys: tuple[str, ...] = ()
    remark: str = ""


class Cell(NamedTuple):
    """An equation as it stands on a page; `node` and `keys` tie it to the rest."""

    math: str
    node: str
    keys: tuple[str, ...]
    remark: str


class EquationRow(NamedTuple):
    """The same value in every spec, None where a spec has none; `differs` says whether they agree."""

    title: str
    cells: tuple[Cell | None, ...]
    differs: bool


def rule_rows(compilations: Sequence[Compilation]) -> list[EquationRow]:
    """The equations of the choices, of one token, and of the state unrolled over a chunk."""
    return _rows([list(_rule_lines(each)) for each in compilations])


def tile_rows(compilations: Sequence[Compilation]) -> list[EquationRow]:
    """The tile of many tokens, of those that run in parallel."""
    return _rows([list(_tile_lines(each)) for each in compilations])


def _rule_lines(compilation: Compilation) -> Iterator[Line]:
    rule = compilation.update_rule
    step = ProgramLinks(compilation, rule.step.program)
    end = ProgramLinks(compilation, rule.step.chunk_end, at_end=True) if rule.step.chunk_end else step
    yield from _statement_lines(BIAS, "attentional_bias", bias_statements(rule, LATEX), bias_statements(rule))
    yield from _statement_lines(RETENTION, "retention", retention_statements(rule, LATEX), retention_statements(rule))
    for each in rule.equations(LATEX):
        yield Line(each.title, each.left, each.right, *(end if each.title == CHUNK_END else step).link(each.node))
    for left, right in rule.unrolled(LATEX):
        gates = (gate for gate in compilation.spec.gates if re.search(rf"\\{gate}(?![a-z])", right))
        yield Line(UNROLLED, left, right, "", tuple(f"gates.{gate}" for gate in gates))


def _statement_lines(title: str, key: str, statements: Sequence[DerivationLine], said: Sequence[DerivationLine]) -> Iterator[Line]:
    """Statements in LaTeX, and the same in plain text, whose words stand beside them."""
    for each, plain in zip(statements, said, strict=True):
        yield Line(title, each.left, each.right, "", (key,), "; ".join(filter(None, (plain.words, plain.remark))))


def _tile_lines(compilation: Compilation) -> Iterator[Line]:
    if compilation.parallel_form.kind == "token_by_token":
        return
    links = ProgramLinks(compilation, compilation.program)
    for each in equations_of(compilation.program, CHUNK_SECTIONS, LATEX):
        yield Line(each.title, each.left, each.right, *links.link(each.node))


def _rows(all_lines: Sequence[Sequence[Line]]) -> list[EquationRow]:
    placed = [_placed(lines) for lines in all_lines]
    titles = merged([list(dict.fromkeys(place[0] for place in each)) for each in placed])
    return [
        _row(title, [each.get(place) for each in placed])
        for title in titles
        for place in merged([[place for place in each if place[0] == title] for each in placed])
    ]


def _placed(lines: Sequence[Line]) -> dict[Place, Line]:
    seen: Counter[tuple[str, str]] = Counter()
    found = {}
    for line in lines:
        found[line.title, line.left, seen[line.title, line.left]] = line
        seen[line.title, line.left] += 1
    return found


def _row(title: str, lines: Sequence[Line | None]) -> EquationRow:
    terms = [Counter(terms_of(line.right)) if line else Counter[Term]() for line in lines]
    shared = terms[0]
    for each in terms[1:]:
        shared &= each
    differs = any(line is None or line.right != lines[0].right for line in lines) if lines[0] else True
    return EquationRow(title, tuple(_cell(line, shared) if line else None for line in lines), differs)


def _cell(line: Line, shared: Counter[Term]) -> Cell:
    left = Counter(shared)
    marked = []
    for term in terms_of(line.right):
        marked.append((term, left[term] <= 0))
        left[term] -= 1
    return Cell(equation(line.left, marked), line.node, line.keys, line.remark)
