"""`UpdateRule`: the meaning of a spec, derived, and written out for people."""

from __future__ import annotations

import html
from dataclasses import dataclass, fields

from miras_compiler.derive.chunk_coefficients import ChunkCoefficients, derive_chunk_coefficients
from miras_compiler.derive.dialects import LATEX, UNICODE, Dialect
from miras_compiler.derive.equations import Equation, block, equations_of
from miras_compiler.derive.remarks import chunk_remarks, token_remarks
from miras_compiler.derive.rule import Rule, describe_rule
from miras_compiler.derive.token_step import TokenStep, TokenStepBuilder
from miras_compiler.derive.unrolled import MAPPED, unrolled_lines
from miras_compiler.spec import Spec

SECTIONS = {
    "gate": "gates",
    "memory": "the memory at the key",
    "surprise": "the surprise, by reverse mode",
    "state": "momentum, retention and mirror map",
    "read": "the memory at the query",
    "output": "the memory at the query",
}
TOKEN = "a token"
CHUNK_END = "at the end of a full chunk"


@dataclass(frozen=True, repr=False)
class UpdateRule(Rule):
    """A rule with the consequences of its parts: one token as a tile program, and the coefficients of a chunk."""

    step: TokenStep
    coefficients: ChunkCoefficients

    def __repr__(self) -> str:
        return f"UpdateRule({self.frame.name}: {len(self.equations())} equations)"

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex()}\n$$"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text())}</pre>"

    def text(self) -> str:
        """The rule in plain text with Unicode, one equation a line, under headings; first a legend of its letters."""
        remarks = token_remarks(self)
        said = "\n".join([TOKEN, *(f"  {remark}" for remark in remarks)]) + "\n\n" if remarks else ""
        return said + text_under_headings(self.equations())

    def trace_text(self) -> str:
        """The rule as text, in the steps in which the trace computes it."""
        return text_under_headings(equations_of(self.step.trace, SECTIONS))

    def latex(self) -> str:
        """The rule as one LaTeX `aligned` block."""
        return block([equation.latex() for equation in self.equations(LATEX)])

    def equations(self, dialect: Dialect = UNICODE) -> list[Equation]:
        """The equations of a token, and of the end of a full chunk, under headings."""
        step = equations_of(self.step.program, SECTIONS, dialect)
        end = equations_of(self.step.chunk_end, {"state": CHUNK_END}, dialect) if self.step.chunk_end else []
        return [*step, *end]

    def unrolled(self, dialect: Dialect = UNICODE) -> list[tuple[str, str]]:
        """The state as a decayed sum, with its coefficients in closed form: left and right sides."""
        return unrolled_lines(self, self.coefficients, dialect)

    def unrolled_text(self) -> list[str]:
        """The same in lines, with a legend of its letters."""
        lines = [f"{left} = {right}" for left, right in self.unrolled()]
        return [*lines, *chunk_remarks(self)] if lines else [MAPPED]


def text_under_headings(equations: list[Equation]) -> str:
    lines: list[str] = []
    heading = ""
    for equation in equations:
        if equation.title != heading:
            lines += [*([""] if lines else []), equation.title]
            heading = equation.title
        lines.append(f"  {equation.text()}")
    return "\n".join(lines)


def derive_update_rule(spec: Spec) -> UpdateRule:
    """The rule of a checked spec; raises SpecError where a definition cannot be derived."""
    rule = describe_rule(spec)
    parts = {part.name: getattr(rule, part.name) for part in fields(rule)}
    return UpdateRule(**parts, step=TokenStepBuilder(rule).build(), coefficients=derive_chunk_coefficients(rule))
