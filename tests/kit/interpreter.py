"""Programs in Triton's interpreter, in processes of their own that are forked from one that has imported PyTorch and Triton.

Whether Triton interprets kernels is decided when it is imported, and importing the two anew takes seconds.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import traceback
from functools import cache

from kit.paths import ROOT
from miras_compiler.verify.interpreter import quicken_interpreter

IMPORTED = ("torch", "triton", "torch._dynamo", "miras_compiler.bench.checks", "miras_compiler.bench.subject")


def interpreted(*command: str) -> str:
    """The output of `python COMMAND` under TRITON_INTERPRET=1, at the root of the project: a file or `-c CODE`, and its arguments."""
    with contextlib.ExitStack() as held:
        given, out, errors = (held.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(3))
        json.dump(command, given)
        given.seek(0)
        control = _server()
        socket.send_fds(control, [b"x"], [file.fileno() for file in (given, out, errors)])
        code = control.recv(8).decode()
        out.seek(0)
        errors.seek(0)
        assert code == "0", f"exit code {code}: {errors.read()}"
        return out.read()


@cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair()
    paths = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "kit.interpreter", str(theirs.fileno())]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()])
    theirs.close()

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def _serve(control: socket.socket) -> None:
    """Runs a program for every three files that arrive: its command, its output, its errors; and answers with its exit code."""
    for name in IMPORTED:
        importlib.import_module(name)
    quicken_interpreter()
    while True:
        _, files, _, _ = socket.recv_fds(control, 1, 3)
        if not files:
            return
        child = os.fork()
        if child == 0:
            _run(*files)
        for file in files:
            os.close(file)
        control.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _run(given: int, out: int, errors: int) -> None:
    code = 1
    try:
        os.dup2(out, 1)
        os.dup2(errors, 2)
        with open(given, encoding="utf-8") as file:
            program, *arguments = json.load(file)
        if program == "-c":
            program, *arguments = arguments
            sys.argv = ["-c", *arguments]
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = [program, *arguments]
            runpy.run_path(program, run_name="__main__")
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
