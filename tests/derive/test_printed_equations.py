"""Every printed equation of every spec, in plain text and in LaTeX, read back and evaluated against the numpy interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kit.checked_pages import faults, latex_of, text_of
from kit.equation_values import derived, spec_of
from kit.paths import SPEC_FILES, SPECS
from kit.printed_equations import Page
from kit.printed_latex import meaning, rows_of
from miras_compiler import load_spec, normalized_yaml


@pytest.mark.parametrize("path", SPEC_FILES, ids=lambda path: path.stem)
def test_every_equation_in_plain_text_holds(path: Path) -> None:
    """Formulas of bias and retention, the token, the tile, and the sums over a chunk, which are the recurrence token after token."""
    rule, form, _ = derived(path)
    places = text_of(path)
    assert bool(places["unrolled"]) == (spec_of(path).retention.space == "dual" or rule.update.waits)
    assert ("tile" in places) == (form.kind != "token_by_token")
    assert faults(path, places, latex=False) == []


@pytest.mark.parametrize("path", SPEC_FILES, ids=lambda path: path.stem)
def test_every_equation_of_a_derivation_holds(path: Path) -> None:
    rule, _, _ = derived(path)
    places = latex_of(path)
    assert {place: len(rows) for place, rows in text_of(path).items() if rows} == {
        place: len(rows) - (place == "row") for place, rows in places.items()
    }
    assert faults(path, places, latex=True) == []
    assert rows_of(rule.latex()) == places["token"] + places.get("end", [])


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("chi_square_memory", "retention.slice", "output"),
        ("chi_square_memory", "retention.slice", "all"),
        ("memora", "retention.slice", "output"),
    ],
)
def test_equations_of_a_multiplier_per_row_hold(name: str, key: str, value: str, tmp_path: Path) -> None:
    """A number per row of a matrix stands upright."""
    path = tmp_path / "changed.yaml"
    path.write_text(normalized_yaml(load_spec(SPECS / f"{name}.yaml", {key: value})), encoding="utf-8")
    assert faults(path, text_of(path), latex=False) + faults(path, latex_of(path), latex=True) == []


def page() -> Page:
    return Page({"x": (np.array([1.0, 2.0]), ("v",)), "y": (np.array([3.0, 4.0]), ("v",)), "c": (np.asarray(2.0), ())}, {"t": 2})


@pytest.mark.parametrize(
    "text",
    [
        r"x\, y",
        "c x",
        r"c\, z",
        r"x \otimes y",
        r"\operatorname{cosine}(x)",
        r"c\, (x",
        r"x_{j}",
        r"{x}^\top \odot",
        "ж",
        r"\psi(x)",
        "c c",
    ],
)
def test_what_the_notation_does_not_say_is_no_equation(text: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        meaning(page(), text)({})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"c\, x", [[2, 4]]), (r"x \odot y", [[3, 8]]), (r"x\, {y}^\top", [[11]]), (r"\|x\|", [[5**0.5]]), (r"\frac{x}{c}", [[0.5, 1]]),
        (r"{x}^\top \otimes y", [[3, 4], [6, 8]]), (r"c - x", [[1, 0]]), (r"[y > 3]", [[0, 1]]), (r"5 \cdot 10^{-1}\, x", [[0.5, 1]]),
        (r"\begin{cases} x & \text{if } y > 3 \\ c & \text{else} \end{cases}", [[2, 2]]), (r"\sum x \odot y", [[11]]),
    ],
)  # fmt: skip
def test_what_the_notation_says_is_evaluated(text: str, value: list[list[float]]) -> None:
    np.testing.assert_allclose(meaning(page(), text)({}).array, value)


NAMED_GATE = """
name: drawn
memory: {{kind: mlp, norm: layer, residual: true}}
attentional_bias: {{kind: huber, delta: {0}}}
retention: {{kind: l2}}
optimizer: {{kind: momentum}}
gates: {{alpha: {{}}, eta: {{}}, mu: {{}}, {0}: {{init: 1.0}}}}
chunk: {{size: 4, gradient: chunk_start}}
"""


@pytest.mark.parametrize("name", "A S f h d alpha_t mean width".split())
def test_a_gate_of_any_name_reads_as_no_other_letter_of_the_page(name: str, tmp_path: Path) -> None:
    path = tmp_path / "drawn.yaml"
    path.write_text(NAMED_GATE.format(name), encoding="utf-8")
    found = faults(path, text_of(path), latex=False) + faults(path, latex_of(path), latex=True)
    assert found == []
    assert ("_gate" in derived(path)[0].text()) == (name != "width")
