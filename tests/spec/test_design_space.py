"""README's design-space table is the output of `miras list --space`. With `--update-generated` it is rewritten instead."""

from __future__ import annotations

import itertools
import re
import time

import pytest

from kit.paths import ROOT
from miras_compiler import compile_spec
from miras_compiler.cli import main
from miras_compiler.cli.design_space import (
    Known,
    count_product,
    faults_by_parts,
    form_of,
    product_of_choices,
    space_markdown,
    spec_of,
)
from miras_compiler.elements.kinds import KINDS
from miras_compiler.spec.checks import faults_of
from miras_compiler.spec.parameters import SAMPLES

README = ROOT / "README.md"
SECTION = re.compile(r"(<!-- design space: .*? -->\n)(.*?)(<!-- end of the design space -->)", re.DOTALL)
CHOICE = {"memory": "matrix", "feature_map": "identity", "attentional_bias": "l2", "retention": "l2", "optimizer": "gradient_descent"}


@pytest.fixture(scope="module")
def table() -> str:
    return space_markdown()


@pytest.mark.slow
def test_the_readme_holds_what_the_command_prints(
    table: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("miras_compiler.cli.design_space.space_markdown", lambda: table)
    assert main(["list", "--space"]) == 0
    printed = capsys.readouterr().out
    text = README.read_text(encoding="utf-8")
    if request.config.getoption("--update-generated"):
        text = SECTION.sub(lambda match: match[1] + printed + match[3], text)
        README.write_text(text, encoding="utf-8")
    found = SECTION.search(text)
    assert found is not None
    assert found[2] == printed, "README's design space is not current: run `pytest tests/spec/test_design_space.py --update-generated`"


@pytest.mark.slow
def test_every_kind_is_a_row_with_its_formula_two_verdicts_and_two_kernels(table: str) -> None:
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines() if line.startswith("| `")]
    elements = [element for kinds in KINDS.values() for element in kinds.values()]
    assert [row[0].strip(" `") for row in rows] == [kind for kinds in KINDS.values() for kind in kinds]
    assert [row[1].strip().replace("\\|", "|") for row in rows] == [element.formula for element in elements]
    assert all(len(row) == 6 and all(cell.strip() for cell in row) for row in rows)
    for row in rows:  # every accepted spec has kernels; the only refusals are sizes, with the bytes and the widths that fit
        for form, kernel in ((row[2].strip(), row[3].strip()), (row[4].strip(), row[5].strip())):
            walk = r"(chunk )?walk; refused: a state with .* takes \d+ bytes of registers; one with .* would fit"
            tiles = r"tiles; refused: \w+: a tile with .* takes \d+ bytes of shared memory; one with .* would fit"
            assert form.startswith("refused") == (kernel == "–")
            assert kernel in ("tiles", "chunk walk", "walk", "–") or re.fullmatch(f"{walk}|{tiles}", kernel), kernel


def test_a_verdict_is_that_of_the_whole_compiler() -> None:
    for kind, gradient in (("huber", "exact"), ("l2", "chunk_start")):
        spec = spec_of({**CHOICE, "attentional_bias": kind}, gradient)
        assert form_of(spec) == compile_spec(spec).parallel_form.kind.replace("_", " ")


def test_a_refusal_is_the_reason_that_check_gives() -> None:
    spec = spec_of({**CHOICE, "optimizer": "nesterov"}, "chunk_start")
    assert form_of(spec) == "refused: the optimizer nesterov needs chunk.gradient: exact"
    assert [fault.what for fault in faults_of(spec)] == ["the optimizer nesterov needs chunk.gradient: exact"]


@pytest.mark.slow
def test_the_count_is_that_of_all_checks_on_every_combination() -> None:
    """The count runs a check once for all combinations that are alike to it; here a sample of them goes through every check."""
    start = time.process_time()
    accepted, refused, reasons = count_product()
    assert time.process_time() - start < 20
    combinations = list(product_of_choices())
    assert accepted + refused == len(combinations) == 2 * 4 * 11 * 11 * 6
    cheap = [(choice, gradient) for choice, gradient in combinations if choice["retention"] not in ("bregman", "f_divergence")]
    known: Known = {}
    for choice, gradient in itertools.islice(cheap, 0, None, 7):
        cached = {fault.what for fault in faults_by_parts(choice, gradient, known)}
        assert cached == {fault.what for fault in faults_of(spec_of(choice, gradient))}
    assert max(reasons.values()) <= refused


def test_every_sample_belongs_to_a_kind() -> None:
    assert all(kind in KINDS[axis] for axis, kind in SAMPLES)


@pytest.mark.parametrize("arguments", [["retention", "--space"], ["--space", "--json"]], ids=" ".join)
def test_a_part_of_the_space_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", *arguments]) == 2
    assert "--space prints the whole design space" in capsys.readouterr().err
