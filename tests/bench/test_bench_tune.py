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
from miras_compiler.bench.comparison import ComparisonJob, Wanted, job_of
from miras_compiler.bench.run import units_of
from miras_compiler.bench.tune import Found, Journal, Search, Unit, table_row
from miras_compiler.derive.rule import describe_rule
from miras_compiler.errors import InputError
from miras_compiler.gpus import gpu_class
from miras_compiler.gpus.launch_table import ANY, FILE, TABLE, Launch, TableRow, launches, read_table, table_text, with_row
from miras_compiler.schedule.forms import forms_of

FAST, SLOW, DEAD, WRONG = Launch(8, 1, 64, 255), Launch(4, 1, 64, 255), Launch(4, 2, 64, 255), Launch(4, 3, 64, 255)
PACKAGE = Path("generated/some")
SHORT, LONG = (ComparisonJob(PACKAGE, (8, tokens, 16, 64, 64, 256), 16, ()) for tokens in (512, 4096))
UNIT = Unit(PACKAGE, "abc", (SHORT, LONG))
MS: dict[str, dict[Launch | None, float]] = {"main": {None: 2.0, FAST: 1.0, SLOW: 2.0, DEAD: 1.5}, "seq": {None: 3.0, FAST: 9.0, SLOW: 3.0}}


class Machine:
    """Runs candidates: FAST makes `main` faster and `seq` slower; DEAD kills the process in `seq`; WRONG writes something else."""

    def __init__(self, interrupt_at: str = "", after: int = 0) -> None:
        self.tried: list[tuple[str, Launch | None]] = []
        self.verified: list[Mapping[str, Any]] = []
        self.tasks: list[str] = []
        self.interrupt_at, self.after = interrupt_at, after

    def __call__(self, task: str, given: Mapping[str, Any], limit: float) -> Answer:
        self.tasks.append(task)
        if task == self.interrupt_at and self.tasks.count(task) > self.after:
            raise KeyboardInterrupt
        return getattr(self, task)(given)  # type: ignore[no-any-return]

    def compile_candidates(self, given: Mapping[str, Any]) -> Answer:
        number, shares = given["share"]
        found = [(name, each) for each in (FAST, SLOW, DEAD, WRONG) for name in MS][number::shares]
        rows = [{"kernel": name, "launch": list(each), "problem": ""} for name, each in found]
        return Answer([*rows, {"kernel": "main", "launch": [16, 1, 64, 255], "problem": "out of registers"}], "")

    def try_candidates(self, given: Mapping[str, Any]) -> Answer:
        rows: list[dict[str, Any]] = []
        for name in MS:
            for launch in (None, *(Launch(*each) for each in given["ready"].get(name, ()))):
                self.tried.append((name, launch))
                about = {"kernel": name, "launch": launch and list(launch)}
                rows.append(about | {"trying": True})
                if (name, launch) == ("seq", DEAD):
                    return Answer(rows, "an illegal memory access was encountered (exit code 1)")
                problem = "U differs by 5.0e-01" if launch == WRONG else ""
                rows.append(about | {"ms": 0.0 if problem else MS[name].get(launch, 5.0), "problem": problem})
        return Answer(rows, "")

    def verify(self, given: Mapping[str, Any]) -> Answer:
        self.verified.append(given["launches"])
        return Answer([{"verified": "B2", "passed": True}, {"verified": "B8", "passed": True}], "")


def search(machine: Machine, journal: Path, heard: list[str] | None = None) -> list[Found]:
    told = heard if heard is not None else []
    return list(Search([UNIT], "bfloat16", Journal(journal), machine, told.append, 60.0, 2).results())


def test_the_best_launch_of_every_kernel_is_found_though_some_kill_the_process_or_are_wrong(tmp_path: Path) -> None:
    heard: list[str] = []
    machine = Machine()
    (found,) = search(machine, tmp_path / "journal", heard)
    assert found.launches == {"main": FAST}  # `seq` gains nothing
    assert (found.total(0), found.total(1), found.problem) == ((5.0, 4.0), (5.0, 4.0), "")
    assert machine.verified == [{"main": list(FAST)}] * 2  # at both shapes
    assert any("an illegal memory access" in each for each in heard)
    assert [16, 1, 64, 255] not in [list(launch) for _, launch in machine.tried if launch]  # it does not compile
    assert machine.tried.count(("seq", DEAD)) == 2  # once a shape: who goes on behind it does not try it again
    assert machine.tried.count(("main", FAST)) == 2


def test_a_launch_has_to_be_right_at_every_shape_and_fast_on_the_whole(tmp_path: Path) -> None:
    class ByShape(Machine):
        def try_candidates(self, given: Mapping[str, Any]) -> Answer:
            rows, problem = super().try_candidates(given)
            for row in rows:
                if "ms" in row and row["kernel"] == "main" and given["shape"] == LONG.shape:
                    wrong = row["launch"] == list(FAST)
                    row |= {"problem": "W differs"} if wrong else {"ms": 0.2} if row["launch"] == list(DEAD) else {}
            return Answer(rows, problem)

    (found,) = search(ByShape(), tmp_path / "journal")
    assert found.launches == {"main": DEAD}
    assert found.times["main"] == [(2.0, 1.5), (2.0, 0.2)]


def test_winners_that_float64_contradicts_give_way_to_what_is_shipped(tmp_path: Path) -> None:
    class Contradicted(Machine):
        def verify(self, given: Mapping[str, Any]) -> Answer:
            found = super().verify(given)
            wrong = {"verified": "B8", "passed": False, "entry": "d k", "error": 0.5, "limit": 0.01}
            return Answer([found.rows[0], wrong], "") if self.is_wrong(given["launches"]) else found

        def is_wrong(self, launches: Mapping[str, Any]) -> bool:
            return "main" in launches

    class Never(Contradicted):
        def is_wrong(self, launches: Mapping[str, Any]) -> bool:
            return True

    (found,) = search(Contradicted(), tmp_path / "journal")
    assert (found.launches, found.total(0), found.problem) == ({}, (5.0, 5.0), "")
    (found,) = search(Never(), tmp_path / "other")
    assert (found.launches, found.problem) == ({}, "d k is off by 5.0e-01 of 1.0e-02 at B8")


def test_nothing_is_found_where_not_even_what_is_shipped_runs(tmp_path: Path) -> None:
    class Broken(Machine):
        def try_candidates(self, given: Mapping[str, Any]) -> Answer:
            return Answer([], "Triton is broken")

    machine = Broken()
    (found,) = search(machine, tmp_path / "journal")
    assert (found.launches, found.problem) == ({}, "nothing was tried to its end")
    assert machine.tasks.count("try_candidates") == 2  # once a shape


def test_a_search_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(Machine("try_candidates", after=1), tmp_path / "journal")
    with (tmp_path / "journal").open("a") as file:
        file.write('[["abc", [8')  # killed while it wrote
    second, whole = Machine(), Machine()
    assert search(second, tmp_path / "journal") == search(whole, tmp_path / "other")
    assert len(second.tried) < len(whole.tried)
    assert second.tried.count(("seq", DEAD)) == 1  # the candidate that killed the process before the interrupt is known
    third = Machine()
    assert search(third, tmp_path / "journal") == search(Machine(), tmp_path / "other")
    assert set(third.tasks) == {"verify"}


def test_shapes_of_a_package_are_tuned_together_by_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "deep"
    package.mkdir()
    (package / "kernels.py").write_text("")
    manifest = {"name": "deep", "dims": {"H": 16, "K": 64, "V": 64, "N": 256}, "chunk": {"size": 16}}
    monkeypatch.setattr("miras_compiler.bench.comparison.read_manifest", lambda folder: manifest)
    jobs = [job_of(package, Wanted.read(each), {}) for each in ("B8 T2048 H32 D256", "B2 T8192 H16 D128", "B1T8192H96D128")]
    units = units_of(jobs)
    assert [[job.shape for job in unit.jobs] for unit in units] == [
        [(2, 8192, 16, 128, 128, 512), (1, 8192, 96, 128, 128, 512)],
        [(8, 2048, 32, 256, 256, 1024)],
    ]
    assert units[1].jobs[0].label == "deep B8 T2048 H32 D256 N1024 chunk 16"
    with pytest.raises(InputError, match="--shape 'B2 T0 H1 D8': expected sequences, tokens, heads and their width"):
        Wanted.read("B2 T0 H1 D8")


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


MEASURED = "NVIDIA H100 80GB HBM3, torch 2.11.0, Triton 3.6.0, 2026-11-30"
ROW = TableRow("H100", "mlp l2 l2 momentum", 256, 16, {"main": FAST}, MEASURED)


def test_what_was_found_is_a_row_of_the_table_that_says_where_and_when() -> None:
    found = Found(UNIT, {"main": FAST}, {}, "")
    assert table_row(found, gpu_class("NVIDIA H100 80GB HBM3"), "mlp l2 l2 momentum", 16, MEASURED) == ROW
    assert all(row.measured for row in TABLE)


def test_the_table_reads_back_as_it_was_written_and_a_row_takes_the_place_of_the_old_one() -> None:
    assert table_text(read_table(FILE.read_text(encoding="utf-8"))) == FILE.read_text(encoding="utf-8")
    once = with_row(TABLE, ROW)
    twice = with_row(once, ROW._replace(kernels={"seq": SLOW}))
    assert len(once) == len(twice) == len(TABLE) + 1
    assert read_table(table_text(twice)) == twice
    assert all(len(json.loads(line.strip().rstrip(","))) == 6 for line in table_text(twice).splitlines()[1:-1])


def test_a_row_of_the_rule_goes_before_one_of_the_kind_of_memory_and_no_row_holds_for_other_tiles_or_gpus() -> None:
    forms, default = ("mlp l2 l2 momentum", "deep"), launches("main", ("", ""), 64, table=())
    kind = TableRow("H100", "deep", 256, None, {"main": SLOW}, MEASURED)
    table = [ROW, kind, ROW._replace(gpu="A100", width=64), ROW._replace(form="mlp huber l2 momentum", width=64)]
    assert launches("main", forms, 16, table=table) == default | {256: FAST}
    assert launches("main", forms, 64, table=table) == default | {256: SLOW}
    assert launches("seq", forms, 16, table=table) == default
    assert list(launches("main", forms, 16, table=table)) == [64, 256, ANY]
    later = [ROW._replace(gpu="H200", kernels={"main": DEAD}), *table]
    assert launches("main", forms, 16, table=later) == default | {256: DEAD}


def test_rules_that_kernels_of_their_own_are_printed_for_have_rows_of_their_own() -> None:
    names = ("gated_delta_net", "delta_net", "mamba2", "linear_attention")
    forms = [forms_of(describe_rule(load_spec(f"specs/{name}.yaml"))) for name in names]
    assert len({rule for rule, _ in forms}) == len(forms)
    assert {kind for _, kind in forms} == {"matrix"}
    assert forms_of(describe_rule(load_spec("specs/kda.yaml"))) == ("matrix l2 l2 gradient_descent by channel", "matrix by channel")


def test_packages_are_launched_as_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_spec("specs/gated_delta_net.yaml")
    row = TableRow("H100", forms_of(describe_rule(spec))[0], 64, 64, {"main": Launch(2, 5, 16, 99)}, MEASURED)
    monkeypatch.setattr("miras_compiler.emit.triton.options.launches", partial(launches, table=(*TABLE, row)))
    kernels = next(file.text for file in compile_spec(spec).files if file.path == "kernels.py")
    assert '"main": (LaunchRow(64, warps=2, stages=5, part=16, registers=99), ' in kernels
