"""A spec is the same value from YAML, from Python, with options, and after a trip through its normal form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.paths import SPEC_FILES, SPECS
from kit.spec_texts import SPEC, edited, told
from miras_compiler.elements.bias import FormulaBias, YaadSwitchBias
from miras_compiler.elements.memory import MatrixMemory, MemoryInit, MLPMemory
from miras_compiler.elements.retention import L2Retention
from miras_compiler.errors import SpecError
from miras_compiler.spec import (
    Chunk,
    LedgerEntry,
    Spec,
    build_spec,
    check_spec,
    digest,
    load_spec,
    normalized_yaml,
    parse_override,
    parse_spec,
)
from miras_compiler.spec.gates import Gate

TOKEN = {"per": "head", "source": "input", "low_rank": 32}


def of(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"kind": st.just(kind)}, optional=fields)


POSITIVE = st.floats(1e-9, 1e9, exclude_min=True)
LINES = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=30)
MEMORIES = of("matrix", norm=st.sampled_from(["none", "layer", "rms"]), init=st.fixed_dictionaries({"std": POSITIVE})) | of(
    "mlp", layers=st.integers(1, 4), activation=st.sampled_from(["gelu", "relu"]), residual=st.booleans()
)
BIASES = st.one_of(
    of("l2", scale=POSITIVE),
    of("lp", p=st.floats(1, 8), smooth=st.booleans(), slope=POSITIVE),
    of("huber", delta=st.just("delta") | POSITIVE),
    of("epsilon_insensitive", epsilon=st.floats(0, 1e9)),
    st.just({"kind": "formula", "loss": "sum(log(cosh(beta*(u - v))))"}),
)
RETENTIONS = (
    of("none") | of("l2") | of("kl", total=POSITIVE, slice=st.sampled_from(["input", "output", "all"])) | of("lq", q=st.floats(1.5, 2))
)
ENTRIES = st.fixed_dictionaries(
    {"equation": LINES, "status": st.sampled_from(["faithful", "deviation", "novel"])}, optional={"note": LINES | st.just("yes")}
)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """The tree of a spec that is right, with some keys left to their defaults."""
    tree: dict[str, Any] = {
        "name": draw(st.sampled_from(["x", "yes", "null_", "Memory9"])),
        "paper": draw(LINES),
        "memory": draw(MEMORIES),
        "attentional_bias": draw(BIASES),
        "retention": draw(RETENTIONS),
        "optimizer": {"kind": draw(st.sampled_from(["gradient_descent", "momentum"]))},
        "chunk": {"size": draw(st.integers(1, 2**20)), "gradient": draw(st.sampled_from(["exact", "chunk_start"]))},
        "layer": {"heads": 2, "head_dim": draw(st.integers(1, 256))},
        "ledger": draw(st.lists(ENTRIES, max_size=2)),
    }
    inside = st.floats(0.01, 0.99) | st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2)
    wanted = Spec.unchecked({**tree, "gates": {}}).used_gates()
    tree["gates"] = {name: draw(st.fixed_dictionaries({}, optional={"init": inside, "low_rank": st.none()})) for name in wanted}
    return tree


@pytest.mark.slow
@given(trees())
def test_the_normal_form_of_a_spec_reads_back_as_the_same_spec(tree: dict[str, Any]) -> None:
    spec = build_spec(tree)
    again = parse_spec(normalized_yaml(spec), "spec.yaml")
    assert again == spec
    assert (normalized_yaml(again), digest(again)) == (normalized_yaml(spec), digest(spec))


@pytest.mark.slow
@given(trees(), st.randoms(use_true_random=False))
def test_the_digest_depends_on_no_order_of_keys_and_on_no_default_written_out(tree: dict[str, Any], random: Any) -> None:
    keys = random.sample(sorted(tree), len(tree))
    shuffled = {key: tree[key] for key in keys}
    shuffled["gates"] = {name: {**tree["gates"][name], **TOKEN} if "low_rank" not in tree["gates"][name] else tree["gates"][name]
                         for name in sorted(tree["gates"], reverse=True)}  # fmt: skip
    shuffled["feature_map"] = {"kind": "identity"}
    assert digest(build_spec(shuffled)) == digest(build_spec(tree))


@pytest.mark.parametrize("path", SPEC_FILES, ids=lambda path: path.stem)
def test_a_shipped_spec_reads_back_from_its_normal_form(path: Path) -> None:
    spec = load_spec(path)
    again = parse_spec(normalized_yaml(spec), "spec.yaml")
    assert (again, digest(again), spec.name) == (spec, digest(spec), path.stem)


def test_the_digest_does_not_depend_on_comments_and_layout_but_on_every_value() -> None:
    spec = parse_spec(SPEC, "x.yaml")
    rewritten = "# a comment\n" + SPEC.replace("{kind: matrix}", "\n  kind: 'matrix'  # a comment\n")
    assert digest(parse_spec(rewritten, "elsewhere.yaml")) == digest(spec)
    assert digest(parse_spec(edited(("eta: {}", "eta: {init: 0.03}")), "x.yaml")) != digest(spec)


def test_a_spec_built_in_python_equals_the_one_in_a_file() -> None:
    yaad = load_spec(SPECS / "yaad.yaml")
    built = Spec(
        name="yaad",
        paper=yaad.paper,
        memory=MLPMemory(layers=2, expansion=4, activation="gelu", residual=True, norm="layer", init=MemoryInit(std=0.3)),
        attentional_bias=YaadSwitchBias(scale=2, delta="delta"),
        retention=L2Retention(order="after_gradient"),
        gates={"delta": Gate(init=24), "eta": Gate(init=0.002), "alpha": Gate(init=0.999, range=(0.998, 1))},
        chunk=Chunk(size=16, gradient="chunk_start"),
        ledger=tuple(LedgerEntry(**entry.model_dump()) for entry in yaad.ledger),
    )
    check_spec(built)
    assert built == yaad
    assert digest(built) == digest(yaad)
    assert (built.location, built.where("memory.kind")) == ("", "memory.kind")
    assert yaad.where("memory.activation").endswith("specs/yaad.yaml:3")


def test_errors_of_a_spec_built_in_python_name_dotted_keys() -> None:
    with pytest.raises(SpecError) as caught:
        Spec(
            name="x",
            memory=MatrixMemory(),
            attentional_bias=FormulaBias(loss="sum(u*v*alpha)"),
            retention=L2Retention(),
            gates={"alpha": Gate(), "eta": Gate(init=-1.0)},
        )
    assert [problem.where for problem in caught.value.problems] == ["attentional_bias.loss", "gates.eta.init"]
    with pytest.raises(SpecError, match=r"^chunk\.size: chunk\.size should be a whole number, not 'a'$"):
        build_spec(
            {"name": "x", "memory": {"kind": "matrix"}, "attentional_bias": {"kind": "l2"}, "gates": {"eta": {}}, "chunk": {"size": "a"}}
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chunk.size=32", ("chunk.size", 32)),
        (" layer.heads = 8 # few", ("layer.heads", 8)),
        ("attentional_bias={kind: lp, p: 1.5}", ("attentional_bias", {"kind": "lp", "p": 1.5})),
        ("gates.eta.init=[0.1, 1e-3]", ("gates.eta.init", [0.1, 0.001])),
        ("paper=a=b", ("paper", "a=b")),
        ("paper=", ("paper", None)),
    ],
)
def test_an_option_is_a_key_and_a_yaml_value(text: str, expected: tuple[str, Any]) -> None:
    assert parse_override(text) == expected


def test_an_option_sets_a_key_that_is_there_or_not() -> None:
    text = edited(more="ledger: [{equation: '1', status: novel}]\n")
    spec = parse_spec(text, "x.yaml", {"layer.heads": 2, "gates.eta.init": [0.1, 0.2], "ledger.0.note": "hi", "retention": {"kind": "kl"}})
    assert (spec.layer.heads, spec.gates["eta"].init, spec.ledger[0].note, spec.retention.kind) == (2, (0.1, 0.2), "hi", "kl")
    assert spec.where("gates.eta.init") == "--set gates.eta.init"
    assert spec.where("retention.slice") == "--set retention"
    assert spec.where("gates.alpha") == "x.yaml:6"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"chunk.size": 1.5}, "--set chunk.size: chunk.size should be a whole number, not 1.5"),
        ({"memory.kind": "mlx"}, "--set memory.kind: unknown memory 'mlx'; did you mean 'mlp'?"),
        ({"gates.mu.init": 0.3}, "--set gates.mu.init: the gate 'mu' is declared and nothing reads it; "
                                 "remove it; the rule reads alpha, eta"),
        ({"chunk.0": 1}, "--set chunk.0: unknown key '0'; choose from gradient, read, reset, retention, size"),
        ({"layer.heads.x": 1}, "--set layer.heads.x: layer.heads should be a whole number, not a mapping of keys"),
        ({"name.x": 1}, "--set name.x: 'x' cannot be set here; its parent is neither a mapping nor a list that long; set the parent"),
        ({"name.x.y": 1}, "--set name.x.y: there is nothing under 'x' to set 'y' in; name keys as in the spec: retention.q"),
        ({"ledger." + "9" * 5000: 1}, f"--set ledger.{'9' * 50}...: ledger should be a list, not a mapping of keys"),
        ({"": 1}, "--set : a key without a name; name keys as in the spec: retention.q"),
        ({"chunk..size": 1}, "--set chunk..size: a key without a name; name keys as in the spec: retention.q"),
        ({"a\nb": 1}, r"--set a\nb: unknown key 'a\nb'; choose from attentional_bias, chunk, feature_map, gates, layer, ledger, memory, "
                      "model, name, optimizer, paper, retention"),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_message_about_an_option_names_it(overrides: dict[str, object], line: str) -> None:
    assert told(SPEC, overrides) == [line]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("chunk.size", "--set chunk.size: no key=value; for example --set chunk.size=32"),
        ("x" * 100, f"--set {'x' * 57}...: no key=value; for example --set chunk.size=32"),
        ("a={b: 1, b: 2}", "--set a:1:8: 'b' is given twice; first in line 1; keep one"),
        ("a=&b 3", "--set a:1:1: an anchor or alias; a spec repeats nothing that is worth one; write the value out"),
        ("a=" + "[" * 10_000, "--set a:1:65: brackets nested deeper than 64"),
        ("a=" + "x" * 300_000, "--set a:1:262145: longer than 256 KiB; a spec is a page of text"),
    ],
    ids=lambda value: value[:20],
)
def test_an_option_that_cannot_be_read_is_told(text: str, line: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_override(text)
    assert str(caught.value) == line
