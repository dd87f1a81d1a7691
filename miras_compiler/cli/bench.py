"""`miras bench`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miras_compiler.cli.options import Json, OutputFolder, Settings
from miras_compiler.console import busy

if TYPE_CHECKING:
    from miras_compiler.bench.run import Kind


def bench(
    specs: Annotated[
        list[Path],
        typer.Argument(metavar="SPEC", help="Spec files, names of specs, or folders of packages that are compiled.", show_default=False),
    ],
    peers: Annotated[bool, typer.Option("--peers", help="Measure the PyTorch form and the peers that are installed, too.")] = False,
    tune: Annotated[bool, typer.Option("--tune", help="Search for the best launches, and enter them into the launch table.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="No speed: hold every kernel against float64, over widths and precisions.")
    ] = False,
    output: OutputFolder = Path("generated"),
    settings: Settings = None,
    batch: Annotated[int, typer.Option("--batch", "-B", min=1, metavar="NUMBER", help="Sequences.")] = 8,
    tokens: Annotated[int, typer.Option("--tokens", "-T", min=1, metavar="NUMBER", help="Tokens of a sequence.")] = 4096,
    shape: Annotated[
        list[str] | None,
        typer.Option("--shape", metavar="SHAPE", help="Such as 'B2 T8192 H16 D128', in place of the package's own widths."),
    ] = None,
    cases: Annotated[int, typer.Option("--cases", min=1, metavar="NUMBER", help="Of --check: how many widths of each package.")] = 5,
    limit: Annotated[float, typer.Option("--limit", min=1, metavar="SECONDS", help="What one measurement may take.")] = 300,
    processes: Annotated[int, typer.Option("--processes", min=1, metavar="NUMBER", help="How many compile kernels at a time.")] = 8,
    results: Annotated[Path | None, typer.Option("--results", metavar="FILE", help="Write what is found there, as JSON.")] = None,
    journal: Annotated[
        Path, typer.Option("--journal", metavar="FOLDER", help="Where --tune keeps what it tried, to go on after an interrupt.")
    ] = Path(".tune"),
    as_json: Json = False,
) -> None:
    """Measure kernels on this machine's GPU, beside their peers, or search for their best launches.

    A speed is printed only for results that agree with float64, at a small shape and at the one that is timed.

    Everything runs in processes of its own: a kernel that dies ends nothing else.
    """
    from miras_compiler.bench.comparison import Wanted
    from miras_compiler.bench.machine import find_gpu
    from miras_compiler.errors import InputError

    wanted: dict[Kind, bool] = {"peers": peers, "tune": tune, "check": check}
    chosen = [kind for kind, is_so in wanted.items() if is_so]
    if len(chosen) > 1:
        raise InputError(f"--{' and --'.join(chosen)} are different runs; choose one")
    shapes = tuple(map(Wanted.read, shape or ()))
    machine = find_gpu()
    packages = tuple(package_of(path, output, settings) for path in specs)

    from miras_compiler.bench.run import Bench

    kind: Kind = chosen[0] if chosen else "kernels"
    Bench(kind, packages, machine, batch, tokens, shapes, cases, limit, processes, results, journal, as_json).run()


def package_of(path: Path, output: Path, settings: Sequence[str] | None) -> Path:
    """The folder of a package: the one that is named, or that of a spec, compiled."""
    if path.is_dir():
        from miras_compiler.errors import InputError

        if settings:
            raise InputError(f"{path}: --set changes a spec, and this is a package; name the spec")
        return path
    from miras_compiler.cli.specs import load_one

    spec = load_one(path, settings)
    with busy(f"compiling {spec.name}"):
        from miras_compiler.compiler import compile_spec

        return compile_spec(spec).write(output)
