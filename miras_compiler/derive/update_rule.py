"""`UpdateRule`: what a spec means, derived, and written out for people."""

from __future__ import annotations

import html
from dataclasses import dataclass

import sympy as sp

from miras_compiler.derive.chain_rule import derive_bias_derivative
from miras_compiler.derive.chunk_coefficients import ChunkCoefficients, derive_chunk_coefficients
from miras_compiler.derive.dialects import LATEX, UNICODE, Dialect
from miras_compiler.derive.mirror_map import derive_mirror_map
from miras_compiler.derive.notation import equation
from miras_compiler.derive.token_step import TokenStep, TokenStepBuilder
from miras_compiler.ir.nodes import Leaf, Node, Program
from miras_compiler.spec import Spec
from miras_compiler.symbols import letter

SECTIONS = (
    ("gate", "gates"),
    ("memory", "the memory at the key"),
    ("surprise", "the surprise, by reverse mode"),
    ("state", "momentum, retention and mirror map"),
    ("read", "the memory at the query"),
    ("output", "the memory at the query"),
)


@dataclass(frozen=True, repr=False)
class UpdateRule:
    """The derived rule of a spec: ∂ℓ/∂u, ψ, one token as a tile program, and the coefficients of a chunk."""

    spec: Spec
    bias_derivative: sp.Expr
    mirror_map: sp.Expr
    step: TokenStep
    coefficients: ChunkCoefficients

    def __repr__(self) -> str:
        return f"UpdateRule({self.spec.name}: {len(self.equations())} equations)"

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex()}\n$$"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text())}</pre>"

    def text(self) -> str:
        """The rule in plain text with Unicode, one equation a line, under headings."""
        lines: list[str] = []
        heading = ""
        for title, node in self.equations():
            if title != heading:
                lines += [*([""] if lines else []), title]
                heading = title
            lines.append(f"  {equation(self.step.program, node, UNICODE)}".rstrip())
        return "\n".join(lines)

    def latex(self) -> str:
        """The rule as one LaTeX `aligned` block."""
        rows = [equation(self.step.program, node, LATEX).replace(" = ", " &= ", 1) for _, node in self.equations()]
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    def equations(self) -> list[tuple[str, Node]]:
        """Every labelled value that is computed, under its section's title, in the order of the sections."""
        return equations_of(self.step.program)

    def coefficient_lines(self, dialect: Dialect = UNICODE) -> list[str]:
        """β, f, G, m, n in closed form."""
        if dialect is LATEX:
            return [f"{_latex_name(name)} &= {sp.latex(value)}" for name, value in self.coefficients.equations()]
        return [f"{name} = {coefficient_text(value)}" for name, value in self.coefficients.equations()]


def equations_of(program: Program) -> list[tuple[str, Node]]:
    order = [section for section, _ in SECTIONS]
    titles = dict(SECTIONS)
    computed = [(label, node) for node, label in program.labels.items() if label.section in titles and not isinstance(node, Leaf)]
    computed.sort(key=lambda pair: order.index(pair[0].section))
    return [(titles[label.section], node) for label, node in computed]


def coefficient_text(expr: sp.Expr) -> str:
    """Σ and Π on one line, with subscripted gates: η_j Σ_{i=j..t} Π_{l=i+1..t} α_l Π_{l=j+1..i} μ_l."""
    if isinstance(expr, sp.Sum | sp.Product):
        index, low, high = expr.limits[0]
        sign = "Σ" if isinstance(expr, sp.Sum) else "Π"
        return f"{sign}_{{{index}={_bound(low)}..{high}}} {coefficient_text(expr.function)}"
    if isinstance(expr, sp.Mul):
        parts = sorted(expr.args, key=lambda part: (isinstance(part, sp.Sum), isinstance(part, sp.Product), _gate_rank(part)))
        return " ".join(map(coefficient_text, parts))
    if isinstance(expr, sp.core.function.AppliedUndef):
        letters = {"alpha": "α", "mu": "μ", "eta": "η"}
        return f"{letters[expr.func.__name__]}_{expr.args[0]}"
    return str(expr)


def _gate_rank(part: sp.Expr) -> int:
    """alpha before mu: the outer triangle first."""
    return 0 if "alpha" in str(part) else 1


def _bound(low: sp.Expr) -> str:
    return str(low).replace(" ", "")


def _latex_name(name: str) -> str:
    base, _, index = name.partition("_")
    letters = {"β": r"\beta"}
    return f"{letters.get(base, base)}_{{{index}}}"


def derive_update_rule(spec: Spec) -> UpdateRule:
    """The rule of a checked spec; raises SpecError where a definition cannot be derived."""
    derivative = derive_bias_derivative(spec.attentional_bias)
    if spec.attentional_bias.window == 1:
        derivative = letter("gamma") * derivative  # a window of the token alone
    mirror_map = derive_mirror_map(spec.retention)
    step = TokenStepBuilder(spec, derivative, mirror_map).build()
    return UpdateRule(spec, derivative, mirror_map, step, derive_chunk_coefficients(spec))
