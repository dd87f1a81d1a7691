"""Verification refuses packages whose files were damaged, and packages that leave, hang or lie in their own process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from kit.damages import copy_of, rows_that_fail, seen_by
from miras_compiler import verify_package
from miras_compiler.verify import process
from miras_compiler.verify.checks import CHECKS
from miras_compiler.verify.opened import open_processes
from miras_compiler.verify.subject import Subject
from miras_compiler.verify.verification import check_subject

pytestmark = pytest.mark.slow

NAME = "gated_delta_net"
LAYER = ("forward_and_gradients", "starts", "defaults", "cache", "padding_and_packing")
FORMS = ("literal_forward", "recurrent_gradients", "parallel_form", "chunk_gradients", "packing", "least_decay", "boundaries")
TRITON = ("single_precision", "decoding")


def put(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("file", "old", "new", "row"),
    [
        ("layer.py", "torch.sigmoid(self.eta_gate(x))", "self.eta_gate(x)", "forward_and_gradients"),
        ("layer.py", "functional.softplus(self.alpha_gate(x))", "self.alpha_gate(x)", "forward_and_gradients"),
        ("layer.py", "k = unit(", "k = (", "forward_and_gradients"),
        ("layer.py", "silu(wide(self.g_proj(x)))", "gelu(wide(self.g_proj(x)))", "forward_and_gradients"),
        ("layer.py", "logit(0.5)", "logit(0.6)", "starts"),
        ("layer.py", "heads: int = 16", "heads: int = 8", "defaults"),
        ("layer.py", 'past.conv_state.get("k")', 'past.conv_state.get("q")', "cache"),
        ("layer.py", '.get("q"), cu_seqlens', '.get("q"), None', "padding_and_packing"),
    ],
)
def test_a_damaged_layer_is_seen(file: str, old: str, new: str, row: str) -> None:
    assert row in seen_by(NAME, file, put(old, new), LAYER)


@pytest.mark.parametrize(
    ("file", "old", "new", "row"),
    [
        ("recurrent.py", "e = u - v", "e = u + v", "literal_forward"),
        ("chunked.py", "seen - v", "seen + v", "parallel_form"),
        ("chunked.py", "min=-60", "min=-61", "least_decay"),
        ("chunked.py", "output_final_state: bool = False", "output_final_state: bool = True", "boundaries"),
        ("ops.py", "output_final_state, cu_seqlens, backend", "output_final_state, None, backend", "packing"),
        ("contract.py", '"eta": "BTH"', '"eta": "BTHK"', "literal_forward"),
    ],
)
def test_a_damaged_form_is_seen(file: str, old: str, new: str, row: str) -> None:
    assert row in seen_by(NAME, file, put(old, new), FORMS)


@pytest.mark.parametrize(
    ("file", "old", "new", "row"),
    [
        ("kernels.py", "beta = exp(", "beta = 1.001 * exp(", "single_precision"),
        ("decode.py", "e = u - v", "e = u + v", "decoding"),
    ],
)
def test_a_damaged_kernel_is_seen_without_a_gpu(file: str, old: str, new: str, row: str) -> None:
    assert row in seen_by(NAME, file, put(old, new), TRITON)


def test_backward_kernels_that_reach_beyond_the_buffers_of_a_part_are_seen_without_a_gpu() -> None:
    """All are damaged alike, so each reads the values that another wrote behind the end of a buffer."""
    assert seen_by(NAME, "kernels.py", lambda text: text.replace("index - low", "index + low"), ("in_parts",)) == ["in_parts"]


def test_a_damaged_kernel_of_wide_heads_is_seen_without_a_gpu() -> None:
    """It goes through channels in blocks, and serves no narrow head; --quick leaves it out."""

    def damaged(text: str) -> str:
        before, kernel, after = text.partition("def post_wide(")
        return before + kernel + after.replace("d_L * G_decayed", "d_L + G_decayed", 1)

    assert seen_by(NAME, "kernels.py", damaged, ("wide",), quick=False) == ["wide"]


def test_a_damaged_kernel_that_walks_tokens_is_seen_without_a_gpu() -> None:
    """elastic_net_memory has no kernels over tiles."""
    damage = put("alpha * d_moved + d_e", "alpha * d_moved - d_e")
    assert seen_by("elastic_net_memory", "kernels.py", damage, ("single_precision",)) == ["single_precision"]


def emptied(text: str) -> str:
    return ""


def without_an_edge(text: str) -> str:
    graph = json.loads(text)
    graph["edges"].pop()
    return json.dumps(graph, indent=2) + "\n"


def with_field(key: str, value: Any) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), key: value}, ensure_ascii=False, indent=2) + "\n"


@pytest.mark.parametrize(
    ("file", "change", "row"),
    [
        ("derivation.md", emptied, "documents"),
        ("derivation.md", put("e = u - v", "e = u + v"), "documents"),
        ("graph.dot", emptied, "documents"),
        ("graph.svg", emptied, "documents"),
        ("graph.json", without_an_edge, "documents"),
        ("spec.yaml", put("scale: 1.0", "scale: 2.0"), "documents"),
        ("manifest.json", emptied, "identity"),
        ("manifest.json", with_field("name", "delta_net"), "identity"),
        ("manifest.json", with_field("digest", "0" * 12), "identity"),
        ("manifest.json", with_field("compiler_version", "0.0.9"), "identity"),
        ("manifest.json", with_field("dims", {"H": 8, "K": 64, "V": 64}), "identity"),
        ("manifest.json", with_field("paper", "another"), "identity"),
        ("manifest.json", with_field("kernels", {"triton": False}), "documents"),
        ("manifest.json", with_field("cost", []), "documents"),
        ("__init__.py", emptied, "exports"),
        ("layer.py", put("Works under autocast", "Works"), "code"),
        ("runtime_gates.py", put("wide(", "("), "shared"),
    ],
)
def test_a_package_that_says_something_else_of_itself_is_seen(file: str, change: Callable[[str], str], row: str) -> None:
    assert row in seen_by(NAME, file, change, ("exports", "identity", "documents", "code", "shared"))


def test_a_package_as_it_is_written_passes_the_rows_of_its_texts_and_layer() -> None:
    with copy_of(NAME) as (folder, written):
        assert rows_that_fail(folder, written, ("exports", "identity", "documents", "code", "shared", *LAYER)) == []


def test_models_are_a_row_of_their_own_that_needs_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose models cannot be imported has a layer all the same, and can be verified where transformers is not installed."""
    rows = [check for check in CHECKS if check.run.__name__ in ("exports", "models")]
    with copy_of(NAME) as (folder, written):
        (folder / f"modeling_{NAME}.py").write_text("raise ImportError('no transformers here')\n", encoding="utf-8")
        with open_processes(folder, NAME, written.layer, kernels=False) as package:
            subject = Subject(written.spec.model_dump(by_alias=True), package, written=written)
            assert [row.passed for row in check_subject(subject, checks=rows)] == [True, False]
            monkeypatch.setitem(sys.modules, "transformers", None)
            assert [row.result for row in check_subject(subject, checks=rows)] == ["passed", "not run"]


FUTURE = "from __future__ import annotations\n"
LEAVES = {
    "at import": put(FUTURE, f"{FUTURE}import os; os._exit(0)\n"),
    "at import, politely": put(FUTURE, f"{FUTURE}import sys; sys.exit(0)\n"),
    "when it is called": put("e = u - v", "import os; os._exit(0)"),
}


@pytest.mark.parametrize("case", LEAVES)
def test_a_package_that_ends_its_process_fails_its_rows(case: str) -> None:
    with copy_of(NAME) as (folder, written):
        path = folder / "recurrent.py"
        path.write_text(LEAVES[case](path.read_text(encoding="utf-8")), encoding="utf-8")
        if case == "when it is called":
            assert rows_that_fail(folder, written, ("exports", "literal_forward", "literal_trace")) == ["literal_forward", "literal_trace"]
        else:
            report = verify_package(
                written.spec,
                folder,
                quick=True,
            )
            assert not report.passed
            assert [row.subject for row in report.findings] == ["imports, and exports its operators and its layer"]


def test_a_package_that_leaves_politely_when_it_is_called_fails_its_rows() -> None:
    change = put("e = u - v", "raise SystemExit(0)")
    assert "literal_forward" in seen_by(NAME, "recurrent.py", change, ("literal_forward",))


def test_a_package_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PATIENCE", 5.0)
    change = put("e = u - v", "[None for _ in iter(int, 1)]")
    assert "literal_trace" in seen_by(NAME, "recurrent.py", change, ("literal_trace",))


def test_a_package_that_changes_its_arguments_is_seen() -> None:
    change = put("e = u - v", "e = u.sub_(v); v.add_(1)")
    assert "literal_trace" in seen_by(NAME, "recurrent.py", change, ("literal_trace",))


@pytest.mark.parametrize("words", ["import torch; torch.equal = lambda *given: True", "import math; math.isfinite = lambda x: True"])
def test_a_package_that_changes_the_measures_changes_them_in_its_own_process_only(words: str) -> None:
    change = put("e = u - v", f"{words}; e = u + v")
    assert "literal_forward" in seen_by(NAME, "recurrent.py", change, ("literal_forward",))
