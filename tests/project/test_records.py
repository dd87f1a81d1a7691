"""Results: one shape, written and read by every command that measures or checks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from kit.paths import ROOT
from miras_compiler.errors import InputError
from miras_compiler.records import Origin, Record, Result, origin_here, read_record

ORIGIN = Origin("miras bench yaad", "NVIDIA H100", {"torch": "2.11.0"}, 3)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    results = (
        Result("both", "yaad", "abc", 2.5, unit="ms", about={"contender": "kernels"}),
        Result("calm", "yaad", "abc", math.inf, 1e-5, passed=False, note="o", about={"dtype": "bfloat16"}),
        Result("speed", "yaad", passed=False, note="out of memory"),
    )
    path = tmp_path / "results.json"
    path.write_text(Record(ORIGIN, results).text())
    assert read_record(path) == Record(ORIGIN, results)
    assert json.loads(path.read_text())["rows"][1]["value"] == "inf"  # JSON has no such number


@pytest.mark.parametrize(
    "text", ["{", "[]", "[" * 100_000, '{"rows": []}', '{"command": "", "device": "", "versions": {}, "seed": 0, "rows": [{}]}']
)
def test_a_file_of_another_shape_is_an_input_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json: holds no results"):
        read_record(tmp_path / "a.json")


def test_an_origin_names_the_command_and_the_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/miras", "bench", "yaad"])
    here = origin_here("cpu", 0)
    assert here.command == "miras bench yaad"
    assert {"miras", "python", "torch"} <= here.versions.keys()
    assert origin_here("cpu", 0, "python benchmarks/gpu.py").command == "python benchmarks/gpu.py"


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "results").glob("*.json")), ids=lambda path: path.name)
def test_every_committed_result_has_this_shape(path: Path) -> None:
    record = read_record(path)
    assert record.origin.device
    assert record.results
