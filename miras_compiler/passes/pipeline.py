"""The list of passes, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from miras_compiler.ir.program import Program
from miras_compiler.ir.verify import verify_program
from miras_compiler.passes.fuse import fuse
from miras_compiler.passes.name import name

Pass = Callable[[Program], Program]
PASSES: tuple[Pass, ...] = (fuse, name)


def run_passes(program: Program, passes: Sequence[Pass] = PASSES) -> Program:
    """The program after all passes, each of which leaves a program that means the same."""
    for each in passes:
        program = verify_program(each(program))
    return program
