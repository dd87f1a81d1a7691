"""GRID.yaml: its points, and the messages on a wrong grid."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

pytest.importorskip("optuna")

from miras_compiler.cli import main
from miras_compiler.errors import InputError
from miras_compiler.sweep.axes import Choices, Range
from miras_compiler.sweep.grid import Grid, load_grid
from miras_compiler.sweep.points import points, values_of
from miras_compiler.sweep.queue import refusal
from miras_compiler.sweep.variant import training, variant

SMALL = """\
name: small
memory: {kind: matrix}
attentional_bias: {kind: l2}
retention: {kind: l2}
gates: {alpha: {init: 0.99}, eta: {init: 0.1}}
layer: {heads: 2, head_dim: 8, conv: 0}
"""
TRAIN = "train: {task: mqar, steps: 12}\n"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a grid beside a small spec."""
    (tmp_path / "small.yaml").write_text(SMALL)

    def write(text: str) -> Path:
        path = tmp_path / "grid.yaml"
        path.write_text(text)
        return path

    return write


def grid_of(write: Write, vary: str, more: str = "") -> Grid:
    return load_grid(write(f"base: small.yaml\nvary: {vary}\n{TRAIN}{more}"))


def test_choices_make_all_combinations_once_in_an_order_that_the_seed_gives(write: Write) -> None:
    vary = "{layer.heads: [1, 2, 4], layer.head_dim: [4, 8, 16], chunk.size: [8, 16]}"
    first, again, other = (
        [tuple(values_of(grid, point.chosen).values()) for point in points(grid)]
        for grid in (grid_of(write, vary), grid_of(write, vary), grid_of(write, vary, "seeds: [7]\n"))
    )
    assert sorted(first) == sorted((heads, dim, size) for heads in (1, 2, 4) for dim in (4, 8, 16) for size in (8, 16))
    assert first == again
    assert sorted(first) == sorted(other)
    assert first != other


def test_equal_values_of_different_kinds_stay_apart() -> None:
    axis = Choices("key", (1, True, 1.0, "1", None, [1], {"kind": "l2"}))
    assert len(set(axis.texts)) == 7
    assert [(type(value), value) for value in map(axis.value, axis.texts)] == [(type(value), value) for value in axis.values]


def test_points_of_a_grid_with_ranges_go_round_its_choices_without_an_end(write: Write) -> None:
    grid = grid_of(write, "{layer.heads: [1, 2], gates.eta.init: {low: 0.01, high: 1, log: true}}", "budget: {trials: 5}\n")
    assert [point.chosen["layer.heads"] for point in islice(points(grid), 4)] in (["1", "2"] * 2, ["2", "1"] * 2)
    assert grid.ranges == [Range("gates.eta.init", 0.01, 1, True, False)]


def test_a_point_is_its_base_with_its_values(write: Write) -> None:
    grid = grid_of(write, "{layer.heads: [4], attentional_bias.scale: [2], train.lr: [0.01], attentional_bias: [{kind: l2}]}")
    values = values_of(grid, next(points(grid)).chosen)
    spec = variant(grid, values)
    assert (spec.layer.heads, spec.layer.head_dim, spec.attentional_bias.model_dump()["scale"]) == (4, 8, 2)
    assert training(grid, values).lr == 0.01


def test_a_list_of_bases_is_a_choice(write: Write) -> None:
    grid = load_grid(write(f"base: [small.yaml, delta_net]\n{TRAIN}"))
    assert sorted(variant(grid, values_of(grid, point.chosen)).name for point in points(grid)) == ["delta_net", "small"]


def test_a_point_that_is_no_spec_says_why_at_the_lines_of_grid_and_base(write: Write) -> None:
    grid = grid_of(write, "\n  attentional_bias: [{kind: huber, delta: delta}]")
    reason = refusal(grid, next(points(grid)))
    assert reason is not None
    assert "small.yaml:5:1: the attentional bias huber reads the gate 'delta'" in reason
    grid = grid_of(write, "\n  layer.heads: [0]\n  train.lr: [-1.0]")
    assert refusal(grid, next(points(grid))) == f"{grid.place}:3:3: layer.heads should be greater than or equal to 1, not 0"
    grid = grid_of(write, "\n  train.lr: [-1.0]")
    assert (refusal(grid, next(points(grid))) or "").startswith(f"{grid.place}:3:3: lr must be above 0, got -1.0")


def test_a_base_is_named_as_it_lies_beside_the_grid(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(f"base: small.yaml\nvary: {{attentional_bias: [{{kind: huber, delta: delta}}]}}\n{TRAIN}").parent)
    grid = load_grid(Path("grid.yaml"))
    assert (refusal(grid, next(points(grid))) or "").startswith("small.yaml:5:1: ")


def test_the_budget_alone_may_change_without_another_digest(write: Write) -> None:
    vary = "{layer.heads: [1, 2]}"
    first = grid_of(write, vary).digest
    assert grid_of(write, vary, "budget: {trials: 1, minutes: 5}\n").digest == first
    for more in ("seeds: [1]\n", "objectives: [loss]\n"):
        assert grid_of(write, vary, more).digest != first
    assert grid_of(write, "{layer.heads: [1, true]}").digest != grid_of(write, "{layer.heads: [1, 1.0]}").digest


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("base: small.yaml\nvary: {}\n", "1:1: 'train' is missing"),
        ("", "1:1: a grid is a mapping of keys; start with `base: SPEC` and `vary:`"),
        (f"base: smal.yaml\n{TRAIN}", "1:1: the spec smal.yaml cannot be taken; smal.yaml: cannot be read: No such file or directory"),
        (f"base: delta_nett\n{TRAIN}", "did you mean 'delta_net'?"),
        (f"base: [small.yaml, small.yaml]\n{TRAIN}", "1:20: 'small.yaml' is given twice; keep one"),
        (f"base: small.yaml\nvarry: {{}}\n{TRAIN}", "2:1: unknown key 'varry'; did you mean 'vary'?"),
        (f"base: small.yaml\nvary:\n  layer.haeds: [1]\n{TRAIN}", "3:3: unknown key 'layer.haeds'; a spec has no such key; did you mean"),
        (f"base: small.yaml\nvary:\n  retension.q: [1]\n{TRAIN}", "did you mean 'retention'?"),
        (f"base: small.yaml\nvary:\n  gates.ata.init: [1]\n{TRAIN}", "did you mean 'gates.eta'?"),
        (f"base: small.yaml\nvary:\n  gates.eta.inti: [1]\n{TRAIN}", "did you mean 'gates.eta.init'?"),
        (f"base: small.yaml\nvary:\n  attentional_bias.dleta: [1]\n{TRAIN}", "did you mean 'attentional_bias.delta'?"),
        (f"base: small.yaml\nvary:\n  model.mlp.knid: [none]\n{TRAIN}", "did you mean 'model.mlp.kind'?"),
        (f"base: small.yaml\nvary:\n  train.lrr: [1]\n{TRAIN}", "did you mean 'train.lr'?"),
        (f"base: small.yaml\nvary:\n  name: [a, b]\n{TRAIN}", "3:3: the name changes nothing"),
        (f"base: small.yaml\nvary:\n  layer.heads: []\n{TRAIN}", "3:3: layer.heads has no values; list some: [1, 2]"),
        (f"base: small.yaml\nvary:\n  layer.heads: [1, 2, 1]\n{TRAIN}", "3:23: 1 is given twice; keep one"),
        (f"base: small.yaml\nvary:\n  layer.heads: 3\n{TRAIN}", "3:3: layer.heads should be a list of values or a range; write [3, …]"),
        (f"base: small.yaml\nvary:\n  layer.heads: {{low: 1, hgih: 2}}\n{TRAIN}", "unknown key 'hgih'; a range has low, high and log"),
        (f"base: small.yaml\nvary:\n  layer.heads: {{low: 1}}\n{TRAIN}", "3:3: 'high' is missing"),
        (f"base: small.yaml\nvary:\n  layer.heads: {{low: 3, high: 2}}\n{TRAIN}", "3:25: high 2 is not above low 3"),
        (f"base: small.yaml\nvary:\n  gates.eta.init: {{low: 0, high: 2, log: true}}\n{TRAIN}", "3:20: low 0 has no logarithm"),
        (f"base: small.yaml\nvary:\n  gates.eta.init: {{low: .nan, high: 2}}\n{TRAIN}", "3:20: low should be a number"),
        (f"base: small.yaml\nvary:\n  layer.heads: {{low: 1, high: 2}}\n{TRAIN}", "a range has no end of points; budget.trials is missing"),
        ("base: small.yaml\ntrain: {steps: 3}\n", "2:1: task or data: name one of the two to train on"),
        ("base: small.yaml\ntrain: {task: mqarr}\n", "2:9: there is no task 'mqarr'; did you mean 'mqar'?"),
        ("base: small.yaml\ntrain: {task: mqar, lr: 0.0}\n", "2:21: lr must be above 0"),
        ("base: small.yaml\ntrain: {task: mqar, save_every: 3, log_every: 2}\n", "2:21: save-every 3 is not a multiple"),
        ("base: small.yaml\ntrain: {data: nowhere.txt}\n", "2:9: nowhere.txt is not there"),
        ("base: small.yaml\ntrain: {task: mqar, tokenizer: byte}\n", "2:21: a task has tokens of its own; leave it out"),
        ("base: small.yaml\ntrain: {task: mqar, step: 3}\n", "2:21: unknown key 'step'; did you mean 'steps'?"),
        (f"base: small.yaml\nseeds: [1, 1]\n{TRAIN}", "2:12: 1 is given twice"),
        (f"base: small.yaml\nseeds: []\n{TRAIN}", "2:1: seeds should be a list that is not empty"),
        (f"base: small.yaml\nbudget: {{trials: 0}}\n{TRAIN}", "2:10: budget.trials should be greater than or equal to 1, not 0"),
        (f"base: small.yaml\nobjectives: [qualty]\n{TRAIN}", "2:14: unknown objective 'qualty'; did you mean 'quality'?"),
    ],
)  # fmt: skip
def test_a_wrong_grid_is_told_by_line_with_its_remedy_and_nothing_is_written(
    text: str, told: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(text)
    assert main(["sweep", str(path), "-o", str(path.parent / "out")]) == 2
    said = capsys.readouterr().err
    assert f"{path}:{told}" in said if told[0].isdigit() else told in said
    assert sorted(each.name for each in path.parent.iterdir()) == ["grid.yaml", "small.yaml"]


def test_everything_that_is_wrong_with_a_grid_is_told_at_once(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    vary = "\n  layer.haeds: [1]\n  chunk.size: []\n  gates.eta.init: {low: 2, high: 1}\n"
    path = write(f"base: small.yaml\nvary:{vary}seeds: [0, 0]\ntrain: {{task: mqarr}}\nobjectives: [beauty]\n")
    assert main(["sweep", str(path), "-o", str(path.parent / "out")]) == 2
    assert [line.split(":")[1] for line in capsys.readouterr().err.splitlines()] == ["3", "4", "5", "6", "7", "8"]


def test_too_many_points_are_refused(write: Write) -> None:
    values = [str(list(range(1, 60)))] * 3
    grid = grid_of(write, "{{layer.heads: {}, layer.head_dim: {}, chunk.size: {}}}".format(*values))
    with pytest.raises(InputError, match="its choices make 205,379 points, and 100,000 are the most"):
        next(points(grid))
