"""Rules as people read them: tiles and formulas in Unicode and in LaTeX."""

from __future__ import annotations

import re
from functools import cache

import pytest
import sympy as sp

from kit.paths import SPEC_FILES
from miras_compiler.derive import UpdateRule, derive_update_rule
from miras_compiler.derive.dialects import LATEX, latex_name
from miras_compiler.derive.equations import equations_of
from miras_compiler.derive.formula_text import formula
from miras_compiler.derive.notation import definition
from miras_compiler.derive.statements import bias_statements, retention_statements, statement_lines
from miras_compiler.derive.update_rule import SECTIONS
from miras_compiler.expressions.activations import gelu_slope
from miras_compiler.expressions.symbols import (
    A,
    E,
    Power0,
    RowMax,
    RowSum,
    U,
    letter,
    magnitude,
    row_norm,
    rsqrt,
    sigmoid,
    signum,
    step,
    where_positive,
)
from miras_compiler.expressions.symbols import (
    V as VALUE,
)
from miras_compiler.ir.build import contract, cumulate, entrywise, input_tile, largest, length, mask, rename, state_tile, total
from miras_compiler.ir.nodes import Node
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.rows import triangular_solve
from miras_compiler.ir.traverse import nodes_of
from miras_compiler.spec import load_spec

SPECS = {path.stem: path for path in SPEC_FILES}
SIX = ("titans_lmm", "yaad", "moneta", "memora", "gated_delta_net", "linear_attention")
X, Y = letter("x"), letter("y")
K, V, W = input_tile("k", ("c", "k")), input_tile("v", ("c", "v")), state_tile("W", ("k", "v"))
S, L, ALPHA = input_tile("s", ("c", "j")), input_tile("log_alpha", ("c",)), input_tile("alpha", ("k",))
ANCHOR = input_tile("anchor", ("c",))  # a program with tokens
LABELS = {
    W: Label("W1_prev", "W₁[t−1]", "state", ""), S: Label("du", "∂ℓ/∂u", "surprise", ""), ANCHOR: Label("anchor", "anchor", "input", ""),
}  # fmt: skip


@cache
def rule(name: str) -> UpdateRule:
    return derive_update_rule(load_spec(SPECS[name]))


def written(node: Node) -> tuple[str, str]:
    program = Program("p", {"o": node}, LABELS)
    return definition(program, node), definition(program, node, LATEX)


@pytest.mark.parametrize(
    ("node", "text", "latex"),
    [
        (contract(K, W), "k_t W₁[t−1]", r"k_{t}\, W_{1}^{[t-1]}"),
        (contract(V, W), "v_t W₁[t−1]ᵀ", r"v_{t}\, {W_{1}^{[t-1]}}^\top"),
        (contract(K, rename(K, "c", "j")), "k_t k_jᵀ", r"k_{t}\, {k_{j}}^\top"),
        (contract(rename(K, "c", "j"), rename(V, "c", "j")), "Σ_j k_jᵀ ⊗ v_j", r"\sum_{j} {k_{j}}^\top \otimes v_{j}"),
        (total(entrywise(X**2, {"x": V}), "v"), "‖v_t‖²", r"{\|v_{t}\|}^{2}"),
        (entrywise(sp.sqrt(X), {"x": total(entrywise(X**2, {"x": V}), "v")}), "‖v_t‖", r"\|v_{t}\|"),
        (total(entrywise(X**2, {"x": W}), "k"), "‖W₁[t−1]‖_K²", None),
        (total(total(entrywise(X**2, {"x": W}), "v"), "k"), "‖W₁[t−1]‖²", None),
        (total(entrywise(X * Y, {"x": V, "y": K}, ("c", "k", "v")), "v"), "Σ_V k_tᵀ ⊗ v_t", None),
        (largest(V, "v"), "max(v_t)", r"\max(v_{t})"),
        (entrywise(sp.exp(X), {"x": cumulate(L, "c")}), "exp(Σ_{l≤t} log_alpha_l)", r"\exp(\sum_{l\le t} \mathrm{log\_alpha}_{l})"),
        (cumulate(L, "c", reverse=True, exclusive=True), "Σ_{l>t} log_alpha_l", r"\sum_{l>t} \mathrm{log\_alpha}_{l}"),
        (mask(S, "c", "j", 1), "[j < t] ∂ℓ/∂u_tj", None),
        (triangular_solve(S, V), "v_t − Σ_{j<t} ∂ℓ/∂u_tj X_j", None),
        (entrywise(X / length("v") + sp.Rational(1, 10**6), {"x": total(V, "v")}), "mean(v_t) + 1e-06", None),
        (entrywise(gelu_slope(X) * rsqrt(Y), {"x": V, "y": L}), "(1 / √(log_alpha_t)) gelu′(v_t)", None),
        (entrywise(X * Y, {"x": input_tile("h", ("n",)), "y": input_tile("d", ("v",))}), "hᵀ ⊗ d", r"{h}^\top \otimes d"),
        (entrywise(X * Y, {"x": input_tile("h", ("n1",)), "y": input_tile("d", ("n2",))}), "hᵀ ⊗ d", None),
        (entrywise(X * Y, {"x": ALPHA, "y": W}), "αᵀ · W₁[t−1]", r"{\alpha}^\top \odot W_{1}^{[t-1]}"),
        (entrywise(X + Y, {"x": ALPHA, "y": W}), "αᵀ + W₁[t−1]", None),
        (entrywise(X * sp.Rational(1, 2048), {"x": L}), "log_alpha_t / 2048", None),
        (entrywise(X * sp.Rational(6889, 2000), {"x": L}), "3.4445 log_alpha_t", None),
    ],
)
def test_a_tile_is_written_down_to_the_nearest_labels(node: Node, text: str, latex: str | None) -> None:
    program = Program("p", {"o": node, "anchor": ANCHOR}, LABELS)
    assert definition(program, node) == text
    assert latex in (None, definition(program, node, LATEX))


def test_the_root_of_a_sum_or_a_product_of_squares_is_no_norm() -> None:
    a, b = (total(entrywise(X**2, {"x": tile}), axis) for tile, axis in ((K, "k"), (V, "v")))
    for joined, text in ((X * Y, "√(‖k_t‖² ‖v_t‖²)"), (X + Y, "√(‖k_t‖² + ‖v_t‖²)")):
        assert written(entrywise(sp.sqrt(joined), {"x": a, "y": b}))[0] == text
    assert written(entrywise(sp.sqrt(X), {"x": total(a, "c")}))[0] == "√(Σ_l ‖k_l‖²)"


def softmax_of(x: sp.Expr) -> sp.Expr:
    return sp.exp(x - RowMax(x)) / RowSum(sp.exp(x - RowMax(x)))


@pytest.mark.parametrize(
    ("expr", "text", "latex"),
    [
        (where_positive(row_norm(E) - letter("delta"), letter("delta") * signum(E), 2 * E), "(δ sign(e) if ‖e‖ > δ else 2 e)", None),
        (row_norm(E), "‖e‖", r"\|e\|"),
        (RowSum(E**2) / 2, "‖e‖² / 2", r"\frac{{\|e\|}^{2}}{2}"),
        (E * Power0(RowSum(E**2), -sp.Rational(1, 2)), "e / ‖e‖", r"\frac{e}{\|e\|}"),
        (-3 * E * magnitude(E) + 1, None, r"1 - 3\, e \odot |e|"),
        (16 * softmax_of(A), "16 softmax(a)", None),
        (softmax_of(U) - softmax_of(VALUE), "softmax(u) − softmax(v)", None),
        (where_positive(A - 2, A - 2, where_positive(A + 2, sp.Integer(0), A + 2)), "soft(a, 2)", None),
        (RowSum(magnitude(A) ** 4), "Σ a⁴", None),
        (magnitude(A) ** 3 * signum(A), "a³", None),
        (2 * E * where_positive(E, A / 2, sp.Rational(1, 2)), "e · (a if e > 0 else 1)", None),
        (sigmoid(E) ** 3 - step(E - 1), "sigmoid(e)³ − [e > 1]", None),
        (1 / E, "1 / e", r"\frac{1}{e}"),
        (sp.log(sp.Rational(3, 2)) * E, "log(3/2) e", None),
    ],
)
def test_a_formula_is_written_in_the_letters_of_the_mathematics(expr: sp.Expr, text: str | None, latex: str | None) -> None:
    assert text in (None, formula(expr))
    assert latex in (None, formula(expr, LATEX))


@pytest.mark.parametrize(
    ("letters", "index", "latex"),
    [
        ("W₁[t−1]", "", "W_{1}^{[t-1]}"),
        ("W₁₂[start]", "", r"W_{12}^{[\mathrm{start}]}"),
        ("W[decayed]", "", r"W^{[\mathrm{decayed}]}"),
        ("∂ℓ/∂u", "t", r"\partial \ell/\partial u_{t}"),
        ("f̃", "t", r"\tilde{f}_{t}"),
        ("d̄₁", "j", r"\bar{d}_{1,j}"),
        ("Λ[α, decayed]", "tj", r"\Lambda_{tj}^{[\alpha,\, \mathrm{decayed}]}"),
        ("α_value", "l", r"\alpha_{\mathrm{value},l}"),
        ("log α", "t", r"\log \alpha_{t}"),
        ("φ(k)", "t", r"\phi(k_{t})"),
        ("ln_weight", "", r"\mathrm{ln\_weight}"),
    ],
)
def test_letters_become_latex(letters: str, index: str, latex: str) -> None:
    assert latex_name(letters, index) == latex


@pytest.mark.parametrize("name", SPECS)
def test_a_page_says_everything_once_and_before_it_is_used(name: str) -> None:
    """One letter has one meaning; a definition comes first; nothing of the code's own words is left."""
    found = rule(name).equations()
    defined = [each.left for each in found]
    assert len(defined) == len(set(defined))
    place = {each.node: number for number, each in enumerate(found)}
    for number, each in enumerate(found):
        if each.title != "at the end of a full chunk":
            assert all(place[node] <= number for node in nodes_of(Program("under", {"o": each.node})) if node in place), each.text()
        assert each.left != each.right
    text = rule(name).text() + "".join(statement_lines([*bias_statements(rule(name)), *retention_statements(rule(name))]))
    assert not re.search(r"dim_|\bx\d|where_positive|Power0|_slope|signum|magnitude|RowSum|\bNone\b|exp\(\w+ − max", text), text
    titles = [each.title for each in found]
    assert [title for number, title in enumerate(titles) if title not in titles[:number]] == list(dict.fromkeys(titles))


@pytest.mark.parametrize("name", SIX)
def test_the_trace_is_described_in_the_steps_that_it_computes(name: str) -> None:
    trace = rule(name).step.trace
    letters = {label.letters for label in trace.labels.values()}
    for each in equations_of(trace, SECTIONS):
        assert each.left in letters
        assert each.text() in rule(name).trace_text()


def test_the_rule_of_the_gated_delta_net_reads_like_its_paper() -> None:
    lines = rule("gated_delta_net").text().splitlines()
    assert "  W = α W[t−1] − η kᵀ ⊗ e" in lines
    assert lines.index("  W[decayed] = α W[t−1]") < lines.index("  u = k W[decayed]")
    assert "  y = q W" in lines
    assert r"W &= \alpha\, W^{[t-1]} - \eta\, {k}^\top \otimes e" in rule("gated_delta_net").latex()


def test_the_rule_of_titans_has_momentum_and_a_surprise_by_reverse_mode() -> None:
    lines = rule("titans_lmm").text().splitlines()
    assert "  S₁ = μ S₁[t−1] − η kᵀ ⊗ d₁" in lines
    assert "  W₁ = α W₁[t−1] + S₁" in lines
    assert "  d₁ = (d₂ W₂[start]ᵀ) · gelu′(z₁)" in lines
    assert "  z₁[q] = q W₁" in lines


def test_a_memory_that_is_written_once_per_chunk_says_so() -> None:
    """LaCT: the step that writes is at the end of a full chunk, on the page as in the code."""
    text = rule("lact").text()
    end = text[text.index("at the end of a full chunk") :]
    assert "  O₁ = NS₅(Z₁[C])\n  X₁ = W₁[C] + O₁\n  W₁[next] = ‖W₁[start]‖_K · X₁ / max(1e-05, ‖X₁‖_K)" in end


SAID = {
    "lp, as printed": ("moneta", "no gradient of ℓ"),
    "yaad's switch": ("yaad", "no gradient of ℓ"),
    "a clipped slope": ("clipped_delta", "its gradient, shortened to the length 1"),
    "l2": ("gated_delta_net", "(its gradient)"),
    "a multiplier": ("memora", "F′(w) = a − λ, with the multiplier λ for which Σ w = 16"),
    "a printed map": ("moneta", "the map that the paper prints, without a regularizer"),
    "a primal step": ("elastic_net_memory", "W = soft(X, 0.02 η)"),
    "a multiplier of weights": ("chi_square_memory", "ζ is the number for which Σ W = 1"),
}


@pytest.mark.parametrize("case", SAID)
def test_statements_say_how_one_follows_from_the_other(case: str) -> None:
    name, words = SAID[case]
    text = "\n".join(statement_lines([*bias_statements(rule(name)), *retention_statements(rule(name))]))
    assert words in text
    assert ("ψ(a)" in text) == (not rule(name).mirror.primal)


CLOSED = {
    "longhorn": [
        "A_t = β_t A[0] − Σ_{j≤t} G_tj g_j", "β_t = 1", "G_tj = η̃_j",
        "A is W", "[0] marks what entered the chunk", "what the token j takes off A, divided by its η̃, is g_j",
    ],
    "dfw": [
        "A_t = β_t · A[0] − Σ_{j≤t} G_tj · g_j", "β_t = Π_{l=1..t} (α_lᵀ · α_value_l)", "G_tj = η_j · Π_{l=j+1..t} (α_lᵀ · α_value_l)",
        "A is W", "[0] marks what entered the chunk", "what the token j takes off A, divided by its η, is g_j",
    ],
    "delta_product": [
        "A_t = β_t A[0] − Σ_{j≤t} G_tj g_j", "β_t = Π_{l=1..t} α_l", "G_tj = η_j Π_{l=j+1..t} α_l",
        "A is W", "[0] marks what entered the chunk", "what the token j takes off A, divided by its η, is g_j",
        "the indices t, j and l count writes, 2 of a token: α_l is 1 but at the first of them",
    ],
    "lact": [
        "A_t = β_t A[0]", "Z_t = Z[0] + (Σ_{i≤t} μ_i / 2048) S[0] − Σ_{j≤t} η_j g_j", "β_t = Π_{l=1..t} α_l",
        "A is W₁, W₂ and W₃ in turn", "[0] marks what entered the chunk", "what the token j takes off Z, divided by its η, is g_j",
    ],
    "elastic_net_memory": ["every step is mapped to the next weights, so that the state is no decayed sum"],
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_a_chunk_in_closed_form_is_said_as_it_is(name: str) -> None:
    assert rule(name).unrolled_text() == CLOSED[name]


TOKEN = {
    "delta_product": "a token writes 2 rows, one after the other: α is 1 but at the first, and the query reads behind the last of them",
    "omega_huber": "the index j runs over the last 3 tokens, the token itself among them",
    "rwkv7": "the operator's erase_key is κ; its erase_write_key, or k where none is given, is b",
}


@pytest.mark.parametrize("name", TOKEN)
def test_what_no_equation_of_a_token_says_is_said_before_them(name: str) -> None:
    assert rule(name).text().startswith(f"a token\n  {TOKEN[name]}\n\n")


def test_orthogonalized_steps_are_what_adds_up() -> None:
    assert rule("atlas").unrolled_text()[:2] == [
        "A_t = β_t A[0] + Σ_{j≤t} G_tj NS₅(S_j)", "S_t = m_t S[0] − Σ_{j≤t} n_tj g_j",
    ]  # fmt: skip
