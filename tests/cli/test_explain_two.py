"""`miras explain A B` shows the differences between two specs, and nothing else."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from kit.paths import ROOT, SPECS
from miras_compiler import compile_spec, load_spec
from miras_compiler.cli import main

LINEAR = str(SPECS / "titans_linear.yaml")
HUBER = str(SPECS / "huber_delta.yaml")


@pytest.fixture(scope="module")
def lines() -> list[str]:
    command = [sys.executable, "-m", "miras_compiler", "explain", LINEAR, HUBER]
    environment = dict(os.environ)  # readline, which pytest imports, tells children COLUMNS behind its back
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment).stdout.splitlines()


def section(lines: list[str], title: str) -> list[str]:
    """The lines under a title, with the columns' names."""
    start = lines.index(title) + 1
    return lines[start : lines.index("", start)] if "" in lines[start:] else lines[start:]


@pytest.mark.slow
def test_fields_that_differ_are_shown_with_both_values(lines: list[str]) -> None:
    rows = {row.split()[0]: row.split()[1:] for row in section(lines, "fields that differ")}
    assert rows["field"] == ["titans_linear", "huber_delta"]
    assert rows["attentional_bias.kind"] == ["l2", "huber"]
    assert rows["attentional_bias.scale"] == ["2", "–"]
    assert rows["gates.delta.init"] == ["–", "1"]
    assert not {"optimizer.steps", "optimizer.erase_key", "gates.delta.per", "gates.mu.low_rank"} & set(rows)  # defaults that one alone has
    assert not {"memory.kind", "retention.kind", "chunk.gradient", "name", "paper", "ledger"} & set(rows)


@pytest.mark.slow
def test_the_rule_marks_what_differs_and_puts_the_same_value_at_one_height(lines: list[str]) -> None:
    rule = section(lines, "rule")
    (state,) = [row for row in rule if "W = α W[t−1]" in row]
    assert state.startswith("≠")
    assert state.count("W = ") == 2
    assert next(row for row in rule if "   e = u − v" in row).startswith(" ")
    assert sum("retention: the same" in row for row in rule) == 1


def test_forms_and_costs_stand_side_by_side(lines: list[str]) -> None:
    one, other = (compile_spec(load_spec(path)) for path in (LINEAR, HUBER))
    form = section(lines, "parallel form")[1]
    assert form.split("  ")[1].strip() == "triangular solve"
    assert form.endswith("forward substitution")
    cost = section(lines, "cost")
    assert cost[0].split() == ["what", "titans_linear", "huber_delta", "unit"]
    for (what, mine, unit), (_, theirs, _) in zip(one.cost, other.cost, strict=True):
        (row,) = [row for row in cost if row.startswith(what + "  ")]
        assert row.removeprefix(what).split()[:2] == [f"{mine:,}", f"{theirs:,}"]
        assert row.endswith(unit)


@pytest.mark.slow
def test_json_holds_both_and_the_fields_that_differ(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", LINEAR, "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert main(["explain", LINEAR, HUBER, "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert both["specs"][0] == alone
    assert both["specs"][1]["name"] == "huber_delta"
    assert {"field": "optimizer.kind", "values": ["momentum", "gradient_descent"]} in both["differing"]
    assert {"field": "attentional_bias.scale", "values": [2.0, None]} in both["differing"]
    assert "memory.kind" not in {entry["field"] for entry in both["differing"]}


def test_a_spec_and_itself_do_not_differ(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", HUBER, HUBER]) == 0
    text = capsys.readouterr().out
    assert "≠" not in text
    assert text.splitlines()[1].split()[1:] == [HUBER, HUBER]
    assert text.splitlines()[2].split() == ["all", "the", "same", "the", "same"]


@pytest.mark.slow
def test_a_setting_applies_to_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", LINEAR, HUBER, "--json", "--set", "gates.eta.init=0.3"]) == 0
    assert "gates.eta.init" not in {entry["field"] for entry in json.loads(capsys.readouterr().out)["differing"]}


@pytest.mark.parametrize(("arguments", "told"), [([LINEAR] * 3, "3 specs"), ([LINEAR, HUBER, "--latex"], "--latex is for one spec")])
def test_more_than_two_specs_or_latex_of_two_is_refused(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_the_errors_of_both_specs_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for path in paths:
        path.write_text("name: x\nmemory: {kind: matrx}\nattentional_bias: {kind: l2}\ngates: {eta: {}}\n")
    assert main(["explain", *map(str, paths)]) == 2
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == list(map(str, paths))


@pytest.mark.slow
def test_a_terminal_gets_tables() -> None:
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI")} | {"TERM": "xterm-256color"}
    command = [sys.executable, "-m", "miras_compiler", "explain", LINEAR, HUBER]
    printed = b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment | {"COLUMNS": "120"}):
        os.close(theirs)
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not read:
                break
            printed += read
    os.close(ours)
    assert "┃" in printed.decode()
    assert "≠" in printed.decode()
