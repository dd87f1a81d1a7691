"""`miras graph`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from miras_compiler.cli.options import Settings, SpecFile
from miras_compiler.console import busy


def graph(
    spec: SpecFile,
    settings: Settings = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The picture; - for stdout. Default: NAME.FORMAT.", show_default=False),
    ] = None,
    format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="svg, png, pdf, dot or json. Default: as FILE ends, else svg.", show_default=False)
    ] = None,
    expand: Annotated[bool, typer.Option("--expand", help="Show the values inside the memory, too.")] = False,
) -> None:
    """Draw the dependency graph of a spec.

    It shows the dependencies between values, across time, and the value that decides the parallel form.
    """
    from miras_compiler.cli.specs import load_one
    from miras_compiler.errors import InputError

    chosen = _format(output, format)
    to_stdout = output == Path("-")
    if to_stdout and chosen in ("png", "pdf") and sys.stdout.isatty():
        raise InputError(f"a {chosen} is not text for a terminal; name a file with -o, or pipe it")
    loaded = load_one(spec, settings)
    with busy(f"drawing {loaded.name}"):
        from miras_compiler.compiler import compile_spec
        from miras_compiler.emit.graph import render
        from miras_compiler.store import write_file

        compilation = compile_spec(loaded)
        picture = render(compilation.graph, chosen, expand)
    if to_stdout:
        sys.stdout.buffer.write(picture)
    else:
        print(f"wrote {write_file(output or Path(f'{loaded.name}.{chosen}'), picture)}")


def _format(output: Path | None, format: str | None) -> str:
    """The format that is asked for, or that the file's name ends in; raises InputError if it is none that we write."""
    from miras_compiler.emit.graph import FORMATS
    from miras_compiler.errors import InputError, nearest

    chosen = format or (output.suffix[1:].lower() if output else "") or "svg"
    if chosen not in FORMATS:
        raise InputError(f"unknown picture format '{chosen}'; {nearest(chosen, FORMATS)}")
    return chosen
