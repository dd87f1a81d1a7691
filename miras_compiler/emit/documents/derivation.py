"""derivation.md: from the spec to the chunk form, in LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from miras_compiler.analysis import ParallelForm
from miras_compiler.derive import UpdateRule
from miras_compiler.derive.dialects import LATEX
from miras_compiler.derive.equations import Equation, block, equations_of, row_surprise
from miras_compiler.derive.legend import legend_lines
from miras_compiler.derive.parts import Frame
from miras_compiler.derive.remarks import chunk_remarks, token_remarks
from miras_compiler.derive.statements import DerivationLine, bias_statements, retention_statements
from miras_compiler.derive.unrolled import MAPPED
from miras_compiler.emit.printing.python_text import header
from miras_compiler.ir.program import Program

CHUNK_SECTIONS = {
    "decay": "Coefficients",
    "surprise": "Surprises",
    "memory": "Surprises",
    "read": "Reads",
    "output": "Reads",
    "end": "State behind the tile",
}
DUAL = "The state is the dual one, $A$, and the operators take and return it as it is: weights in the sense of what is read are $\\psi(A)$."


def emit_derivation(rule: UpdateRule, form: ParallelForm, program: Program) -> str:
    """Markdown with LaTeX blocks."""
    frame = rule.frame
    token = _under_headings(rule.equations(LATEX), 3)
    unrolled = rule.unrolled(LATEX)
    chunk = [] if form.kind == "token_by_token" else _chunk(program)
    parts = [
        f"# {frame.name}: the derivation",
        f"<!-- {header(frame).splitlines()[0].removeprefix('# ')} -->",
        *([frame.paper + "."] if frame.paper else []),
        "\n".join(legend_lines(rule, program)),
        "## Attentional bias",
        *_statements(bias_statements(rule, LATEX)),
        "## Retention",
        *_statements(retention_statements(rule, LATEX)),
        *([DUAL] if not rule.mirror.primal and not rule.mirror.identity else []),
        "## Update rule of one token\n\nThe surprise is reverse mode of the memory, seeded with $\\partial\\ell/\\partial u$.",
        *filter(None, [" ".join(_sentence(remark) for remark in token_remarks(rule))]),
        *token,
        "## Unrolled over a chunk",
        *([_block(block([f"{left} &= {right}" for left, right in unrolled]))] if unrolled else [f"{_sentence(MAPPED)}"]),
        *([" ".join(_sentence(remark) for remark in chunk_remarks(rule))] if unrolled else []),
        f"## Parallel form\n\n{form.kind.replace('_', ' ').capitalize()}: {form.reason}.",
        *([f"Here {form.suggestion}."] if form.suggestion else []),
        *chunk,
        *_ledger(frame),
    ]
    return "\n\n".join(parts) + "\n"


def _block(latex: str) -> str:
    return f"$$\n{latex}\n$$"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _statements(statements: Sequence[DerivationLine]) -> list[str]:
    """A block each, after the words that lead to it, before its remark."""
    found: list[str] = []
    for each in statements:
        found += [f"{_sentence(each.words).removesuffix('.')}:"] if each.words else []
        found += [_block(f"{each.left} = {each.right}"), *([f"Here {each.remark}."] if each.remark else [])]
    return found


def _under_headings(equations: Sequence[Equation], level: int) -> list[str]:
    return [
        f"{'#' * level} {_sentence(title).removesuffix('.')}\n\n" + _block(block([each.latex() for each in rows]))
        for title, rows in groupby(equations, key=lambda each: each.title)
    ]


def _chunk(program: Program) -> list[str]:
    found = _under_headings(equations_of(program, CHUNK_SECTIONS, LATEX), 3)
    row = row_surprise(program)
    if row is not None:
        rows = [each.latex() for each in equations_of(row, CHUNK_SECTIONS, LATEX)]
        result = row.labels[row.outputs["phi"]].letters
        rows.append(rf"\operatorname{{surprise}}(f) &= {LATEX.name(result, '')}")
        found.append(
            "### Surprise of a row\n\nA function of the product $f$ of its key with the state that it is measured at:\n\n"
            + _block(block(rows))
        )
    return found


def _ledger(frame: Frame) -> list[str]:
    if not frame.ledger:
        return []
    rows = [f"| {entry.equation} | {entry.status} | {entry.note} |" for entry in frame.ledger]
    return ["## Ledger\n\n| equation | status | note |\n|---|---|---|\n" + "\n".join(rows)]
