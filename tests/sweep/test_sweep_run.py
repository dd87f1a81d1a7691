"""`miras sweep` on a task, on the CPU: its results, also when workers are killed or files are torn."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")
pytest.importorskip("transformers")

from kit.browser import launched, needs_browser
from miras_compiler.cli import main
from miras_compiler.compiler import compile_spec
from miras_compiler.models import model_classes
from miras_compiler.runs import RunFolder
from miras_compiler.store import REPORT
from miras_compiler.sweep.attempt import prepare
from miras_compiler.sweep.grid import Grid, load_grid
from miras_compiler.sweep.leaderboard import Standing, front, leaderboard, write_csv
from miras_compiler.sweep.page import page
from miras_compiler.sweep.points import values_of
from miras_compiler.sweep.queue import ATTEMPTS, FAILED, LOST, MEASURED, POINT, WORKER, claim, counting, fill, take_back, waiting
from miras_compiler.sweep.storage import JOURNAL, cut_torn_line, open_storage, open_study
from miras_compiler.sweep.worker import shares

SMALL = """\
name: small
memory: {kind: matrix}
attentional_bias: {kind: l2}
retention: {kind: none}
gates: {eta: {init: 0.1}}
layer: {heads: 2, head_dim: 4, conv: 0}
model: {hidden_size: 8, layers: 1, mlp: {kind: none}}
"""
GRID = """\
base: small.yaml
vary:
  train.lr: [0.001, 0.01]
  chunk.read: [after_write, elsewhere]
train: {task: "mqar,vocab_size=32,pairs=2,length=16", steps: 30, batch: 4, save_every: 10}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a grid of two points, and two that are no specs."""
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "grid.yaml").write_text(GRID)
    return tmp_path


def study_of(folder: Path, grid: Grid, url: str | None = None) -> Any:
    folder.mkdir(exist_ok=True)
    return open_study(open_storage(folder, url), grid)


def done(study: Any, grid: Grid, worker: str = "w", **measured: Any) -> None:
    """One trial, claimed and measured."""
    trial = claim(study, grid, worker)
    assert trial is not None
    found = {"quality": 0.5, "state_bytes": 10, "tokens_per_second": 5.0, "parameters": 3, "loss": 1.0, "qualities": [0.5], **measured}
    trial.set_user_attr(MEASURED, found)
    study.tell(trial, [found[name] for name in grid.objectives])


@pytest.mark.parametrize(
    ("more", "workers", "cores", "found"),
    [
        ("", 1, 2, (1, True)),
        ("", 2, 16, (7, True)),
        ("", 8, 8, (1, False)),
        ("verify: false\n", 1, 2, (2, False)),
        ("", 3, 2, (1, False)),
    ],
)
def test_a_worker_leaves_a_core_to_the_process_that_prepares_the_next_point(
    more: str, workers: int, cores: int, found: tuple[int, bool], place: Path
) -> None:
    (place / "grid.yaml").write_text(GRID + more)
    assert shares(load_grid(place / "grid.yaml"), workers, cores) == found


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def until(process: subprocess.Popen[str], pattern: str, folder: Path) -> Path:
    """Waits for a file while a process runs."""
    end = time.monotonic() + 1200
    while time.monotonic() < end:
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    raise AssertionError(f"no {pattern} in {folder}")


def children(process: int) -> list[int]:
    """The processes that a process started and that run Python's spawn."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            line = (stat.parent / "cmdline").read_text()
        except (OSError, ValueError):
            continue
        if parent == process and "spawn_main" in line:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers by /proc")
def test_a_sweep_whose_worker_is_killed_and_whose_journal_is_torn_comes_to_its_end(place: Path) -> None:
    """All of a sweep at once, because starting its processes takes most of the time."""
    folder = place / "out"
    command = [sys.executable, "-m", "miras_compiler", "sweep", str(place / "grid.yaml"), "-o", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(process, "runs/*/checkpoint-10/whole.json", folder)
        (worker,) = children(process.pid)
        with (folder / JOURNAL).open("ab") as journal:
            journal.write(b'{"op_code":4,"tri')
        os.kill(worker, signal.SIGKILL)
        told, wrong = process.communicate(timeout=1200)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, wrong
    rows = rows_of(folder / "leaderboard.csv")
    assert [row["state"] for row in rows] == ["done", "done", "skipped", "skipped"]
    assert all("grid.yaml:4:3: unknown read 'elsewhere'" in row["reason"] for row in rows[2:])
    assert float(rows[0]["quality"]) >= float(rows[1]["quality"])
    for row in rows[:2]:
        run = RunFolder(folder / "runs" / row["point"])
        assert run.about()["lr"] == float(row["train.lr"])
        assert [each["step"] for each in run.rows()] == list(range(1, 31))
        scores = json.loads(run.evaluation.read_text())["task:mqar"]
        assert (scores["accuracy"], scores["checkpoint"]) == (float(row["quality"]), "checkpoint-30")
        assert int(row["state_bytes"]) == 2 * 4 * 4 * 4  # heads, K, V, bytes of float32
        make_config, make_model = model_classes(run.package)
        assert int(row["parameters"]) == make_model(make_config(**run.about()["config"])).num_parameters()
    study = study_of(folder, load_grid(place / "grid.yaml"))
    trials = [trial for trial in study.get_trials() if trial.user_attrs[POINT] in {int(row["point"]) for row in rows[:2]}]
    assert sorted(LOST in trial.user_attrs for trial in trials) == [False, False, True]
    assert len(list((folder / "packages").iterdir())) == 1
    assert "2 points, ◆" in " ".join(told.split())
    assert "skipped and failed" in " ".join(told.split())
    page = (folder / "leaderboard.html").read_text()
    assert page.count("<circle") == 6
    assert not re.search(r"(src|href)=|https?://(?!www\.w3\.org)", page)
    before = (folder / "leaderboard.csv").read_bytes()
    assert main(["sweep", str(place / "grid.yaml"), "-o", str(folder)]) == 0
    assert (folder / "leaderboard.csv").read_bytes() == before


def test_points_of_dead_workers_wait_again_with_what_was_drawn_until_they_have_killed_three(place: Path) -> None:
    (place / "grid.yaml").write_text(
        "base: small.yaml\nvary: {gates.eta.init: {low: 0.01, high: 1, log: true}, layer.heads: {low: 1, high: 8}}\n"
        "train: {task: mqar}\nbudget: {trials: 2}\n"
    )
    grid = load_grid(place / "grid.yaml")
    study = study_of(place / "out", grid)
    fill(study, grid)
    drawn = []
    for attempt in range(ATTEMPTS):
        trial = claim(study, grid, f"dead {attempt}")
        assert trial is not None
        drawn.append((trial.user_attrs[POINT], values_of(grid, trial.params)))
        assert take_back(study, grid, lambda name: True) == []
        assert take_back(study, grid, lambda name: None) == []  # of another machine, and it was alive a moment ago
        assert take_back(study, grid, lambda name: False) == [drawn[0][0]]
    done(study, grid)
    assert drawn == [drawn[0]] * ATTEMPTS
    assert isinstance(drawn[0][1]["layer.heads"], int)
    assert claim(study, grid, "w") is None
    counted = counting(study)
    assert counted[drawn[0][0]].user_attrs[FAILED] == f"its worker died {ATTEMPTS} times"
    assert [state.user_attrs[WORKER] for state in counted.values() if MEASURED in state.user_attrs] == ["w"]


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["journal", "sqlite"])
def test_two_workers_never_get_one_point_and_points_are_listed_once(place: Path, storage: str) -> None:
    grid = load_grid(place / "grid.yaml")
    url = None if storage == "journal" else f"sqlite:///{place / 'trials.db'}"
    one, other = study_of(place / "out", grid, url), study_of(place / "out", grid, url)
    fill(one, grid)
    fill(other, grid)
    assert len(one.get_trials()) == 4
    claimed = [claim(study, grid, "w") for study in (one, other, one, other)]
    assert len({trial.number for trial in claimed if trial}) == 2
    assert claimed[2:] == [None, None]


def test_a_torn_last_line_of_a_journal_is_cut_and_the_lines_before_it_stay(place: Path) -> None:
    grid = load_grid(place / "grid.yaml")
    fill(study_of(place / "out", grid), grid)
    journal = place / "out" / JOURNAL
    whole = journal.read_bytes()
    for torn in (b"{", b'{"op_code":4,"trial_id"', whole.splitlines()[0]):
        journal.write_bytes(whole + torn)
        cut_torn_line(place / "out")
        assert journal.read_bytes() == whole
    journal.write_bytes(whole + b'{"op')
    done(study_of(place / "out", grid), grid)
    assert len(waiting(study_of(place / "out", grid))) == 1


def test_a_grid_may_leave_out_the_verification_of_its_packages_and_is_the_same_sweep(place: Path) -> None:
    whole = load_grid(place / "grid.yaml")
    (place / "bare.yaml").write_text(GRID + "verify: false\n")
    bare = load_grid(place / "bare.yaml")
    package = prepare(bare, place / "sweep", compile_spec(bare.bases["small.yaml"]))
    assert (package / "ops.py").is_file()
    assert not (package / REPORT).exists()
    assert bare.digest == whole.digest


def test_a_budget_counts_points_that_are_specs_and_a_larger_one_adds_some(place: Path) -> None:
    for budget, waits in (("budget: {trials: 1}\n", 1), ("", 2)):
        (place / "grid.yaml").write_text(GRID + budget)
        grid = load_grid(place / "grid.yaml")
        study = study_of(place / "out", grid)
        fill(study, grid)
        assert len(waiting(study)) == waits
    assert len(counting(study)) == 4


def test_the_leaderboard_has_the_best_first_and_marks_what_nothing_beats(place: Path) -> None:
    (place / "grid.yaml").write_text("base: small.yaml\nvary: {layer.heads: [1, 2, 4, 8]}\ntrain: {task: mqar}\n")
    grid = load_grid(place / "grid.yaml")
    study = study_of(place / "out", grid)
    fill(study, grid)
    found = [(0.5, 100, 9.0), (0.9, 400, 1.0), (0.4, 200, 8.0), (0.5, 50, 2.0)]
    for quality, size, speed in found:
        done(study, grid, quality=quality, state_bytes=size, tokens_per_second=speed, qualities=[quality])
    entries = leaderboard(study, grid)
    assert [(entry.measured["quality"], entry.measured["state_bytes"], entry.front) for entry in entries] == [
        (0.9, 400, True), (0.5, 50, True), (0.5, 100, False), (0.4, 200, False),
    ]  # fmt: skip
    assert [entry.measured["quality"] for entry in front(grid, entries, "tokens_per_second", "quality")] == [0.9, 0.5]
    rows = rows_of(write_csv(grid, entries, place / "leaderboard.csv"))
    assert [(row["rank"], row["front"], row["quality of seed 0"]) for row in rows] == [
        ("1", "yes", "0.9"), ("2", "yes", "0.5"), ("3", "no", "0.5"), ("4", "no", "0.4"),
    ]  # fmt: skip


def test_the_page_escapes_what_a_grid_holds_and_has_a_plot_for_each_pair(place: Path) -> None:
    grid = load_grid(place / "grid.yaml")
    values = {"train.lr": "0.001", "chunk.read": "<script>alert(1)</script>"}
    measured = {"quality": 0.5, "state_bytes": 10, "tokens_per_second": 5.0, "parameters": 3, "loss": 1.0, "qualities": [0.5]}
    text = page(grid, [Standing("0000", "done", values, measured, front=True), Standing("0001", "failed", values, {}, "<b>no</b>")])
    assert "<script>alert" not in text
    assert "<b>no</b>" not in text
    assert [text.count(f"quality over {said}") for said in ("states of", "tokens per second", "parameters")] == [2, 2, 2]
    assert "color-scheme: light dark" in text


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_value_stays_in_its_cell(width: int, place: Path) -> None:
    grid = load_grid(place / "grid.yaml")
    values = {"train.lr": "0.001", "chunk.read": '{"kind": "formula", "loss": "sum(width**2 * log(1 + ((u - v) / width)**2)) / 2"}'}
    measured = {"quality": 0.5, "state_bytes": 10, "tokens_per_second": 5.0, "parameters": 3, "loss": 1.0, "qualities": [0.5]}
    (place / "page.html").write_text(page(grid, [Standing("0000", "done", values, measured, front=True)]), encoding="utf-8")
    with launched() as browser:
        tab = browser.new_page(viewport={"width": width, "height": 844})
        tab.goto((place / "page.html").as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        outside = """cells => cells.filter((cell) => {
            const range = new Range();
            range.selectNodeContents(cell);
            return range.getBoundingClientRect().right > cell.getBoundingClientRect().right + 1;
        }).map((cell) => cell.textContent)"""
        assert tab.eval_on_selector_all("#leaderboard :is(th, td)", outside) == []


def test_a_folder_of_something_else_is_refused_and_left_as_it_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from miras_compiler.sweep.supervisor import begin

    folder, command = place / "out", ["sweep", str(place / "grid.yaml"), "-o", str(place / "out")]
    begin(load_grid(place / "grid.yaml"), folder, None, "miras sweep")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for grid, more, told in (
        (GRID.replace("30", "31"), [], "holds the sweep of another grid"),
        (GRID, ["--storage", f"sqlite:///{place}/x.db"], "its trials are kept in its own journal; leave --storage out"),
        (GRID, ["--workers", "0"], "--workers must be at least 1, got 0"),
    ):
        (place / "grid.yaml").write_text(grid)
        assert main([*command, *more]) == 2
        assert told in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not (place / "x.db").exists()
    other = place / "other"
    other.mkdir()
    (other / "a file").touch()
    assert main(["sweep", str(place / "grid.yaml"), "-o", str(other)]) == 2
    assert f"{other}: is not empty and holds no sweep" in capsys.readouterr().err


def test_a_grid_without_a_spec_and_a_database_that_is_away_are_refused_and_nothing_is_written(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sweep", str(place / "grid.yaml"), "-o", str(place / "out")]
    for url, shown in (
        ("sqlite:////nowhere/at/all.db", "--storage sqlite:////nowhere/at/all.db: cannot be opened: unable to open database file"),
        ("postgresql+none://me:secret@host/db", "--storage postgresql+none://me:***@host/db: cannot be opened"),
        ("a folder", "--storage a folder: cannot be opened: Could not parse SQLAlchemy URL"),
    ):
        assert main([*command, "--storage", url]) == 2
        told = capsys.readouterr().err
        assert shown in told
        assert "secret" not in told
        assert "leave --storage out for a journal in the sweep's folder" in told
    (place / "grid.yaml").write_text(GRID.replace("after_write, ", ""))
    assert main(command) == 2
    assert "no point is a spec, so there is nothing to train" in capsys.readouterr().err
    assert sorted(path.name for path in place.iterdir()) == ["grid.yaml", "small.yaml"]


INTERRUPTED_TWICE = """\
import sys
from miras_compiler.cli import main
from miras_compiler.sweep import supervisor

class Again:
    def find_spec(self, name, path=None, target=None):
        if not name.startswith("encodings."):  # Python's own codecs, in a moment
            raise KeyboardInterrupt

def run(*arguments):
    sys.meta_path.insert(0, Again())
    raise KeyboardInterrupt

supervisor.run = run
sys.exit(main(["sweep", "grid.yaml", "-o", "out"]))
"""


def test_after_an_interrupt_the_leaderboard_needs_nothing_that_another_interrupt_could_stop(place: Path) -> None:
    """Another one comes whenever a module is looked for."""
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED_TWICE], cwd=place, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (130, "interrupted")
    assert [row["state"] for row in rows_of(place / "out" / "leaderboard.csv")].count("waiting") == 2
    assert (place / "out" / "leaderboard.html").is_file()


@pytest.mark.slow
def test_an_interrupt_ends_the_workers_and_their_points_wait_with_nothing_lost(place: Path) -> None:
    from miras_compiler.sweep.supervisor import begin, run
    from miras_compiler.sweep.worker import SweepJob

    grid, folder = load_grid(place / "grid.yaml"), place / "out"
    study = begin(grid, folder, None, "miras sweep")

    def interrupt() -> None:
        if any(trial.state.name == "RUNNING" for trial in counting(study).values()):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(study, SweepJob(grid, folder, None, time.time() + 1000, 1, ahead=False), 1, interrupt)
    assert not multiprocessing.active_children()
    assert len(waiting(study)) == 2
    assert [LOST in trial.user_attrs for trial in study.get_trials()].count(True) == 1
