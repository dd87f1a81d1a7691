"""The equations of a page that do not hold, in plain text and in LaTeX; text that cannot be read is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from kit import printed_latex
from kit.equation_values import TOLERANCE, chunk_end_page, derived, formula_pages, recurrence, row_page, spec_of, tile_page, token_page
from kit.printed_equations import Page
from miras_compiler.derive.equations import equations_of, row_surprise
from miras_compiler.derive.statements import bias_statements, retention_statements
from miras_compiler.derive.update_rule import CHUNK_END, SECTIONS
from miras_compiler.emit.documents.derivation import CHUNK_SECTIONS, emit_derivation

Rows = list[tuple[str, str]]


def page_at(place: str, path: Path) -> Page:
    if place in ("bias", "retention"):
        return formula_pages(path)[place == "retention"]
    return {"token": token_page, "end": chunk_end_page, "tile": tile_page, "row": row_page}[place](path)


def text_of(path: Path) -> dict[str, Rows]:
    """The equations of a rule in plain text, by their subject."""
    rule, form, program = derived(path)
    statements = {"bias": bias_statements(rule), "retention": retention_statements(rule)}
    found = {place: [(each.left, each.right) for each in said] for place, said in statements.items()}
    programs = {"token": (rule.step.program, SECTIONS)}
    if rule.step.chunk_end is not None:
        programs["end"] = (rule.step.chunk_end, {"state": CHUNK_END})
    if form.kind != "token_by_token":
        row = row_surprise(program)
        programs |= {"tile": (program, CHUNK_SECTIONS)} | ({"row": (row, CHUNK_SECTIONS)} if row is not None else {})
    found |= {place: [(e.left, e.right) for e in equations_of(each, titles)] for place, (each, titles) in programs.items()}
    return found | {"unrolled": rule.unrolled()}


def latex_of(path: Path) -> dict[str, Rows]:
    """The equations of a derivation in LaTeX, by their subject: all that the page has."""
    markdown = emit_derivation(*derived(path))
    found = list(_blocks(markdown))
    assert 2 * len(found) == len(re.findall(r"^\$\$$", markdown, flags=re.MULTILINE))
    places: dict[str, Rows] = {}
    for chapter, section, block in found:
        places.setdefault(_place(chapter, section), []).extend(printed_latex.rows_of(block))
    return places


def _blocks(markdown: str) -> Iterator[tuple[str, str, str]]:
    """Heading, heading below it, and LaTeX of every block."""
    chapter = section = ""
    for found in re.finditer(r"^(#{2,3}) ([^\n]*)$|^\$\$\n(.*?)\n\$\$$", markdown, flags=re.MULTILINE | re.DOTALL):
        if found[1] == "##":
            chapter, section = found[2], ""
        elif found[1]:
            section = found[2]
        else:
            yield chapter, section, found[3]


def _place(chapter: str, section: str) -> str:
    below = {CHUNK_END: "end", "surprise of a row": "row"}.get(section.lower())
    return below or {
        "Attentional bias": "bias", "Retention": "retention", "Update rule of one token": "token",
        "Unrolled over a chunk": "unrolled", "Parallel form": "tile",
    }[chapter]  # fmt: skip


def faults(path: Path, places: dict[str, Rows], *, latex: bool) -> list[str]:
    """The equations whose sides differ, each with its place and by how much."""
    found = []
    for place, rows in places.items():
        pages = _unrolled_pages(path, rows, latex=latex) if place == "unrolled" else [page_at(place, path)]
        for page in pages:
            for left, right in rows:
                error = printed_latex.error(page, left, right) if latex else page.error(left, right)
                if not error < TOLERANCE:
                    found.append(f"{place}: {left} = {right} ({error:.2g})")
    return found


def _unrolled_pages(path: Path, rows: Rows, *, latex: bool) -> Iterator[Page]:
    """The recurrence of every weight, with the coefficients that the page defines; their sum is the state of the recurrence."""
    for weight in spec_of(path).memory.weights() if rows else ():
        page = recurrence(path, weight)
        defined = {}
        for left, right in rows:
            name, index = printed_latex.name_of(page, left) if latex else left.split("_")
            if name not in ("A", "S", "Z"):
                defined[name] = (index, printed_latex.meaning(page, right) if latex else page.meaning(right))
        assert len(defined) < len(rows)
        yield replace(page, defined=defined)
