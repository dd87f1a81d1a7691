"""`miras list`."""

from __future__ import annotations

from typing import Annotated

import typer

from miras_compiler.cli.options import Json
from miras_compiler.console import PrintedRow, busy, page_width, show_json, show_table, wrapped


def list_elements(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A family such as retention, one kind such as lp, or specs.", show_default=False),
    ] = None,
    space: Annotated[
        bool, typer.Option("--space", help="Print as Markdown how every kind runs, and how many combinations are refused, and why.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Of specs: print the table as Markdown, as README has it.")] = False,
    as_json: Json = False,
) -> None:
    """List the elements of a spec with formulas and sources, one of them with its parameters, or the specs that are shipped."""
    if space:
        _show_space(name is None and not as_json)
        return
    from miras_compiler.errors import InputError, nearest

    if name == "specs":
        from miras_compiler.cli.list_specs import show_specs, specs_markdown

        print(specs_markdown()) if markdown else show_specs(as_json)
        return
    if markdown:
        raise InputError("--markdown is for `miras list specs`; leave it out")
    from miras_compiler.elements.kinds import KINDS

    homes = [family for family, kinds in KINDS.items() if name in kinds]
    if homes:
        _show_kinds(str(name), homes, as_json)
    elif name is None or name in KINDS:
        _show_families([name] if name else list(KINDS), as_json)
    else:
        known = {*KINDS, *(kind for kinds in KINDS.values() for kind in kinds), "specs"}
        raise InputError(f"unknown family or kind '{name}'; {nearest(name, known)}")


def _show_families(families: list[str], as_json: bool) -> None:
    from miras_compiler.elements.kinds import KINDS

    if as_json:
        facts = ("formula", "citation")
        show_json({
            family: [{"kind": kind} | {fact: getattr(element, fact) for fact in facts} for kind, element in KINDS[family].items()]
            for family in families
        })  # fmt: skip
        return
    for number, family in enumerate(families):
        if number:
            print()
        rows = [PrintedRow((kind, element.formula, element.citation)) for kind, element in KINDS[family].items()]
        show_table(family, ("kind", "formula", "source"), rows)


def _show_kinds(kind: str, families: list[str], as_json: bool) -> None:
    """One kind of every family that has one of this name: formula, parameters, gates, and a line to copy."""
    from miras_compiler.elements.kinds import KINDS
    from miras_compiler.spec.parameters import example, gates_of, parameters

    if as_json:
        show_json({
            family: {
                "kind": kind,
                "formula": KINDS[family][kind].formula,
                "citation": KINDS[family][kind].citation,
                "gates": gates_of(family, kind),
                "parameters": [parameter._asdict() for parameter in parameters(KINDS[family][kind])],
                "example": example(family, kind),
            }
            for family in families
        })  # fmt: skip
        return
    for number, family in enumerate(families):
        if number:
            print()
        element = KINDS[family][kind]
        said = " ".join((element.__doc__ or "").split())
        for line in (f"{family}: {kind}", element.formula, said, f"source: {element.citation}"):
            print("\n".join(wrapped(line, page_width(), "" if line.startswith(f"{family}:") else "  ")))
        print()
        rows = [PrintedRow((each.name, each.values, each.default, each.description)) for each in parameters(element)]
        if rows:
            show_table("", ("parameter", "values", "default", "meaning"), rows)
            print()
        if gates := gates_of(family, kind):
            print(f"reads the gates: {', '.join(gates)}")
        print(f"example:\n  {example(family, kind)}")


def _show_space(whole: bool) -> None:
    from miras_compiler.errors import InputError

    if not whole:
        raise InputError("--space prints the whole design space as Markdown; leave out the name and --json")
    with busy("compiling one spec of every kind"):
        from miras_compiler.cli.design_space import space_markdown

        text = space_markdown()
    print(text)
