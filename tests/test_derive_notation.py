"""Rules as people read them: tiles and formulas in Unicode and in LaTeX, which a TeX parser accepts."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import sympy as sp
from matplotlib.mathtext import MathTextParser

from miras_compiler.derive import UpdateRule, derive_update_rule
from miras_compiler.derive.dialects import LATEX, UNICODE, latex_letters
from miras_compiler.derive.notation import definition, equation, formula, formula_latex
from miras_compiler.ir.build import (
    contract,
    cumulate,
    entrywise,
    input_tile,
    largest,
    length,
    mask,
    rename,
    state_tile,
    total,
    triangular_solve,
)
from miras_compiler.ir.nodes import Label, Node, Program
from miras_compiler.spec import load_spec
from miras_compiler.symbols import (
    A,
    E,
    Power0,
    RowMax,
    RowSum,
    gelu_slope,
    letter,
    magnitude,
    row_norm,
    rsqrt,
    sigmoid,
    signum,
    step,
    where_positive,
)

SIX = ("titans_lmm", "yaad", "moneta", "memora", "gated_delta_net", "linear_attention")
SPECS = {name: Path(__file__).resolve().parents[1] / "specs" / f"{name}.yaml" for name in SIX}
X, Y = letter("x"), letter("y")
K, V, W = input_tile("k", ("c", "k")), input_tile("v", ("c", "v")), state_tile("W", ("k", "v"))
S, L = input_tile("s", ("c", "j")), input_tile("log_alpha", ("c",))
LABELS = {W: Label("W1_prev", "W₁[t−1]", "state", ""), S: Label("du", "∂ℓ/∂u", "surprise", "")}
PARSER = MathTextParser("agg")


@cache
def rule(name: str) -> UpdateRule:
    return derive_update_rule(load_spec(SPECS[name]))


def written(node: Node) -> tuple[str, str]:
    program = Program("p", {"o": node}, LABELS)
    return definition(program, node), definition(program, node, LATEX)


@pytest.mark.parametrize(
    ("node", "text", "latex"),
    [
        (contract(K, W), "k W₁[t−1]", r"k\, W_{1}^{[t-1]}"),
        (contract(W, V), "W₁[t−1] vᵀ", r"W_{1}^{[t-1]}\, v^\top"),
        (contract(V, W), "v W₁[t−1]ᵀ", r"v\, {W_{1}^{[t-1]}}^\top"),
        (contract(rename(K, "c", "j"), K), "k kᵀ", r"k\, k^\top"),
        (total(entrywise(X**2, {"x": V}), "v"), "‖v‖²", r"{\|v\|}^{2}"),
        (entrywise(sp.sqrt(X), {"x": total(entrywise(X**2, {"x": V}), "v")}), "‖v‖", r"\|v\|"),
        (total(entrywise(X * Y, {"x": V, "y": K}, ("c", "k", "v")), "v"), "Σ_v k · v", None),
        (largest(V, "v"), "max(v)", r"\operatorname{max}(v)"),
        (entrywise(sp.exp(X), {"x": cumulate(L, "c")}), "exp(Σ_{l≤t} log α)", r"\operatorname{exp}(\sum_{l\le t} \log \alpha)"),
        (cumulate(L, "c", reverse=True, exclusive=True), "Σ_{l>t} log α", r"\sum_{l>t} \log \alpha"),
        (mask(S, "c", "j", 1), "strictly_causal(∂ℓ/∂u)", r"\operatorname{strictly\_causal}(\partial \ell/\partial u)"),
        (triangular_solve(S, V), "(I + ∂ℓ/∂u)⁻¹ v", r"(I + \partial \ell/\partial u)^{-1} v"),
        (triangular_solve(S, rename(V, "c", "j")), "(I + ∂ℓ/∂u)⁻¹ᵀ v", r"{(I + \partial \ell/\partial u)^{-1}}^\top v"),
        (entrywise(X / length("v") + sp.Rational(1, 10**6), {"x": L}), "log α / V + 1e-06", r"\frac{\log \alpha}{V} + 10^{-6}"),
        (entrywise(gelu_slope(X) * rsqrt(Y), {"x": V, "y": L}), None, r"(\frac{1}{\sqrt{\log \alpha}}) \cdot  \operatorname{gelu'}(v)"),
        (entrywise(X * Y, {"x": input_tile("h", ("n",)), "y": input_tile("d", ("v",))}), "hᵀ ⊗ d", r"h^\top \otimes d"),
        (entrywise(X, {"x": state_tile("log_beta", ())}), "log β", r"\log \beta"),
    ],
)
def test_a_tile_is_written_down_to_the_nearest_labels(node: Node, text: str | None, latex: str | None) -> None:
    unicode, tex = written(node)
    assert text in (None, unicode)
    assert latex in (None, tex)
    assert parses(tex)


def test_the_root_of_a_sum_or_a_product_of_squares_is_no_norm() -> None:
    a, b = (total(entrywise(X**2, {"x": tile}), axis) for tile, axis in ((K, "k"), (V, "v")))
    for joined, text in ((X * Y, "√(‖k‖² · ‖v‖²)"), (X + Y, "√(‖k‖² + ‖v‖²)")):
        assert written(entrywise(sp.sqrt(joined), {"x": a, "y": b}))[0] == text
    assert written(entrywise(sp.sqrt(X), {"x": total(a, "c")}))[0] == "√(Σ_c ‖k‖²)"


@pytest.mark.parametrize(
    ("expr", "text", "latex"),
    [
        (where_positive(row_norm(E) - letter("delta"), letter("delta") * signum(E), 2 * E), "(δ sign(e) if ‖e‖ > δ else 2 e)", None),
        (row_norm(E), "‖e‖", r"\|e\|"),
        (RowSum(E**2) / 2, "‖e‖² / 2", r"\frac{{\|e\|}^{2}}{2}"),
        (E * Power0(RowSum(E**2), -sp.Rational(1, 2)), "e / ‖e‖", r"\frac{e}{\|e\|}"),
        (-3 * E * magnitude(E) + 1, None, r"1 - 3\, e\, |e|"),
        (16 * sp.exp(A - RowMax(A)) / RowSum(sp.exp(A - RowMax(A))), "16 exp(a − max(a)) / (Σ_j exp(a − max(a)))", None),
        (sigmoid(E) ** 3 - step(E - 1), "sigmoid(e)³ − 1[e > 1]", r"{\operatorname{sigmoid}(e)}^{3} - \operatorname{1}[e > 1]"),
        (1 / E, "1 / e", r"\frac{1}{e}"),
    ],
)
def test_a_formula_is_written_in_the_letters_of_the_mathematics(expr: sp.Expr, text: str | None, latex: str | None) -> None:
    assert text in (None, formula(expr))
    assert latex in (None, formula_latex(expr))


@pytest.mark.parametrize(
    ("letters", "latex"),
    [
        ("W₁[t−1]", "W_{1}^{[t-1]}"),
        ("W₁₂[start]", "W_{12}^{[0]}"),
        ("W[decayed]", r"W^{[\alpha]}"),
        ("∂ℓ/∂u", r"\partial \ell/\partial u"),
        ("f̃", r"\tilde{f}"),
        ("log β[0]", r"\log \beta[0]"),
    ],
)
def test_letters_become_latex(letters: str, latex: str) -> None:
    assert latex_letters(letters) == latex


@pytest.mark.parametrize("name", SPECS)
def test_every_equation_of_a_rule_parses_as_tex(name: str) -> None:
    found = rule(name)
    for _, node in found.equations():
        tex = equation(found.step.program, node, LATEX)
        assert parses(tex), tex
        assert not re.search(r"\^\{[^{}]*\}\^|e-\d|[₀-₉−]|dim_|\bx\d", tex), tex


@pytest.mark.parametrize("name", SPECS)
def test_a_rule_in_plain_text_names_every_section_once_and_leaves_nothing_raw(name: str) -> None:
    text = rule(name).text()
    headings = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert len(headings) == len(set(headings))
    assert headings[-1] == "the memory at the query"
    assert not re.search(r"dim_|\bx\d|where_positive|Power0|_slope|signum|magnitude|RowSum|<|\bNone\b", text)


def test_the_rule_of_the_gated_delta_net_reads_like_its_paper() -> None:
    lines = rule("gated_delta_net").text().splitlines()
    assert "  W = α W[t−1] − η kᵀ ⊗ e" in lines
    assert "  u = k W[decayed]" in lines
    assert "  y = q W" in lines
    assert r"W &= \alpha\, W^{[t-1]} - \eta\, k^\top \otimes e" in rule("gated_delta_net").latex()


def test_the_rule_of_titans_has_momentum_and_a_surprise_by_reverse_mode() -> None:
    lines = rule("titans_lmm").text().splitlines()
    assert "  S₁ = μ S₁[t−1] − η kᵀ ⊗ d₁" in lines
    assert "  W₁ = α W₁[t−1] + S₁" in lines
    assert "  d₁ = (d₂ W₂[start]ᵀ) · gelu′(z₁)" in lines
    assert UNICODE.letters("e") == "e"


def parses(tex: str) -> bool:
    """matplotlib's parser knows no cases, and ≤ by its long name; the rest of what we write it knows, and it refuses what TeX does."""
    long_names = tex.replace(r"\le ", r"\leq ")
    if "cases" not in tex:
        PARSER.parse(f"${long_names}$", dpi=72)
    return True
