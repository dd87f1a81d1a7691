"""The search for launches, with candidates that fare as a table says; children; the journal; the launch table."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from miras_compiler import compile_spec, load_spec
from miras_compiler.bench.children import Answer, run_child
from miras_compiler.bench.comparison import Job
from miras_compiler.bench.tune import LAUNCHES, Candidate, Journal, Outcome, Search, table_row, tune
from miras_compiler.gpus import gpu_class
from miras_compiler.gpus.launch_table import (
    ANY,
    FILE,
    TABLE,
    Launch,
    TableRow,
    forms_of,
    launches,
    read_table,
    table_text,
    tuned_tile,
    with_row,
)

FAST, SLOW, DEAD, WRONG = LAUNCHES[1], LAUNCHES[0], LAUNCHES[2], LAUNCHES[3]
JOB = Job(Path("generated/some"), (8, 4096, 16, 64, 64, 256), 16, ())


class Machine:
    """Runs candidates: FAST makes `main` faster and `seq` slower; DEAD kills the process in `seq`; WRONG is wrong in `main`."""

    def __init__(self, interrupt_after: int = 1 << 30) -> None:
        self.tried: list[Any] = []
        self.warmed = 0
        self.left = interrupt_after

    def __call__(self, task: str, given: Mapping[str, Any], limit: float) -> Answer:
        if task == "warm":
            self.warmed += 1
            return Answer([{"ready": True}], "")
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.tried.append((given["tile"], given["launches"]))
        launch = {name: Launch(*each) for name, each in given["launches"].items()}
        if launch.get("seq") == DEAD:
            return Answer([{"verified": "small", "passed": True}], "an illegal memory access was encountered (exit code 1)")
        if launch.get("main") == WRONG:
            return Answer([{"verified": "B2", "passed": False, "entry": "d k", "error": 0.5, "limit": 0.01}], "")
        main = {FAST: 1.0, DEAD: 0.5}.get(launch.get("main"), 2.0)  # type: ignore[arg-type]
        seq = {FAST: 9.0, WRONG: 2.0}.get(launch.get("seq"), 3.0)  # type: ignore[arg-type]
        slower = 2 if given["tile"] == 32 else 1
        kernels = {"main": slower * main, "seq": slower * seq}
        return Answer([{"kernels": kernels, "both": sum(kernels.values())}], "")


def search(machine: Machine, journal: Path, heard: list[tuple[Candidate, Outcome]] | None = None) -> Search:
    told = heard if heard is not None else []
    return Search(JOB, "bfloat16", Journal(journal), machine, lambda *each: told.append(each), 60.0, 2)


def test_the_best_launch_of_every_kernel_is_found_though_some_die_or_are_wrong(tmp_path: Path) -> None:
    heard: list[tuple[Candidate, Outcome]] = []
    found = tune(search(Machine(), tmp_path / "journal", heard), (None,))
    assert found is not None
    candidate, outcome = found
    assert dict(candidate.launches) == {"main": DEAD, "seq": WRONG}  # each is right alone, and so are both together
    assert outcome.both == 2.5
    problems = {str(each): told.problem for each, told in heard if told.problem}
    assert problems[f"all {tuple(DEAD)}"].startswith("an illegal memory access")
    assert problems[f"main {tuple(WRONG)}"] == "d k is off by 5.0e-01 of 1.0e-02 at B2"


def test_a_launch_is_shipped_only_if_it_was_right_together_with_the_others(tmp_path: Path) -> None:
    class Jealous(Machine):
        def __call__(self, task: str, given: Mapping[str, Any], limit: float) -> Answer:
            if task == "candidate" and set(map(tuple, given["launches"].values())) == {DEAD, WRONG}:
                return Answer([], "no end within 60 s")
            return super().__call__(task, given, limit)

    found = tune(search(Jealous(), tmp_path / "journal"), (None,))
    assert found is not None
    assert found[1].both == 3.5  # main as DEAD has it, seq as shipped


def test_what_is_wrong_at_the_whole_shape_alone_gives_way_to_the_next(tmp_path: Path) -> None:
    class WrongAtLength(Machine):
        def __call__(self, task: str, given: Mapping[str, Any], limit: float) -> Answer:
            if task == "candidate" and given["whole"] and list(DEAD) in given["launches"].values():
                return Answer([{"verified": "B8", "passed": False, "entry": "d k", "error": 0.5, "limit": 0.01}], "")
            return super().__call__(task, given, limit)

    heard: list[tuple[Candidate, Outcome]] = []
    found = tune(search(WrongAtLength(), tmp_path / "journal", heard), (None,))
    assert found is not None
    assert found[1].both == 4.0  # the fastest without DEAD: seq as WRONG has it, which is right alone
    assert [told.problem == "" for each, told in heard if each.whole] == [False] * (sum(each.whole for each, _ in heard) - 1) + [True]


def test_tile_lengths_are_tried_too(tmp_path: Path) -> None:
    machine = Machine()
    found = tune(search(machine, tmp_path / "journal"), (64, 32))
    assert found is not None
    assert found[0].tile == 64
    assert {tile for tile, _ in machine.tried} == {64, 32}


def test_nothing_is_found_where_not_even_what_is_shipped_is_right(tmp_path: Path) -> None:
    def broken(task: str, given: Mapping[str, Any], limit: float) -> Answer:
        return Answer([], "Triton is broken")

    found = tune(Search(JOB, "bfloat16", Journal(tmp_path / "journal"), broken, lambda *each: None, 1.0), (None,))
    assert found is None


def test_a_search_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tune(search(Machine(interrupt_after=5), tmp_path / "journal"), (None,))
    with (tmp_path / "journal").open("a") as file:
        file.write('{"candidate": "[nu')  # killed while it wrote
    second, whole = Machine(), Machine()
    found = tune(search(second, tmp_path / "journal"), (None,))
    assert found == tune(search(whole, tmp_path / "other"), (None,))
    assert len(second.tried) == len(whole.tried) - 5
    third = Machine()
    assert tune(search(third, tmp_path / "journal"), (None,)) == found
    assert (third.tried, third.warmed) == ([], 0)


@pytest.mark.slow
def test_a_child_that_does_not_end_is_killed_and_one_that_dies_says_why() -> None:
    slow = run_child("device", {}, 0.05)
    assert (slow.rows, slow.problem) == ([], "no end within 0.05 s")
    dead = run_child("unheard-of", {}, 60)
    assert dead.rows == []
    assert dead.problem == "KeyError: 'unheard-of' (exit code 1)"


def test_an_interrupt_ends_the_children_of_all_threads_at_once() -> None:
    """Two children that would sleep for a minute, and a third that shall never start; no thread takes their end for a result."""
    script = """
import os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from miras_compiler.bench import children
popen = children.subprocess.Popen
children.subprocess.Popen = lambda command, **more: popen(["sleep", "60"], **more)
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
with children.stopped_with_us():
    try:
        with ThreadPoolExecutor(2) as pool:
            found = [pool.submit(children.run_child, "device", {}, 60) for _ in range(3)]
            [each.result() for each in found]
    except KeyboardInterrupt:
        print([type(each.exception()).__name__ for each in found])
"""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(["KeyboardInterrupt"] * 3), done.stderr
    assert time.perf_counter() - began < 30


ROW = TableRow("H100", "mlp l2 momentum", 256, 16, {"main": FAST})


def test_what_was_found_is_a_row_of_the_table() -> None:
    row = table_row(Candidate(None, (("main", FAST),)), JOB, gpu_class("NVIDIA H100 80GB HBM3"), "mlp l2 momentum")
    assert row == ROW


def test_the_table_reads_back_as_it_was_written_and_a_row_takes_the_place_of_the_old_one() -> None:
    assert table_text(read_table(FILE.read_text(encoding="utf-8"))) == FILE.read_text(encoding="utf-8")
    once = with_row(TABLE, ROW)
    twice = with_row(once, ROW._replace(kernels={"seq": SLOW}))
    assert len(once) == len(twice) == len(TABLE) + 1
    assert read_table(table_text(twice)) == twice
    assert all(len(json.loads(line.strip().rstrip(","))) == 5 for line in table_text(twice).splitlines()[1:-1])


def test_a_row_of_the_rule_goes_before_one_of_the_kind_of_memory_and_no_row_holds_for_other_tiles_or_gpus() -> None:
    forms, default = ("mlp l2 momentum", "deep"), launches("main", ("", ""), 64, table=())
    kind = TableRow("H100", "deep", 256, None, {"main": SLOW})
    table = [ROW, kind, ROW._replace(gpu="A100", width=64), ROW._replace(form="mlp huber momentum", width=64)]
    assert launches("main", forms, 16, table=table) == default | {256: FAST}
    assert launches("main", forms, 64, table=table) == default | {256: SLOW}
    assert launches("seq", forms, 16, table=table) == default
    assert list(launches("main", forms, 16, table=table)) == [64, 256, ANY]


def test_an_exact_rule_runs_in_the_tile_length_that_was_fastest_for_its_widths() -> None:
    spec = load_spec("specs/gated_delta_net.yaml")
    rows = [TableRow("H100", forms_of(spec)[0], width, tile, {}) for width, tile in ((32, 128), (64, 32), (128, 64))]
    assert tuned_tile(spec, table=rows) == 32
    assert tuned_tile(spec, table=()) is None


def test_packages_are_launched_as_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_spec("specs/gated_delta_net.yaml")
    row = TableRow("H100", forms_of(spec)[0], 64, 64, {"main": Launch(2, 5, 16, 99)})
    monkeypatch.setattr("miras_compiler.emit.triton.options.launches", partial(launches, table=(*TABLE, row)))
    kernels = next(file.text for file in compile_spec(spec).files if file.path == "kernels.py")
    assert '"main": (Row(64, warps=2, stages=5, part=16, registers=99), ' in kernels
