"""The consequences of a spec, as the page shows them: equations as MathML, the graph as an svg element, figures as text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from miras_compiler.compare.costs import BOTH, STATE, cost_plots, cost_rows, costs_of
from miras_compiler.compare.equations import EquationRow, rule_rows, tile_rows
from miras_compiler.compare.forms import form_of
from miras_compiler.compare.graphs import picture_of
from miras_compiler.compare.links import spec_lines
from miras_compiler.compare.plot import amount
from miras_compiler.compare.subjects import Compared
from miras_compiler.compiler import Compilation, compile_spec
from miras_compiler.errors import MAX_SHOWN, Problem, SpecError
from miras_compiler.spec import digest, parse_spec
from miras_compiler.spec.source import read_source

COMPILED = 4  # specs whose stages are kept
PLACE = re.compile(r"(?P<place>.*?)(:(?P<line>\d+)(:(?P<column>\d+))?)?$", re.DOTALL)


@lru_cache(maxsize=COMPILED)
def compiled(text: str, file: str) -> Compilation:
    """The stages of a spec; SpecError with everything that is wrong."""
    return compile_spec(parse_spec(text, file))


def look(text: str, file: str) -> dict[str, Any]:
    """The faults of a spec, its choices, and their consequences."""
    try:
        compilation = compiled(text, file)
    except SpecError as error:
        problems = [problem_of(each) for each in error.problems[:MAX_SHOWN]]
        return {"valid": False, "problems": problems, "more": len(error.problems) - len(problems), "choices": choices_of(text)}
    spec, form = compilation.spec, compilation.parallel_form
    subject = Compared(spec.name, Path(file), compilation, digest(spec), text, {})
    assert spec.source is not None  # it has been read
    return {
        "valid": True,
        "name": spec.name,
        "digest": subject.digest,
        "choices": _finite(spec.source.tree),
        "gates": list(spec.used_gates()),
        "lines": [line.keys for line in spec_lines(text, spec.source)],
        "rule": _groups(rule_rows([compilation])),
        "tile": _groups(tile_rows([compilation])),
        "graph": picture_of(compilation, False),
        "values": len(compilation.graph),
        "form": {**form_of(subject)._asdict(), "change": form.change},
        "glance": _glance({line.what: line.value for line in compilation.cost}),
    }


def cost(text: str, file: str) -> dict[str, Any]:
    """The cost of a token, and of a sequence over its length."""
    compilation = compiled(text, file)
    spec = compilation.spec
    subject = Compared(spec.name, Path(file), compilation, digest(spec), text, {})
    costs = costs_of(subject)
    return {
        "cost": [{"what": row.what, "value": row.texts[0], "unit": row.unit} for row in cost_rows([costs])],
        "plots": [{"title": title, "svg": svg} for title, svg in cost_plots([subject], [costs])],
    }


def choices_of(text: str) -> dict[str, Any] | None:
    """The keys and values of a spec as written; None where it cannot be read."""
    try:
        tree = _finite(read_source(text, "").tree)
    except SpecError:
        return None
    return dict(tree)


def problem_of(problem: Problem) -> dict[str, Any]:
    """An error or warning with its line and column, 0 where it has none."""
    found = PLACE.fullmatch(problem.where)
    line, column = (int((found and found[name]) or 0) for name in ("line", "column"))
    return {"line": line, "column": column, "what": problem.what, "why": problem.why, "remedy": problem.remedy, "text": str(problem)}


def _groups(rows: Sequence[EquationRow]) -> list[dict[str, Any]]:
    """Equations under their headings."""
    return [
        {"title": title, "rows": [cell._asdict() for row in group for cell in row.cells if cell]}
        for title, group in groupby(rows, key=lambda row: row.title)
    ]


def _glance(cost: Mapping[str, float]) -> list[tuple[str, str]]:
    """The figures that are always in sight."""
    return [
        ("state / head", f"{amount(cost[STATE])}B"),
        ("both passes / token / head", f"{amount(sum(cost[name] for name in BOTH))}FLOP"),
    ]


def _finite(value: Any) -> Any:
    """The same with numbers that JSON has not as text."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
