"""A question that takes too long, or kills the process that answers, is ended; the next one is answered."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from miras_compiler.explore.worker import WAITING, Refused, Unanswered, Worker
from miras_compiler.spec.shipped import shipped_specs

GIVEN = {"text": shipped_specs()["linear_attention"].path.read_text(encoding="utf-8"), "file": "x.yaml"}


def with_worker(act: Callable[[Worker], Awaitable[None]]) -> None:
    async def run() -> None:
        worker = Worker()
        try:
            await act(worker)
        finally:
            await worker.close()

    asyncio.run(run())


def children_of(pid: int) -> list[int]:
    return [int(found) for found in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_what_takes_too_long_or_dies_is_replaced_and_nothing_is_left() -> None:
    seen: list[int] = []

    async def act(worker: Worker) -> None:
        assert (await worker.ask("look", GIVEN, 60))["valid"]
        assert worker._process is not None
        seen.append(worker._process.pid)
        (first,) = children_of(worker._process.pid)
        with pytest.raises(Unanswered, match=r"longer than 0\.01 s"):
            await worker.ask("advice", GIVEN, 0.01)
        assert (await worker.ask("look", GIVEN, 60))["valid"]
        (second,) = children_of(worker._process.pid)
        assert first != second
        os.kill(second, signal.SIGSTOP)  # so that it does not answer before it dies
        asked = asyncio.create_task(worker.ask("package", {**GIVEN, "path": "kernels.py"}, 60))
        await asyncio.sleep(0.3)
        os.kill(second, signal.SIGKILL)
        with pytest.raises(Unanswered, match="died"):
            await asked
        with pytest.raises(Refused, match="is not a key"):
            await worker.ask("change", {**GIVEN, "key": "?", "value": 1, "yaml": None, "remove": False}, 60)
        with pytest.raises(Unanswered, match="internal error"):
            await worker.ask("look", {"text": 3, "file": "x.yaml"}, 60)
        seen.extend(children_of(worker._process.pid))
        os.kill(worker._process.pid, signal.SIGKILL)
        while worker._process.returncode is None:
            await asyncio.sleep(0.01)
        assert (await worker.ask("look", GIVEN, 60))["valid"]
        seen.extend([worker._process.pid, *children_of(worker._process.pid)])

    with_worker(act)
    deadline = time.monotonic() + 30
    while running := [pid for pid in seen if is_running(pid)]:
        assert time.monotonic() < deadline, running
        time.sleep(0.01)


@pytest.mark.slow
def test_a_crowd_of_questions_is_turned_away() -> None:
    async def act(worker: Worker) -> None:
        asked = [asyncio.create_task(worker.ask("look", GIVEN, 60)) for _ in range(WAITING + 5)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(each, Unanswered) for each in found) == 5
        assert sum(isinstance(each, dict) for each in found) == WAITING

    with_worker(act)
