"""The entry point: runs a command and turns whatever it raises into text and an exit code.

0 fine · 1 a check failed · 2 the user's input is wrong · 70 a bug of ours · 130 interrupted · 141 the reader of our output stopped.
No exception is ever shown as a traceback; that of a bug is saved to a file, for the report.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

FAILED, WRONG_INPUT, BUG, INTERRUPTED, NO_READER = 1, 2, 70, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line (sys.argv without arguments) and returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Greek letters shows question marks
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = NO_READER
    if code == INTERRUPTED:
        print("interrupted", file=sys.stderr)
    elif code == NO_READER:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's own last flush would complain
    return code


def _run(arguments: Sequence[str] | None) -> int:
    from miras_compiler.errors import CheckFailed, InputError, InternalError

    try:
        _check_readable(sys.argv[1:] if arguments is None else arguments)
        from miras_compiler.cli.app import app

        app(args=arguments, prog_name="miras")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except CheckFailed as failed:
        print(failed, file=sys.stderr)
        return FAILED
    except InputError as problem:
        print(problem, file=sys.stderr)
        return WRONG_INPUT
    except InternalError as bug:
        print(f"{bug}{_saved(bug)}", file=sys.stderr)
        return BUG
    except Exception as bug:
        print(f"{InternalError(f'{type(bug).__name__}: {bug}')}{_saved(bug)}", file=sys.stderr)
        return BUG
    return 0


def _check_readable(arguments: Sequence[str]) -> None:
    """Raises InputError for an argument whose bytes are no UTF-8: it could be neither written down nor read by a model."""
    from miras_compiler.errors import InputError, short

    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise InputError(f"'{short(argument)}': an argument that is not UTF-8; write it in UTF-8, or rename the file")


def _saved(bug: Exception) -> str:
    """The file with the details of a bug, as the end of a message; "" if none could be saved."""
    from miras_compiler.version import __version__

    details = f"miras {__version__}, Python {sys.version}\n{' '.join(sys.argv)}\n\n{''.join(traceback.format_exception(bug))}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="miras-bug-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(details)
    except OSError:
        return ""
    return f"; details are in {file.name}"
