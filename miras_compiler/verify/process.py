"""A package in a process of its own, and its operators and layers as functions here, with their gradients.

The oracles and all comparisons stay in this process; the other one gets tensors and answers with tensors. A package that exits, hangs,
crashes or changes global settings there changes nothing here: its calls raise `PackageEnded`, or return values that can be compared.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from miras_compiler.verify import wire
from miras_compiler.verify.poison import is_poisoned

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600.0  # seconds that one call may take
INTERPRET = "TRITON_INTERPRET"  # the environment variable by which Triton interprets kernels
START = 120.0  # and the start of a process
DOING = {
    "open": "when it was imported",
    "models": "when its models were imported",
    "call": "when it was called",
    "backward": "in its backward pass",
    "layer": "when its layer was made",
    "widths": "when its layer was made without arguments",
    "layer_call": "when its layer was called",
}


class KernelsRefused(RuntimeError):
    """The package's kernels do not hold a state of these widths, which is known before they are launched; operators run in PyTorch."""


class PackageEnded(Exception):
    """The package's process has ended, or was ended because it did not answer."""


BASES = {"ValueError": ValueError, "TypeError": TypeError, "refused": KernelsRefused, "": RuntimeError}


class Host:
    """The process that has imported torch, and forks for every package; it ends when this one does.

    Where there is no GPU, it has imported Triton's interpreter, too: Triton decides when it is imported whether kernels are interpreted.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.control, theirs = socket.socketpair()
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        interpreter = {} if torch.cuda.is_available() else {INTERPRET: "1"}
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", **interpreter}
        command = [sys.executable, "-m", "miras_compiler.verify.host", str(theirs.fileno())]
        self.child = subprocess.Popen(
            command,
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()

    @property
    def alive(self) -> bool:
        return self.owner == os.getpid() and self.child.poll() is None

    def fork(self, pipes: Sequence[int]) -> None:
        socket.send_fds(self.control, [b"x"], list(pipes))

    def close(self) -> None:
        self.control.close()
        if self.owner == os.getpid():
            self.child.wait(START)


_hosts: list[Host] = []


def host() -> Host:
    """The one of this process, started where there is none."""
    if not _hosts or not _hosts[0].alive:
        _hosts[:] = [Host()]
        atexit.register(_hosts[0].close)
    return _hosts[0]


class Process:
    """One package in a process of its own, imported there before the first request; requests in turn."""

    def __init__(self, folder: Path, name: str, environment: Mapping[str, str], on_gpu: bool = False) -> None:
        threads = torch.get_num_threads()
        # The host keeps the working folder of its start, and this process may have left it.
        self.opening = {
            "folder": str(folder.absolute()),
            "name": name,
            "environment": dict(environment),
            "threads": threads,
            "on_gpu": on_gpu,
        }
        self.exports: tuple[str, ...] | None = None
        self.forget: list[int] = []
        self.problem = ""
        self.words = tempfile.TemporaryFile()  # noqa: SIM115
        to_read, self.requests = os.pipe()
        self.answers, to_write = os.pipe()
        host().fork([to_read, to_write, self.words.fileno()])
        os.close(to_read)
        os.close(to_write)
        self.pid = 0

    def open(self) -> tuple[str, ...]:
        """Imports the package without its models, once, and returns the names that it exports; raises as `request` does."""
        if self.exports is None:
            self.exports = tuple(self._ask("open", **self.opening))
        return self.exports

    def request(self, verb: str, **given: Any) -> Any:
        """The value of the answer; the package's exception, by its name; PackageEnded where there is no answer, now and ever after."""
        self.open()
        return self._ask(verb, **given)

    def _ask(self, verb: str, **given: Any) -> Any:
        if self.problem:
            raise PackageEnded(self.problem)
        forget, self.forget = self.forget, []
        patience = START
        try:
            if not self.pid:
                self.pid = wire.receive(self.answers, START)
            patience = PATIENCE
            wire.send(self.requests, {"verb": verb, "forget": forget, "poisoned": is_poisoned(), **given})
            answer = wire.receive(self.answers, patience)
            error, value = answer.get("error"), answer.get("value")
        except wire.Closed:
            self.end(f"{DOING[verb]}, the package ended its process{self.last_words()}")
        except wire.TooLate:
            late = f"{DOING[verb]}, the package did not answer" if self.pid else "the process for the package did not begin"
            self.end(f"{late} within {patience:g} s")
        except Exception as problem:
            self.end(f"{DOING[verb]}, the package wrote into the pipe of its answers ({type(problem).__name__}: {problem})")
        if self.problem:
            raise PackageEnded(self.problem)
        if error:
            name, base, text = map(str, error)
            raise type(name, (BASES.get(base, RuntimeError),), {})(text)
        return value

    def last_words(self) -> str:
        self.words.seek(0)
        lines = self.words.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:200]}" if lines else ""

    def end(self, problem: str) -> None:
        """Ends the process; every later request raises PackageEnded."""
        if self.problem:
            return
        self.problem = problem
        for pipe in (self.requests, self.answers):
            os.close(pipe)
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self.words.close()
