"""The launches that are tried of a kernel, and their tries: in Triton's interpreter, at values that no program holds at once."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from kit.paths import ROOT
from miras_compiler import compile_spec, load_spec
from miras_compiler.bench.candidates import candidates, programs, why_untried
from miras_compiler.gpus.launch_table import Launch


def row(width: int, warps: int, stages: int, part: int, registers: int) -> SimpleNamespace:
    return SimpleNamespace(part=part)


def kernel(walks: bool, split: str = "", blocked: str = "", width: int = 128) -> Any:
    """One that holds a tile of key and value."""

    def blocks(sizes: object, row: SimpleNamespace) -> dict[str, int]:
        axis = split or blocked
        return {"BK": width, "BV": min(width, row.part) if axis else width, "BC": 64}

    return SimpleNamespace(walks=walks, split=split, blocked=blocked, held=("KV",), blocks=blocks)


def test_a_launch_is_tried_once_and_where_its_tiles_fit() -> None:
    walk, wide = kernel(True, split="V"), kernel(True, split="V", width=256)
    assert why_untried(walk, None, Launch(4, 2, 32, 255), row) == ""
    assert why_untried(walk, None, Launch(4, 1, 32, 255), row) == "wrong on Hopper: a loop over narrow blocks that loads nothing ahead"
    assert why_untried(walk, None, Launch(4, 2, 128, 255), row) == "a tile does not fit into the registers"
    assert why_untried(wide, None, Launch(4, 2, 64, 255), row) == "a tile does not fit into the registers"
    assert why_untried(wide, None, Launch(8, 2, 64, 255), row) == ""
    assert why_untried(walk, None, Launch(8, 1, 32, 255), row) == "wrong on Hopper: too few rows for so many warps"
    assert why_untried(walk, None, Launch(8, 1, 64, 168), row) == "no more programs share a processor than with more registers"
    assert why_untried(kernel(False), None, Launch(8, 1, 128, 255), row) == "no axis is so long"
    assert why_untried(kernel(False, blocked="V"), None, Launch(8, 2, 64, 255), row) == ""
    assert why_untried(kernel(False, blocked="V"), None, Launch(8, 2, 128, 255), row) == "no loop loads ahead"
    found = candidates(walk, None, row)
    assert len(set(found)) == len(found)
    assert [each.block <= 32 for each in found] == sorted(
        each.block <= 32 for each in found
    )  # launches that may kill the process come last


def test_programs_share_a_processor_by_their_registers() -> None:
    assert [programs(4, registers) for registers in (255, 168, 128)] == [2, 3, 4]
    assert [programs(8, registers) for registers in (255, 168, 128)] == [1, 1, 2]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("needs Triton")
    package = compile_spec(load_spec("specs/gated_delta_net.yaml")).write(tmp_path_factory.mktemp("packages"))
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "tests/kit/wide_values.py"), str(package)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_kernels_take_wide_values_in_blocks_or_share_them_out(tried: dict[str, Any]) -> None:
    assert tried["passed"], tried["error"]


def test_a_launch_that_writes_nothing_is_told_from_one_that_is_right(tried: dict[str, Any]) -> None:
    told = {(each["kernel"], tuple(each["launch"] or ())): each["problem"] for each in tried["rows"] if "ms" in each}
    assert {name for name, launch in told if not launch} == {"prep", "main", "read", "pre", "seq", "post"}
    for name in ("main", "post"):
        assert (told[name, ()], told[name, (4, 1, 32, 255)]) == ("", "")
        assert "differs by" in told[name, (4, 3, 64, 168)]


def test_candidates_of_a_package_are_those_that_its_kernels_have_a_use_for(tried: dict[str, Any]) -> None:
    found = {name: {tuple(each) for each in launches} for name, launches in tried["candidates"].items()}
    assert {block for _, _, block, _ in found["prep"]} == {64}  # it has no values
    assert {stages for _, stages, _, _ in found["read"]} == {1}  # it shares them out
    assert {stages for _, stages, block, _ in found["post"] if block == 64} == {1, 2}  # it takes block after block
