"""Damages to generated packages: small changes of code by its syntax tree, and which row of verification is the first to see one."""

from __future__ import annotations

import ast
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from kit.paths import SPECS
from miras_compiler import compile_spec, load_spec
from miras_compiler.verified import written
from miras_compiler.verify.checks import CHECKS
from miras_compiler.verify.opened import open_processes
from miras_compiler.verify.subject import Subject
from miras_compiler.verify.verification import check_subject
from miras_compiler.verify.written import Written

SWAPS: dict[type[ast.operator], str] = {ast.Add: "-", ast.Sub: "+", ast.Mult: "+", ast.Div: "*"}
FLIPS: dict[type[ast.cmpop], str] = {ast.Gt: "<=", ast.Lt: ">=", ast.LtE: ">", ast.GtE: "<", ast.Eq: "!=", ast.NotEq: "=="}
OF_ONE = set("exp log softplus sigmoid logsigmoid silu gelu gelu_slope unit abs sign tanh sqrt square cumsum".split())
TEXTS = {"documents", "code", "shared"}  # rows that compare the text: the other rows must see the damage in the function of the code


class Damage(NamedTuple):
    """`old` at this place becomes `new`."""

    line: int
    start: int
    end: int
    old: str
    new: str

    def done_to(self, text: str) -> str:
        lines = text.split("\n")
        raw = lines[self.line - 1].encode()
        lines[self.line - 1] = (raw[: self.start] + self.new.encode() + raw[self.end :]).decode()
        return "\n".join(lines)


def damages_of(text: str) -> list[Damage]:
    """Every operator, comparison, function of one argument and number of one line, changed; signatures, strings and imports left alone."""
    found = []
    for node in _code(ast.parse(text)):
        if not isinstance(node, ast.expr) or node.lineno != node.end_lineno:
            continue
        new = _changed(node)
        if new is not None:
            old = ast.get_source_segment(text, node) or ""
            found.append(Damage(node.lineno, node.col_offset, node.end_col_offset or 0, old, f"({new})"))
    return found


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of function bodies and of top-level tables; annotations are no code."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "slice"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
                yield child
                yield from _code(child)


def _changed(node: ast.expr) -> str | None:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in SWAPS:
            return f"({ast.unparse(left)}) {SWAPS[type(op)]} ({ast.unparse(right)})"
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in FLIPS:
            return f"{ast.unparse(left)} {FLIPS[type(op)]} {ast.unparse(right)}"
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            return ast.unparse(operand)
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=[argument], keywords=[]) if name in OF_ONE:
            return ast.unparse(argument)
        case ast.Constant(value=float() as number):
            return repr(1.5 * number + 0.25)
    return None


@cache
def compiled(name: str) -> tuple[Path, Written]:
    """The package of a spec of the zoo, compiled once, beside the files that the compiler writes."""
    spec = load_spec(SPECS / f"{name}.yaml", {"chunk.size": min(load_spec(SPECS / f"{name}.yaml").chunk.size, 8)})
    compilation = compile_spec(spec)
    folder = compilation.write(tempfile.mkdtemp(prefix="miras-damage-"))
    return folder, written(spec, folder, compilation)


@contextmanager
def copy_of(name: str) -> Iterator[tuple[Path, Written]]:
    """A copy of the package to damage."""
    folder, made = compiled(name)
    with tempfile.TemporaryDirectory(prefix="miras-damage-") as place:
        copied = Path(shutil.copytree(folder, Path(place) / name))
        yield copied, replace(made, folder=copied)


def rows_that_fail(folder: Path, made: Written, rows: Iterable[str] = (), first: bool = False, quick: bool = True) -> list[str]:
    """Names of the checks that fail: of all but those of texts, or of these; with `first`, of the first one alone."""
    wanted = set(rows)
    chosen = [check for check in CHECKS if (check.run.__name__ in wanted if wanted else check.run.__name__ not in TEXTS)]
    failed = []
    with open_processes(folder, made.spec.name, made.layer, made.has_kernels) as package:
        subject = Subject(made.spec.model_dump(by_alias=True), package, quick=quick, written=made)
        for check in chosen:
            if any(not row.passed for row in check_subject(subject, checks=(check,))):
                failed.append(check.run.__name__)
                if first:
                    break
    return failed


def seen_by(name: str, file: str, change: Callable[[str], str], rows: Iterable[str] = (), quick: bool = True) -> list[str]:
    """The rows that fail on the package `name` with its `file` changed; the first one, where no rows are named."""
    with copy_of(name) as (folder, made):
        path = folder / file
        text = path.read_text(encoding="utf-8")
        changed = change(text)
        assert changed != text, f"{file} has changed: the damage is none"
        path.write_text(changed, encoding="utf-8")
        return rows_that_fail(folder, made, rows, first=not rows, quick=quick)
