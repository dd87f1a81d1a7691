"""`build_program`: the tile program that a parallel form runs."""

from __future__ import annotations

from miras_compiler.analysis import ParallelForm
from miras_compiler.derive import UpdateRule
from miras_compiler.ir.program import Program
from miras_compiler.ir.verify import verify_program
from miras_compiler.lower.chunk import ChunkBuilder


def build_program(rule: UpdateRule, form: ParallelForm) -> Program:
    """The chunk program of the form, or the token step where nothing better is exact."""
    if form.kind == "token_by_token":
        return rule.step.program
    return verify_program(ChunkBuilder(rule, kind=form.kind, paths=rule.coefficients).build())
