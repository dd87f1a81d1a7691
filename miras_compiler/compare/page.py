"""The page: everything about the specs in one HTML file that loads nothing."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import jinja2

from miras_compiler.compare.code import code_files, index_of
from miras_compiler.compare.costs import cost_plots, cost_rows, costs_of
from miras_compiler.compare.equations import EquationRow, rule_rows, tile_rows
from miras_compiler.compare.fields import differing_fields, fields_of
from miras_compiler.compare.fields import value_text as field_text
from miras_compiler.compare.forms import form_of
from miras_compiler.compare.graphs import graph_pictures
from miras_compiler.compare.links import spec_lines
from miras_compiler.compare.quality import run_plots, score_rows
from miras_compiler.compare.results import ERRORS, SPEEDS, read_results
from miras_compiler.compare.results import value_text as result_text
from miras_compiler.compare.subjects import Compared, Unread
from miras_compiler.compare.summary import summary
from miras_compiler.spec.stability import CHANGE
from miras_compiler.version import __version__


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("miras_compiler.compare"), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=True,
    )  # fmt: skip


def page(subjects: Sequence[Compared], unread: Sequence[Unread], results: Path | None = None) -> str:
    """HTML of the comparison; InputError if there are no results at the place `results`."""
    made = [subject.compilation for subject in subjects]
    specs = [each.spec for each in made]
    costs = [costs_of(subject) for subject in subjects]
    differing = {field.key for field in differing_fields(specs)}
    files = code_files(subjects)
    holes = {
        "version": __version__,
        "subjects": subjects,
        "unread": unread,
        "summary": summary(subjects),
        "fields": [(family, list(rows)) for family, rows in groupby(fields_of(specs), key=lambda field: field.family)],
        "differing": differing,
        "field_text": field_text,
        "rule": _by_title(rule_rows(made)),
        "tile": _by_title(tile_rows(made)),
        "graphs": graph_pictures(made),
        "forms": [form_of(subject) for subject in subjects],
        "cost": cost_rows(costs),
        "cost_plots": cost_plots(subjects, costs),
        "results": read_results(subjects, results),
        "columns": {"speed": SPEEDS + ERRORS, "error": ERRORS},
        "result_text": result_text,
        "runs": [number for number, subject in enumerate(subjects) if subject.run],
        "run_plots": run_plots(subjects),
        "scores": score_rows(subjects),
        "change": f"{100 * CHANGE:g}",
        "stability": [(each.sensitivity, each.stability()) for each in made],
        "lines": [spec_lines(subject.text, subject.compilation.spec.source) for subject in subjects],
        "files": files,
        "index": _script(json.dumps(index_of(files, subjects), ensure_ascii=False)),
        "runtime": [file for file in files if file.shared],
        "texts": [(f"code-{number}", *file.packed()) for number, file in enumerate(files)],
    }
    return _environment().get_template("page.html.jinja").render(holes)


def _by_title(rows: Sequence[EquationRow]) -> list[tuple[str, list[EquationRow]]]:
    return [(title, list(group)) for title, group in groupby(rows, key=lambda row: row.title)]


def _script(text: str) -> str:
    """JSON inside of a script element."""
    return text.replace("<", "\\u003c")
