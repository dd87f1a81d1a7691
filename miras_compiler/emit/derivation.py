"""derivation.md: from the spec to the chunk form, in LaTeX."""

from __future__ import annotations

import sympy as sp

from miras_compiler.analysis import ParallelForm
from miras_compiler.derive import UpdateRule
from miras_compiler.derive.dialects import LATEX
from miras_compiler.derive.notation import equation, formula_latex
from miras_compiler.emit.python_text import header
from miras_compiler.ir.nodes import Leaf, Program
from miras_compiler.spec import Spec

CHUNK_SECTIONS = (
    ("decay", "Coefficients"),
    ("surprise", "Surprises"),
    ("memory", "Surprises"),
    ("read", "Reads"),
    ("output", "Reads"),
    ("end", "State behind the tile"),
)


def emit_derivation(rule: UpdateRule, form: ParallelForm, program: Program) -> str:
    """Markdown with LaTeX blocks."""
    spec = rule.spec
    parts = [
        f"# {spec.name}: the derivation",
        f"<!-- {header(spec).splitlines()[0].removeprefix('# ')} -->",
        *([spec.paper + "."] if spec.paper else []),
        "Rows multiply from the left. A value without an index belongs to the token $t$, $[t-1]$ to the one before, $[0]$ to the state "
        "that entered the tile, $[C]$ to the one behind it.",
        "## Attentional bias\n\n" + _block(f"\\ell(u, v) = {formula_latex(spec.attentional_bias.loss())}"),
        _derivative(rule),
        "## Retention\n\n" + _retention(rule),
        "## Update rule of one token\n\nThe surprise is reverse mode of the memory, seeded with $\\partial\\ell/\\partial u$.\n\n"
        + _block(rule.latex()),
        "## Unrolled over a chunk\n\n" + _unrolled(rule),
        f"## Parallel form\n\n{form.kind.replace('_', ' ').capitalize()}: {form.reason}.",
        *([f"Here {form.suggestion}."] if form.suggestion else []),
        *_chunk(program, form),
        *_ledger(spec),
    ]
    return "\n\n".join(parts) + "\n"


def _block(latex: str) -> str:
    return f"$$\n{latex}\n$$"


def _derivative(rule: UpdateRule) -> str:
    if rule.spec.attentional_bias.derivative() is not None:
        text = "The paper prints this in place of its gradient, and so does the rule, with $e = u - v$:"
    else:
        text = "Differentiated, with $e = u - v$:"
    return f"{text}\n\n" + _block(f"\\frac{{\\partial\\ell}}{{\\partial u}} = {formula_latex(rule.bias_derivative)}")


def _retention(rule: UpdateRule) -> str:
    retention = rule.spec.retention
    generator = retention.generator()
    psi = _block(f"\\psi(a) = {formula_latex(rule.mirror_map)}")
    if generator is None:
        return f"The paper prints a map and no regularizer:\n\n{psi}"
    total = retention.constraint()
    condition = f", \\qquad \\sum w = {sp.latex(total)}" if total is not None else ""
    return f"{_block(f'F(w) = {formula_latex(generator)}{condition}')}\n\nSolved for $w$ in $F'(w) = a$:\n\n{psi}"


def _unrolled(rule: UpdateRule) -> str:
    momentum = rule.coefficients.f is not None
    sums = "A_t &= \\beta_t A_0" + (" + f_t S_0" if momentum else "") + " - \\sum_{j \\le t} G_{tj}\\, g_j"
    lines = [sums, *(["S_t &= m_t S_0 - \\sum_{j \\le t} n_{jt}\\, g_j"] if momentum else []), *rule.coefficient_lines(LATEX)]
    return _block("\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}")


def _chunk(program: Program, form: ParallelForm) -> list[str]:
    if form.kind == "token_by_token":
        return []
    blocks: dict[str, list[str]] = {}
    titles = dict(CHUNK_SECTIONS)
    for node, label in program.labels.items():
        if not isinstance(node, Leaf) and label.section in titles:
            blocks.setdefault(titles[label.section], []).append(equation(program, node, LATEX).replace(" = ", " &= ", 1))
    order = dict.fromkeys(titles.values())
    return [
        f"### {title}\n\n" + _block("\\begin{aligned}\n" + " \\\\\n".join(blocks[title]) + "\n\\end{aligned}")
        for title in order
        if title in blocks
    ]


def _ledger(spec: Spec) -> list[str]:
    if not spec.ledger:
        return []
    rows = [f"| {entry.equation} | {entry.status} | {entry.note} |" for entry in spec.ledger]
    return ["## Ledger\n\n| equation | status | note |\n|---|---|---|\n" + "\n".join(rows)]
