"""The process behind a Worker: it imports the compiler once, and forks for the process that answers.

The one that answers ends by an alarm when a question takes too long, wherever it is, and its parent forks the next one at once.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import sys
from typing import IO, Any

MEMORY = 4 * 2**30  # bytes of address space: more is a MemoryError
KEPT = 700 * 2**20  # bytes of memory after which a process gives way to a new one
ENDED = 3  # exit code: there are no more questions


def main() -> None:
    """Forks until there are no more questions; says of a process that died by which signal, or 0."""
    questions, answers = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # whatever prints does not speak for us
    importlib.import_module("miras_compiler.explore.answers")
    gc.freeze()
    while True:
        child = os.fork()
        if not child:
            with open(questions, "rb", closefd=False) as lines, open(answers, "w", encoding="utf-8", closefd=False) as spoken:
                os._exit(answer_all(lines, spoken))
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == ENDED:
            return
        if code:
            os.write(answers, json.dumps({"died": max(0, -code)}).encode() + b"\n")


def answer_all(lines: IO[bytes], spoken: IO[str]) -> int:
    """Answers line by line, until there is none, or this process has grown large; returns its exit code."""
    with contextlib.suppress(ValueError, OSError):  # some systems have no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    while line := lines.readline():
        asked = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, asked["seconds"])
        said = reply(asked["question"], asked["given"])
        signal.setitimer(signal.ITIMER_REAL, 0)
        spoken.write(json.dumps({"number": asked["number"], **said}, ensure_ascii=False) + "\n")
        spoken.flush()
        if _memory() > KEPT:
            return 0
    return ENDED


def reply(question: str, given: dict[str, Any]) -> dict[str, Any]:
    """The answer, the compiler's refusal, or the failure."""
    from miras_compiler.errors import InputError, InternalError
    from miras_compiler.explore.answers import ANSWERS
    from miras_compiler.version import __version__

    try:
        return {"answer": ANSWERS[question](**given)}
    except InputError as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"failed": "this needs more memory than the page gives it"}
    except InternalError as bug:
        return {"failed": str(bug)}
    except Exception as bug:
        return {"failed": str(InternalError(f"{type(bug).__name__}: {bug}", version=__version__))}


def _memory() -> int:
    """The most bytes of memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
