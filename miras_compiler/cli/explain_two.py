"""Two specs side by side: the differences in fields, rule, form and cost."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import zip_longest

from miras_compiler.analysis import separable_axes
from miras_compiler.cli.explain import facts
from miras_compiler.compare.alignment import merged
from miras_compiler.compare.fields import ABSENT, differing_fields, value_text
from miras_compiler.compiler import Compilation
from miras_compiler.console import PrintedRow, is_plain, page_width, show_json, show_table
from miras_compiler.derive.statements import bias_statements, retention_statements, statement_lines
from miras_compiler.spec import Spec

DIFFERS = "≠"
WIDTH = 60  # of a reason

Pair = tuple[str, str]


def explain_two(one: Compilation, other: Compilation, *, as_json: bool) -> None:
    """Prints the differences."""
    fields = differing_fields((one.spec, other.spec))
    if as_json:
        show_json({"specs": [facts(one), facts(other)], "differing": [{"field": key, "values": values} for key, values in fields]})
        return
    names = _names(one.spec, other.spec)
    rows = [PrintedRow((key, *map(value_text, values))) for key, values in fields] or [PrintedRow(("all", "the same", "the same"))]
    show_table("fields that differ", ("field", *names), rows)
    print()
    show_table("rule", ("", *names), [_marked(pair) for pair in _rule(one, other)])
    print()
    show_table("parallel form", ("", *names), list(_form(one, other)))
    print()
    show_table("cost", ("what", *names, "unit"), list(_cost(one, other)))


def _names(one: Spec, other: Spec) -> Pair:
    """The titles of the columns: the specs' names, or their files where the names are the same."""
    pair = (one.name, other.name)
    return pair if one.name != other.name else (one.location or one.name, other.location or other.name)


def _marked(pair: Pair) -> PrintedRow:
    return PrintedRow((DIFFERS if pair[0] != pair[1] else "", *pair))


def _rule(one: Compilation, other: Compilation) -> Iterator[Pair]:
    """The sections of the rule, one under the other; of a section that is the same in both, the title only."""
    mine, theirs = _sections(one), _sections(other)
    for title in merged([list(mine), list(theirs)]):
        left, right = mine.get(title, []), theirs.get(title, [])
        if left == right:
            yield f"{title}: the same", f"{title}: the same"
            continue
        yield title if left else ABSENT, title if right else ABSENT
        yield from _aligned(left, right)


def _sections(compilation: Compilation) -> dict[str, list[str]]:
    """The lines of the rule, by title."""
    rule = compilation.update_rule
    sections = {
        "attentional bias": statement_lines(bias_statements(rule)),
        "retention": statement_lines(retention_statements(rule)),
    }
    for block in rule.text().split("\n\n"):
        title, *lines = block.split("\n")
        sections[title] = lines
    return sections | {"over a chunk": [f"  {line}" for line in rule.unrolled_text()]}


def _aligned(left: list[str], right: list[str]) -> Iterator[Pair]:
    """Lines beside each other: those that define the same value at one height."""
    mine, theirs = ([line.partition(" = ")[0] for line in lines] for lines in (left, right))
    for what, a, b, c, d in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        if what == "equal":
            yield from zip(left[a:b], right[c:d], strict=True)
        else:
            yield from ((line, "") for line in left[a:b])
            yield from (("", line) for line in right[c:d])


def _form(one: Compilation, other: Compilation) -> Iterator[PrintedRow]:
    """The kind, the reason (which names the spec's file, and so always differs) and the axes that can be split."""
    forms = [compilation.parallel_form for compilation in (one, other)]
    yield _marked((forms[0].kind.replace("_", " "), forms[1].kind.replace("_", " ")))
    width = WIDTH if is_plain(sys.stdout) and page_width() is None else sys.maxsize  # elsewhere the table folds
    for lines in zip_longest(*(textwrap.wrap(form.reason, width) for form in forms), fillvalue=""):
        yield PrintedRow(("", *lines))
    axes = [", ".join(separable_axes(compilation.update_rule)).upper() or "none" for compilation in (one, other)]
    yield _marked((f"separable axes: {axes[0]}", f"separable axes: {axes[1]}"))


def _cost(one: Compilation, other: Compilation) -> Iterator[PrintedRow]:
    units = {what: unit for compilation in (one, other) for what, _, unit in compilation.cost}
    values = [{what: f"{value:,}" for what, value, _ in compilation.cost} for compilation in (one, other)]
    for what, unit in units.items():
        yield PrintedRow((what, values[0].get(what, ABSENT), values[1].get(what, ABSENT), unit))
