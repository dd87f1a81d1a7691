"""Scripts in processes of their own, forked from one that has imported the compiler: importing it anew takes seconds."""

from __future__ import annotations

import textwrap
from multiprocessing import get_context
from pathlib import Path

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["miras_compiler.store", "miras_compiler.emit.source_file"])


def exit_code(script: str, folder: Path) -> int:
    """The exit code of a process that runs the script on `folder`, its name there: 0, 1 after an exception, −9 after SIGKILL."""
    process = _CONTEXT.Process(target=_run, args=(textwrap.dedent(script), folder))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _run(script: str, folder: Path) -> None:
    exec(compile(script, "script", "exec"), {"folder": folder})
