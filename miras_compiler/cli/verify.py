"""`miras verify`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miras_compiler.cli.options import Json, OutputFolder, Settings, SpecFiles
from miras_compiler.console import PrintedRow, busy, page_width, show_json, show_table, wrapped

if TYPE_CHECKING:
    from miras_compiler import verify as verification


def verify(
    specs: SpecFiles,
    output: OutputFolder = Path("generated"),
    settings: Settings = None,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="The seed of the random inputs.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Shorter sequences, and none of the slow checks.")] = False,
    as_json: Json = False,
) -> None:
    """Compile specs, and verify the packages against oracles.

    The oracles are the literal memory, attentional bias and retention in float64, which share nothing with the derivation.

    Below its table stands the stability of the memory at the initial gates of the layer; it is a property of the rule, and no check.

    The report is written beside each package's manifest, as verification.json.
    """
    from miras_compiler.cli.specs import load_all
    from miras_compiler.cli.warnings import warn_about, warn_about_pictures
    from miras_compiler.errors import CheckFailed
    from miras_compiler.store import REPORT, write_file

    loaded = load_all(specs, settings)
    warn_about(loaded)
    warn_about_pictures()
    reports = []
    for spec in loaded:
        with busy(f"{spec.name}: compiling") as say:
            from miras_compiler.compiler import compile_spec
            from miras_compiler.verified import verify_package

            compilation = compile_spec(spec)
            package = compilation.write(output)
            say(f"{spec.name}: verifying")
            report = verify_package(spec, package, seed=seed, quick=quick, progress=partial(_tell, say, spec.name), compilation=compilation)
        write_file(package / REPORT, report.text())
        reports.append(report)
        if not as_json:
            _show(report)
            print("\n".join(line for text in compilation.stability() for line in wrapped(text, page_width(), "  ")))
    if as_json:
        show_json([report.as_dict() for report in reports])
    failed = [f"{report.name} ({row.check}, {row.subject})" for report in reports for row in report.tried if not row.passed]
    if not all(report.passed for report in reports):
        raise CheckFailed(f"verification failed: {', '.join(failed)}")


def _tell(say: Callable[[str], None], name: str, row: verification.Finding) -> None:
    say(f"{name}: {row.check}, {row.subject}")


def _show(report: verification.Report) -> None:
    rows = [
        PrintedRow((
            row.result,
            row.check,
            row.subject,
            "" if row.error is None else f"{row.error:.1e}",
            "" if row.limit is None else f"{row.limit:.1e}",
            f"{row.seconds:.1f}",
        ), row.passed or not row.ran, row.note)
        for row in report.findings
    ]  # fmt: skip
    passed = sum(row.passed for row in report.tried)
    columns = ("result", "check", "subject", "error", "limit", "seconds")
    show_table(f"{report.name}: {passed} of {len(report.tried)} checks passed", columns, rows)
