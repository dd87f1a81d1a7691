"""The LaTeX of every page compiles: KaTeX, strict, without a browser."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest
from py_mini_racer import MiniRacer

from kit.paths import ROOT, SPEC_FILES
from miras_compiler.analysis import build_dependency_graph, classify_parallel_form
from miras_compiler.derive import derive_update_rule
from miras_compiler.emit.documents.derivation import emit_derivation
from miras_compiler.lower import build_program
from miras_compiler.passes import run_passes
from miras_compiler.spec import load_spec

KATEX = Path(__file__).with_name("katex") / "katex.min.js"  # as it is published; its licence stands beside it
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))


@cache
def engine() -> MiniRacer:
    context = MiniRacer()
    context.eval(KATEX.read_text(encoding="utf-8"))
    return context


def fault(latex: str, *, display: bool) -> str:
    """The complaint of KaTeX about the text; "" where it compiles."""
    options = json.dumps({"displayMode": display, "throwOnError": True, "strict": "error"})
    call = f"try {{ katex.renderToString({json.dumps(latex)}, {options}); '' }} catch (error) {{ error.message }}"
    return str(engine().eval(call))


def formulas(markdown: str) -> list[tuple[str, bool]]:
    """The blocks and the formulas inside lines, code apart."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", markdown, flags=re.DOTALL)
    blocks = re.findall(r"^\$\$\n(.*?)\n\$\$$", text, flags=re.DOTALL | re.MULTILINE)
    lines = re.findall(r"\$([^$\n]+)\$", re.sub(r"^\$\$\n.*?\n\$\$$", "", text, flags=re.DOTALL | re.MULTILINE))
    return [*((each, True) for each in blocks), *((each, False) for each in lines)]


@pytest.mark.parametrize("path", SPEC_FILES, ids=lambda path: path.stem)
def test_every_formula_of_a_derivation_compiles(path: Path) -> None:
    rule = derive_update_rule(load_spec(path))
    form = classify_parallel_form(rule, build_dependency_graph(rule))
    page = emit_derivation(rule, form, run_passes(build_program(rule, form)))
    found = formulas(page)
    assert sum(display for _, display in found) > 4
    assert {latex: fault(latex, display=display) for latex, display in found if fault(latex, display=display)} == {}
    assert fault(rule.latex(), display=True) == ""


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_formula_of_the_documents_compiles(path: Path) -> None:
    faults = {latex: fault(latex, display=display) for latex, display in formulas(path.read_text(encoding="utf-8"))}
    assert {latex: message for latex, message in faults.items() if message} == {}


def test_a_formula_that_is_none_is_refused() -> None:
    assert "Double superscript" in fault("S^{a}^{b}", display=True)
    assert "nicode" in fault("ж", display=True)
