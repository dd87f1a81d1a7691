"""derivation.md, manifest.json and spec.yaml of the shipped models: their content, and nothing raw is left in them."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from matplotlib.mathtext import MathTextParser

from kit.compiled import compilation
from kit.paths import SPECS
from miras_compiler.compiler import Compilation, compile_spec
from miras_compiler.spec import digest, load_spec, parse_spec
from miras_compiler.version import __version__

NAMES = ("titans_lmm", "yaad", "moneta", "memora", "gated_delta_net", "linear_attention")
PARSER = MathTextParser("agg")
RAW = r"dim_|\bx\d|where_positive|Power0|_slope|signum|magnitude|RowSum|RowMax|\bNone\b|<class|Symbol\(|object at|\bSum\(|\bProduct\("


@cache
def compiled(name: str) -> Compilation:
    return compilation(name)


def text(name: str, path: str) -> str:
    return next(file.text for file in compiled(name).files if file.path == path)


def manifest(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(text(name, "manifest.json"))
    return content


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_derivation_goes_from_the_loss_to_the_ledger(name: str) -> None:
    document, spec = text(name, "derivation.md"), compiled(name).spec
    headings = re.findall(r"^#+ (.*)$", document, re.MULTILINE)
    order = [
        f"{name}: the derivation",
        "Attentional bias",
        "Retention",
        "Update rule of one token",
        "Unrolled over a chunk",
        "Parallel form",
    ]
    assert [heading for heading in headings if heading in order] == order
    assert headings[-1] == "Ledger"
    assert spec.ledger
    for entry in spec.ledger:
        assert f"| {entry.equation} | {entry.status} | {entry.note} |" in document
    reason = compiled(name).parallel_form.reason.replace(str(SPECS / f"{name}.yaml"), f"{name}.yaml")
    assert f"{compiled(name).parallel_form.kind.replace('_', ' ').capitalize()}: {reason}." in document
    assert digest(spec) in document


@pytest.mark.parametrize("name", NAMES)
def test_nothing_raw_is_left_in_a_derivation(name: str) -> None:
    document = text(name, "derivation.md")
    assert not re.search(RAW, document)
    assert document.count("$$") % 2 == 0
    assert document.count(r"\begin{") == document.count(r"\end{")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_equation_of_a_derivation_parses_as_tex(name: str) -> None:
    equations = []
    for block in re.findall(r"\$\$\n(.*?)\n\$\$", text(name, "derivation.md"), re.DOTALL):
        rows = re.sub(r"\\(begin|end)\{aligned\}", "", block).strip()
        equations += [rows] if r"\begin" in rows else [row.strip() for row in rows.split(r" \\")]
    assert len(equations) > 10
    for equation in equations:
        if "cases" not in equation:  # matplotlib knows none
            PARSER.parse(f"${equation.replace('&', '').replace(chr(92) + 'le ', chr(92) + 'leq ')}$", dpi=72)


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_has_the_keys_of_the_contract(name: str) -> None:
    content, spec = manifest(name), compiled(name).spec
    assert {"name", "digest", "compiler_version", "paper", "dims", "inputs", "state", "parallel_form", "chunk", "cost", "ops"} <= set(
        content
    )
    assert (content["name"], content["digest"], content["compiler_version"]) == (name, digest(spec), __version__)
    assert content["paper"] == spec.paper
    assert content["parallel_form"]["kind"] == compiled(name).parallel_form.kind
    assert content["parallel_form"]["exact"] is True
    assert str(SPECS) not in text(name, "manifest.json")
    assert content["chunk"] == spec.chunk.model_dump()
    assert content["ops"] == {each: f"{each}_{name}" for each in ("naive_recurrent", "chunk", "fused_recurrent")}
    assert [line["what"] for line in content["cost"]] == [line.what for line in compiled(name).cost]


INPUTS = {"q": "BTHK", "k": "BTHK", "v": "BTHV", "log_alpha": "BTH", "eta": "BTH", "log_mu": "BTH", "delta": "BTH"}
INPUTS |= {"ln_weight": "HV", "ln_bias": "HV"}
STATE = {"W": "BHKV", "W1": "BHKN", "W2": "BHNV", "position": "B", "log_beta": "BH"}


@pytest.mark.parametrize(
    ("name", "inputs", "state"),
    [
        ("titans_lmm", "q k v log_alpha eta log_mu ln_weight ln_bias", "W1 W2 W1_momentum W2_momentum W1_start W2_start position"),
        ("yaad", "q k v log_alpha eta delta ln_weight ln_bias", "W1 W2 W1_start W2_start position"),
        ("moneta", "q k v log_alpha eta ln_weight ln_bias", "W1 W2 W1_start W2_start position log_beta"),
        ("memora", "q k v log_alpha eta ln_weight ln_bias", "W1 W2 W1_start W2_start position"),
        ("gated_delta_net", "q k v log_alpha eta", "W"),
        ("linear_attention", "q k v eta", "W"),
    ],
)
def test_a_manifest_lists_inputs_and_state_with_their_axes(name: str, inputs: str, state: str) -> None:
    content = manifest(name)
    assert {each["name"]: "".join(each["axes"]) for each in content["inputs"]} == {each: INPUTS[each] for each in inputs.split()}
    assert all(each["role"] and each["domain"] for each in content["inputs"])
    assert {each["name"]: "".join(each["axes"]) for each in content["state"]} == {
        each: STATE[each.split("_m")[0].split("_s")[0]] for each in state.split()
    }
    deep = name not in ("gated_delta_net", "linear_attention")
    assert content["dims"] == {"H": 16, "K": 64, "V": 64} | ({"N": 256} if deep else {})


def test_the_domain_of_a_gate_is_that_of_its_letter() -> None:
    domains = {each["name"]: each["domain"] for each in manifest("titans_lmm")["inputs"] + manifest("yaad")["inputs"]}
    assert {name: domains[name] for name in ("log_alpha", "log_mu", "eta", "delta", "q")} == {
        "log_alpha": "[-inf, 0]", "log_mu": "[-inf, 0]", "eta": ">= 0", "delta": "> 0", "q": "real",
    }  # fmt: skip


def test_axes_of_a_gate_per_channel_have_its_letter() -> None:
    gates = {"alpha": {"per": "key_channel"}, "eta": {}}
    spec = load_spec(SPECS / "gated_delta_net.yaml", {"gates": gates})
    content = json.loads(next(file.text for file in compile_spec(spec).files if file.path == "manifest.json"))
    assert next(each["axes"] for each in content["inputs"] if each["name"] == "log_alpha") == ["B", "T", "H", "K"]


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_of_a_package_loads_as_the_same_spec_with_every_default_written_out(name: str) -> None:
    again = parse_spec(text(name, "spec.yaml"), "spec.yaml")
    assert again == compiled(name).spec
    assert digest(again) == digest(compiled(name).spec)
    assert set(again.model_dump()) <= {line.split(":")[0] for line in text(name, "spec.yaml").splitlines()}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "says"), [("moneta", True), ("entropy_memory", True), ("gated_delta_net", False), ("lact", False)])
def test_every_operator_says_that_its_weights_are_dual_where_they_are_not_what_is_read(name: str, says: bool) -> None:
    spec = load_spec(SPECS / f"{name}.yaml", {"layer.heads": 2, "layer.head_dim": 4, "layer.value_dim": 4})
    texts = {file.path: " ".join(file.text.split()) for file in compile_spec(spec).files if file.path.endswith(".py")}
    for path in ("ops.py", "recurrent.py", "chunked.py", "layer.py"):
        assert ("the dual state A, the decayed sum of all writes; the memory reads ψ(A)" in texts[path]) == says
