"""How mathematics is written: Unicode on one line, or LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp

LATEX_LETTERS = {
    "α": r"\alpha", "β": r"\beta", "η": r"\eta", "μ": r"\mu", "δ": r"\delta", "γ": r"\gamma", "σ": r"\sigma", "φ": r"\phi", "ψ": r"\psi",
    "∂": r"\partial ", "ℓ": r"\ell", "−": "-", "‖": r"\|", "Σ": r"\sum ", "⁻¹": "^{-1}", "·": r"\cdot ", "∞": r"\infty", "ᵀ": r"^\top",
    "≤": r"\le ", "⊗": r"\otimes ", "′": "'",
}  # fmt: skip


@dataclass(frozen=True)
class Dialect:
    """How the parts of an expression are written."""

    letters: Callable[[str], str]
    number: Callable[[sp.Expr], str]
    fraction: Callable[[str, str], str]
    power: Callable[[str, str], str]
    call: Callable[[str, str], str]
    norm: Callable[[str], str]
    total: Callable[[str, str], str]
    cases: Callable[[str, str, str], str]
    transposed: Callable[[str], str]
    outer: str
    dot: str
    root: Callable[[str], str]


def latex_letters(letters: str) -> str:
    r""" "W₁[t−1]" as W_{1}^{[t-1]}, "∂ℓ/∂u" as \partial\ell/\partial u."""
    text = re.sub(r"[₀-₉]+", lambda m: "_{" + m[0].translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")) + "}", letters)
    text = (
        re.sub(r"(\S)̂", r"\\hat{\1}", re.sub(r"(\S)̃", r"\\tilde{\1}", text))
        .replace("mean(", r"\operatorname{mean}(")
        .replace("log ", r"\log ")
    )
    text = re.sub(r"\[(t−1|start|decayed)\]", lambda m: {"t−1": "^{[t-1]}", "start": "^{[0]}", "decayed": r"^{[\alpha]}"}[m[1]], text)
    for unicode, latex in LATEX_LETTERS.items():
        text = text.replace(unicode, latex)
    return text


def _latex_number(number: sp.Expr) -> str:
    r"""\frac{1}{2}, 0.3, 10^{-6}."""
    if isinstance(number, sp.Rational) and number.q <= 100:
        return str(sp.latex(number))
    mantissa, e, exponent = f"{float(number):.6g}".partition("e")
    power = f"10^{{{int(exponent)}}}" if e else ""
    return power if e and mantissa == "1" else rf"{mantissa} \cdot {power}" if e else mantissa


def _decimal(number: sp.Expr) -> str:
    """A number as people write it: 2, 1/2, 1e-06."""
    short = isinstance(number, sp.Rational) and number.q <= 100
    return (str(number) if short else f"{float(number):.6g}").replace("-", "−" if short else "-")


def _latex_name(name: str) -> str:
    return name.replace("_", r"\_").replace("′", "'")


UNICODE = Dialect(
    letters=lambda text: text,
    number=_decimal,
    fraction=lambda a, b: f"{a} / {b}",
    power=lambda a, b: {"2": f"{a}²", "3": f"{a}³"}.get(b, f"{a}^({b})" if len(b) > 1 else f"{a}^{b}"),
    call=lambda name, arguments: f"{name}({arguments})",
    norm=lambda a: f"‖{a}‖",
    total=lambda axis, a: f"Σ_{axis} {a}",
    cases=lambda x, condition, y: f"({x} if {condition} else {y})",
    transposed=lambda a: f"{a}ᵀ",
    outer=" ⊗ ",
    dot=" ",
    root=lambda a: f"√({a})",
)
LATEX = Dialect(
    letters=latex_letters,
    number=_latex_number,
    fraction=lambda a, b: rf"\frac{{{a}}}{{{b}}}",
    power=lambda a, b: f"{{{a}}}^{{{b}}}",
    call=lambda name, arguments: rf"\operatorname{{{_latex_name(name)}}}({arguments})",
    norm=lambda a: rf"\|{a}\|",
    total=lambda axis, a: rf"\sum_{{{axis.strip('{}')}}} {a}",
    cases=lambda x, condition, y: rf"\begin{{cases}} {x} & {condition} \\ {y} & \text{{else}} \end{{cases}}",
    transposed=lambda a: rf"{{{a}}}^\top" if "^" in a else rf"{a}^\top",
    outer=r" \otimes ",
    dot=r"\, ",
    root=lambda a: rf"\sqrt{{{a}}}",
)
GREEK = {"alpha": "α", "eta": "η", "mu": "μ", "delta": "δ", "gamma": "γ"}
