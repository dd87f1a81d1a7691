"""Questions to a child process, one after another: it has a limit of time and of memory, and one that dies is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 2**26  # bytes of an answer
GRACE = 30.0  # seconds for a process to start, and for one that ends itself to do so
WAITING = 16  # questions that may wait for their turn


class Unanswered(Exception):
    """There is no answer; the text says why, in a sentence for the user."""


class Refused(Exception):
    """The question is wrong; the text is that of the compiler's error."""


class Worker:
    """A child process that answers `ask`; it starts with the first question."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._number = 0
        self._waiting = 0

    async def ask(self, question: str, given: Mapping[str, Any], seconds: float) -> Any:
        """The answer of explore.answers to the question; Refused, or Unanswered after `seconds`, when the child dies, and in a crowd."""
        if self._waiting >= WAITING:
            raise Unanswered(f"more than {WAITING} questions wait for an answer; ask again in a moment")
        self._waiting += 1
        try:
            async with self._turn:
                self._number += 1
                line = json.dumps({"number": self._number, "question": question, "given": given, "seconds": seconds})
                return await self._answer(line, seconds)
        finally:
            self._waiting -= 1

    async def _answer(self, line: str, seconds: float) -> Any:
        process = await self._started()
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(line.encode() + b"\n")
            await process.stdin.drain()
            async with asyncio.timeout(seconds + GRACE):
                while True:
                    said = json.loads(await process.stdout.readline() or b'{"died": 0}')
                    if "died" in said or said["number"] == self._number:
                        break
        except (TimeoutError, OSError, ValueError):
            await self.close()
            raise Unanswered("the compiler did not answer, and was started anew; ask again") from None
        if "died" in said:
            slow = said["died"] == signal.SIGALRM
            raise Unanswered(f"this took longer than {seconds:g} s, and was ended" if slow else "the compiler's process died; ask again")
        if "refused" in said:
            raise Refused(said["refused"])
        if "failed" in said:
            raise Unanswered(said["failed"])
        return said["answer"]

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is not None:
            await self.close()
        if self._process is None:
            paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "miras_compiler.explore.child"),
                env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LONGEST,
                start_new_session=True,  # an interrupt at the terminal is the server's
            )
        return self._process

    async def close(self) -> None:
        """Ends the child, and its child."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
