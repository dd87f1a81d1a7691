"""`miras list`."""

from __future__ import annotations

from typing import Annotated

import typer

from miras_compiler.cli.console import Row, busy, show_json, show_table
from miras_compiler.cli.options import Json

LATER = "not implemented yet: "


def list_elements(
    family: Annotated[str | None, typer.Argument(help="One family only, such as retention.", show_default=False)] = None,
    space: Annotated[
        bool, typer.Option("--space", help="Print as Markdown how every kind runs, and how many combinations are refused, and why.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the elements of a spec, with formulas and sources."""
    if space:
        _show_space(family is None and not as_json)
        return
    from miras_compiler.cli.elements import FAMILIES, kind
    from miras_compiler.errors import InputError, nearest

    if family is not None and family not in FAMILIES:
        raise InputError(f"unknown family '{family}'; {nearest(family, FAMILIES)}")
    wanted = {family: FAMILIES[family]} if family else FAMILIES
    if as_json:
        facts = ("formula", "citation", "later")
        show_json({
            family: [{"kind": kind(element)} | {fact: getattr(element, fact) for fact in facts} for element in elements]
            for family, elements in wanted.items()
        })  # fmt: skip
        return
    for number, (family, elements) in enumerate(wanted.items()):
        if number:
            print()
        rows = [(kind(element), element.formula, LATER + element.later if element.later else element.citation) for element in elements]
        show_table(family, ("kind", "formula", "source"), [Row(row, False if row[2].startswith(LATER) else None) for row in rows])


def _show_space(whole: bool) -> None:
    from miras_compiler.errors import InputError

    if not whole:
        raise InputError("--space prints the whole design space as Markdown; leave out the family and --json")
    with busy("compiling one spec of every kind"):
        from miras_compiler.cli.design_space import space_markdown

        text = space_markdown()
    print(text)
