"""Warnings that are no errors, printed on stderr; the exit code stays as it is."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from miras_compiler.errors import Problem
from miras_compiler.spec import Spec


def warn_about(specs: Iterable[Spec]) -> list[Problem]:
    """Prints the warnings of all specs, and returns them."""
    from miras_compiler.advice import warnings_of

    warnings = [warning for spec in specs for warning in warnings_of(spec)]
    for warning in warnings:
        print(warning, file=sys.stderr)
    return warnings


def warn_about_pictures() -> None:
    """Says, for all packages of a command, that none gets a picture of its graph."""
    from miras_compiler.emit.graph import NO_PICTURE, can_draw

    if not can_draw():
        print(f"warning: {NO_PICTURE}", file=sys.stderr)
