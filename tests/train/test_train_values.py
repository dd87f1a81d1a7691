"""`miras train` on series of numbers: from a CSV file to forecasts that are better than naive ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from miras_compiler.cli import main
from miras_compiler.runs import RunFolder

pytest.importorskip("transformers")
SIZES = ("model.hidden_size=16", "model.layers=1", "layer.heads=2", "layer.head_dim=8", "layer.value_dim=8", "chunk.size=4")
SMALL = ["gated_delta_net", *(part for size in SIZES for part in ("--set", size))]
VALUES = ["--set", "model.input={kind: values, patch: 4, horizon: 6}"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    time = np.arange(300)
    columns = np.stack((np.sin(2 * np.pi * time / 12) + 0.01 * time, 3 * np.cos(2 * np.pi * time / 12)), 1)
    rows = columns + np.random.default_rng(0).normal(0, 0.1, columns.shape)
    text = "date,a,b\n" + "".join(f"2020-01-01 {hour},{a},{b}\n" for hour, (a, b) in enumerate(rows))
    (tmp_path / "table.csv").write_text(text)
    return tmp_path / "table.csv"


@pytest.mark.slow
def test_a_model_of_values_learns_a_season_and_is_measured_on_what_was_held_out(table: Path) -> None:
    run = table.parent / "run"
    options = ["--data", str(table), "--length", "6", "--steps", "40", "--batch", "16", "--lr", "0.01"]
    assert main(["train", *SMALL, *VALUES, *options, "--out", str(run)]) == 0
    about = RunFolder(run).about()
    assert (about["config"], about["length"], about["data_times"]) == ({"channels": 2}, 6, 300)
    table.unlink()  # the run holds its series
    assert main(["eval", str(run)]) == 0
    scores = json.loads((run / "eval.json").read_text())["forecast:table"]
    assert scores["season"] == 12
    assert scores["forecasts"] == 30 - 6 + 1
    assert scores["model"]["mse"] < 0.1 * scores["naive"]["mse"]
    assert list(scores["model"]["mse_by_step"]) == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "{table}"], "table.csv: is a table of numbers, and the spec's model reads tokens; add --set 'model.input="),
        ([*VALUES, "--data", "{table}", "--tokenizer", "byte"], "--tokenizer byte: is of tokens, and the spec's model takes values"),
        ([*VALUES, "--task", "mqar"], "--task mqar: is of tokens, and the spec's model takes values"),
        ([*VALUES, "--data", "{table}", "--length", "80"], "table.csv: has 300 times, too few to train on and to hold out"),
        ([*VALUES, "--data", "{gap}"], "gap.csv:3: column 'a' has a gap"),
    ],
)
def test_data_that_the_model_cannot_read_is_refused_before_anything_is_written(
    arguments: list[str], message: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (table.parent / "gap.csv").write_text("a\n1\nnan\n3\n")
    given = [each.format(table=table, gap=table.parent / "gap.csv") if "{table}" in each or "{gap}" in each else each for each in arguments]
    assert main(["train", *SMALL, *given, "--out", str(table.parent / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (table.parent / "run").exists()
