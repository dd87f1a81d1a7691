"""The launches that are tried of a kernel, and their tries: in Triton's interpreter, at values that no program holds at once."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kit.compiled import compilation
from kit.interpreter import interpreted
from miras_compiler.bench.candidates import candidates, programs, why_untried
from miras_compiler.gpus.launch_table import ANY, Launch

pytest.importorskip("triton")
from miras_compiler.runtime.runtime_launch import Buffer, Launcher, LaunchRow, LaunchTable


def of_widths(width: int) -> Any:
    """The sizes of a call in bfloat16."""
    return SimpleNamespace(lengths={"K": width, "V": width}, narrow=torch.bfloat16)


def kernel(walks: bool, split: str = "", blocked: str = "", tile: int = 64) -> Any:
    """The launch of a kernel that holds a tile of key and value."""
    table = LaunchTable("some", "", tile, 16, {})
    return Launcher(table, None, "main", walks, "KV", {"W": Buffer("sequences", "KV")}, split, blocked)


def test_a_launch_is_tried_once_and_where_its_tiles_fit() -> None:
    walk, sizes = kernel(True, split="V"), of_widths(128)

    def untried(kernel: Any, *launch: int, width: int = 128) -> str:
        return why_untried(kernel, of_widths(width), Launch(*launch), LaunchRow)

    assert untried(walk, 4, 2, 32, 255) == ""
    assert untried(walk, 4, 2, 128, 255) == "a tile does not fit into the registers"
    assert untried(walk, 4, 2, 64, 255, width=256) == "a tile does not fit into the registers"
    assert untried(walk, 8, 2, 64, 255, width=256) == ""
    assert untried(walk, 8, 1, 64, 168) == "no more programs share a processor than with more registers"
    assert untried(walk, 8, 2, 16, 255) == "products of 16 rows keep no more than 4 warps busy"
    assert untried(kernel(False), 8, 1, 128, 255) == "no axis is so long"
    assert untried(kernel(False, blocked="V"), 8, 2, 64, 255) == ""
    assert untried(kernel(False, blocked="V"), 8, 2, 128, 255) == "no loop loads ahead"
    found = candidates(walk, sizes, LaunchRow)
    assert len(set(found)) == len(found)
    assert [each.block <= 32 for each in found] == sorted(
        each.block <= 32 for each in found
    )  # launches that may kill the process come last


@pytest.mark.parametrize(
    ("kernel", "launch", "started"),
    [
        (kernel(True, split="V"), (4, 1, 32), (4, 2)),  # a loop over narrow blocks that loads nothing ahead
        (kernel(True, split="V"), (8, 2, 32), (4, 2)),  # too few rows for so many warps
        (kernel(False, blocked="V"), (4, 1, 32), (4, 2)),
        (kernel(False, blocked="V", tile=32), (8, 1, 64), (4, 1)),
    ],
)
def test_launches_that_are_wrong_on_hopper_are_neither_tried_nor_started(
    kernel: Any, launch: tuple[int, int, int], started: tuple[int, int]
) -> None:
    tried = Launch(*launch, registers=255)
    assert why_untried(kernel, of_widths(128), tried, LaunchRow) == "wrong on Hopper: packages launch it with other warps or stages"
    row = kernel.safe(of_widths(128), LaunchRow(ANY, *tried))
    assert (row.warps, row.stages) == started
    assert why_untried(kernel, of_widths(128), Launch(*started, *tried[2:]), LaunchRow) == ""


def test_programs_share_a_processor_by_their_registers() -> None:
    assert [programs(4, registers) for registers in (255, 168, 128)] == [2, 3, 4]
    assert [programs(8, registers) for registers in (255, 168, 128)] == [1, 1, 2]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    package = compilation("gated_delta_net").write(tmp_path_factory.mktemp("packages"))
    found: dict[str, Any] = json.loads(interpreted("tests/kit/wide_values.py", str(package)))
    return found


@pytest.mark.slow
def test_kernels_take_wide_values_in_blocks_or_share_them_out(tried: dict[str, Any]) -> None:
    assert tried["passed"], tried["error"]


@pytest.mark.slow
def test_a_launch_that_writes_nothing_is_told_from_one_that_is_right(tried: dict[str, Any]) -> None:
    told = {(each["kernel"], tuple(each["launch"] or ())): each["problem"] for each in tried["rows"] if "ms" in each}
    assert {name for name, launch in told if not launch} == {"prep", "main", "read", "pre", "seq", "post"}
    for name in ("main", "post"):
        assert (told[name, ()], told[name, (4, 1, 32, 255)]) == ("", "")
        assert "differs by" in told[name, (4, 3, 64, 168)]


@pytest.mark.slow
def test_candidates_of_a_package_are_those_that_its_kernels_have_a_use_for(tried: dict[str, Any]) -> None:
    found = {name: {tuple(each) for each in launches} for name, launches in tried["candidates"].items()}
    assert {block for _, _, block, _ in found["prep"]} == {64}  # it has no values
    assert {stages for _, stages, _, _ in found["read"]} == {1}  # it shares them out
    assert {stages for _, stages, block, _ in found["post"] if block == 64} == {1, 2}  # it takes block after block
