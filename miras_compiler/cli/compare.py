"""`miras compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from miras_compiler.cli.options import Json
from miras_compiler.console import PrintedRow, busy, show_json, show_table

FEWEST, MOST = 2, 8


def compare(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="A B …", help="Two to eight specs, packages or runs: files, names, folders.", show_default=False),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The page.")] = Path("compare.html"),
    results: Annotated[
        Path | None,
        typer.Option("--results", metavar="PATH", help="Results of miras bench. Default: benchmarks/results.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold specs, packages or runs against each other: print a summary, and write a page with everything that differs.

    The page is one file that loads nothing: choices, rules, dependency graphs, parallel forms, code, costs, results, stability.

    Paths that cannot be read or compiled are named on the page and on stderr, the others are compared, and the exit code is 2.
    """
    from miras_compiler.errors import InputError

    if not FEWEST <= len(paths) <= MOST:
        raise InputError(f"{len(paths)} to compare; name {FEWEST} to {MOST} specs, packages or runs")
    if output.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{output}: the page is HTML; name a file that ends in .html")
    with busy(f"compiling {', '.join(path.stem for path in paths)}") as say:
        from miras_compiler.compare import page, read_subjects, summary
        from miras_compiler.store import write_file

        subjects, unread = read_subjects(paths)
        problems = [line for each in unread for line in each.problems]
        if not subjects:
            raise InputError("\n".join(dict.fromkeys(problems)))
        say("writing the page")
        text = page(subjects, unread, results)
    write_file(output, text)
    rows = summary(subjects)
    if as_json:
        show_json({
            "page": str(output),
            "specs": [{"label": subject.label, "path": str(subject.path), "digest": subject.digest} for subject in subjects],
            "summary": [{"what": row.what, "values": row.values, "differs": row.differs} for row in rows],
            "unread": [{"path": str(each.path), "problems": each.problems} for each in unread],
        })  # fmt: skip
    else:
        columns = ("", "what", *(subject.label for subject in subjects))
        show_table("", columns, [PrintedRow(("≠" if row.differs else "", row.what, *row.values)) for row in rows])
        print(f"wrote {output}")
    if problems:
        raise InputError("\n".join(dict.fromkeys(problems)))
