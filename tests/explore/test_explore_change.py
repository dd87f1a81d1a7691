"""A key of a spec is set in its text by a menu: nothing else of the text changes, and the gates follow the kinds."""

from __future__ import annotations

from difflib import ndiff
from pathlib import Path
from typing import Any

import pytest

from miras_compiler.errors import InputError, SpecError
from miras_compiler.explore.change import Changed, changed, removed
from miras_compiler.spec import parse_spec
from miras_compiler.spec.overrides import with_overrides
from miras_compiler.spec.shipped import shipped_specs
from miras_compiler.spec.source import read_source

COMMENTED = """\
# a comment at the top
name: mine  # the name
memory:   {kind: mlp, layers: 2}   # two layers

# about the bias
attentional_bias:
    kind: huber   # robust
    delta: delta

optimizer: {kind: momentum}
gates:
  # the decays
  alpha: {init: 0.9}   # kept
  eta: {}
  mu: {init: 0.5}  # of momentum

# about the chunk
chunk: {size: 16,
        gradient: chunk_start}  # over two lines
retention: {kind: l2}"""


def tree_of(text: str) -> dict[str, Any]:
    return read_source(text, "mine.yaml").tree


def lines_changed(before: str, after: str) -> list[str]:
    return [line for line in ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("chunk.size", 8),
        ("layer.heads", 2),
        ("gates.eta.init", 0.25),
        ("gates.eta.low_rank", None),
        ("memory.layers", 3),
        ("layer.output_gate", False),
        ("paper", 'a "quoted" \\ paper: # no comment'),
        ("model.hidden_size", 96),
    ],
)
def test_a_key_is_set_and_every_other_line_stays(key: str, value: object) -> None:
    texts = [file.path.read_text(encoding="utf-8-sig") for file in shipped_specs().values()]
    for text in [text for text in texts if "memory:" in text][::9]:
        if key == "memory.layers" and "mlp" not in text:
            continue
        after = changed(text, "x.yaml", key, value).text
        assert read_source(after, "x.yaml").tree == with_overrides(read_source(text, "x.yaml"), {key: value}).tree
        assert len(lines_changed(text, after)) <= 2


def test_comments_survive_every_change() -> None:
    comments = [line.partition("#")[2] for line in COMMENTED.splitlines() if "#" in line]
    text = COMMENTED
    for key, value in {
        "memory.kind": "swiglu",
        "attentional_bias.kind": "l2",
        "optimizer.kind": "momentum",
        "chunk.read": "before_write",
        "feature_map.kind": "relu",
        "layer.heads": 3,
        "gates.alpha.init": 0.8,
    }.items():
        text = changed(text, "mine.yaml", key, value).text
    kept = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    assert kept == [comment for comment in comments if comment != " robust" or "# robust" in text]
    assert parse_spec(text, "mine.yaml").chunk.read == "before_write"


def test_a_kind_takes_along_what_means_the_same_and_the_gates_follow() -> None:
    after = changed(COMMENTED, "mine.yaml", "attentional_bias.kind", "l2")
    assert tree_of(after.text) == {**tree_of(COMMENTED), "attentional_bias": {"kind": "l2"}}
    without = changed(after.text, "mine.yaml", "optimizer.kind", "gradient_descent")
    assert without.notes == ("gate mu removed",)
    assert "# about the chunk" in without.text
    assert "mu" not in parse_spec(without.text, "mine.yaml").gates
    again = changed(without.text, "mine.yaml", "optimizer", {"kind": "momentum"})
    assert again.notes == ("gate mu added",)
    assert parse_spec(again.text, "mine.yaml").gates["mu"].init == 0.9
    deep = changed(COMMENTED, "mine.yaml", "memory.kind", "matrix").text
    assert "memory:   {kind: matrix}   # two layers" in deep


def test_a_kind_that_needs_a_formula_gets_one_to_start_from() -> None:
    text = changed(COMMENTED, "mine.yaml", "attentional_bias.kind", "formula").text
    assert 'loss: "sum(log(cosh(u - v)))"' in text


@pytest.mark.parametrize(
    ("text", "key", "value", "expected"),
    [
        ("{name: a, memory: {kind: matrix}}", "chunk.size", 4, "{name: a, memory: {kind: matrix}, chunk: {size: 4}}"),
        ("name: a\ngates:\n", "gates.eta.init", 1, "name: a\ngates: {eta: {init: 1}}\n"),
        ("name: a\nchunk: {}\n", "chunk.size", 4, "name: a\nchunk: {size: 4}\n"),
        ("name: a\nchunk: 3  # what\n", "chunk.size", 4, "name: a\nchunk: {size: 4}  # what\n"),
        ("name: a", "chunk.size", 4, "name: a\nchunk: {size: 4}\n"),
        ("chunk:\n    size: 3\n    read: x\nname: a\n", "chunk.size", 4, "chunk:\n    size: 4\n    read: x\nname: a\n"),
        ("name: a\nlayer:\n  heads: 2 # two\n\n# end\n", "layer.conv", 0, "name: a\nlayer:\n  heads: 2 # two\n  conv: 0\n\n# end\n"),
        ("gates:\n- 1\nname: a\n", "gates.eta", 2, None),
        ("# top\nretention: {kind: l2}\n", "memory.kind", "matrix", "# top\nmemory: {kind: matrix}\nretention: {kind: l2}\n"),
    ],
)
def test_every_way_of_writing_a_mapping_is_kept(text: str, key: str, value: object, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(InputError):
            changed(text, "x.yaml", key, value)
        return
    assert changed(text, "x.yaml", key, value).text == expected


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("a: {b: 1, c: 2, d: 3}\n", "a.b", "a: {c: 2, d: 3}\n"),
        ("a: {b: 1, c: 2, d: 3}\n", "a.c", "a: {b: 1, d: 3}\n"),
        ("a: {b: 1, c: 2, d: 3}\n", "a.d", "a: {b: 1, c: 2}\n"),
        ("a: {b: 1}  # kept\n", "a.b", "a: {}  # kept\n"),
        ("a:\n  b: 1  # gone\n  c: 2  # kept\n", "a.b", "a:\n  c: 2  # kept\n"),
        ("a:\n  b: 1\n  c: 2\n\n# kept\nd: 3\n", "a.c", "a:\n  b: 1\n\n# kept\nd: 3\n"),
        ("a: 1\nb:\n  - x\n  - y\n# kept\nc: 2\n", "b", "a: 1\n# kept\nc: 2\n"),
        ("a: 1\n", "b.c", "a: 1\n"),
    ],
)
def test_a_key_is_taken_out_with_its_line_or_its_comma(text: str, key: str, expected: str) -> None:
    assert removed(text, "x.yaml", key) == Changed(expected, ())


@pytest.mark.parametrize("key", ["", ".", "a..b", "a b", "a: 1\nb", "gates.{x", "ledger.0.note"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(InputError):
        changed(COMMENTED, "x.yaml", key, 1)
    with pytest.raises(InputError):
        removed(COMMENTED, "x.yaml", key)


def test_a_text_that_cannot_be_read_is_not_changed() -> None:
    for text in ("a: [", "a: &x 1\nb: *x\n", "a: !!python/object:os.system x\n", "\t", "- 1\n", ""):
        with pytest.raises(SpecError, match=r"^x\.yaml:1:"):
            changed(text, "x.yaml", "chunk.size", 1)


def test_a_change_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    changed(COMMENTED, "mine.yaml", "chunk.size", 4)
    assert not list(tmp_path.iterdir())
