"""A task in a process of its own, with a limit in seconds: its reports, and the problem if it did not end well."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Answer(NamedTuple):
    """The objects that a child reported, in order, and the reason why it ended early, or ""."""

    rows: list[dict[str, Any]]
    problem: str


_alive: set[subprocess.Popen[str]] = set()
_stopped = threading.Event()


@contextlib.contextmanager
def stopped_with_us() -> Iterator[None]:
    """An interrupt or a request to end, within, kills all children first, those that other threads wait for too, and starts no more.

    Their reports until then are dropped: all who wait for one get the interrupt.
    """

    def end(number: int, frame: object) -> None:
        _stopped.set()
        for child in tuple(_alive):
            _kill(child)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        _stopped.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def run_child(task: str, arguments: Mapping[str, object], limit: float, environment: Mapping[str, str] | None = None) -> Answer:
    """Runs a task of `miras_compiler.bench.child`. After `limit` seconds the child and its own children are killed; its reports until then
    count.

    KeyboardInterrupt where `stopped_with_us` ended it.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environ = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
    command = [sys.executable, "-m", "miras_compiler.bench.child", task, json.dumps(arguments)]
    if _stopped.is_set():
        raise KeyboardInterrupt
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, start_new_session=True)
    _alive.add(child)
    problem = ""
    try:
        out, errors = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        _kill(child)
        out, errors = child.communicate()
        problem = f"no end within {limit:g} s"
    finally:
        _kill(child)  # where an exception got here; else it has ended
        _alive.discard(child)
    if _stopped.is_set():
        raise KeyboardInterrupt
    if child.returncode and not problem:
        said = errors.strip().splitlines()
        problem = f"{said[-1][:300] if said else 'ended without a word'} (exit code {child.returncode})"
    return Answer(list(_objects(out)), problem)


def _kill(child: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)


def _objects(out: str) -> list[dict[str, Any]]:
    """The lines that are whole JSON objects: a killed child may have broken off in the middle of one."""
    found = []
    for line in out.splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            if line.startswith("{"):
                found.append(json.loads(line))
    return found
