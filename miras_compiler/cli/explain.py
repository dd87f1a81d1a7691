"""`miras explain`."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from miras_compiler.cli.options import Json, Settings
from miras_compiler.console import PrintedRow, busy, page_width, show_json, show_table

if TYPE_CHECKING:
    from miras_compiler.compiler import Compilation


def explain(
    specs: Annotated[
        list[Path], typer.Argument(metavar="SPEC [OTHER]", help="A spec file or the name of a spec, or two to compare.", show_default=False)
    ],
    settings: Settings = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print the update rule as LaTeX.")] = False,
    kernels: Annotated[bool, typer.Option("--kernels", help="Show every kernel, what it saves and loads, and what it needs.")] = False,
    ledger: Annotated[bool, typer.Option("--ledger", help="Show where the spec follows its paper, and where it does not.")] = False,
    as_json: Json = False,
) -> None:
    """Show the derived update rule, its parallel form, its stability and its cost; of two specs, the differences, side by side.

    The form comes with its reason, and where there is none but token by token with the line of the spec that is to blame, and the change of
    one field that would make it parallel.
    """
    from miras_compiler.cli.specs import load_each
    from miras_compiler.cli.warnings import warn_about
    from miras_compiler.errors import InputError

    if len(specs) > 2:
        raise InputError(f"{len(specs)} specs; explain takes one, or two to compare")
    for option, chosen in {"--latex": latex, "--kernels": kernels, "--ledger": ledger}.items():
        if chosen and len(specs) > 1:
            raise InputError(f"{option} is for one spec; name one, or leave it out")
    loaded = load_each(specs, settings)
    warn_about(loaded)
    with busy(f"deriving {' and '.join(spec.name for spec in loaded)}"):
        from miras_compiler.compiler import compile_spec

        compilations = [compile_spec(spec) for spec in loaded]
    if len(compilations) == 2:
        from miras_compiler.cli.explain_two import explain_two

        explain_two(*compilations, as_json=as_json)
        return
    (compilation,) = compilations
    if as_json:
        show_json(facts(compilation))
    elif latex:
        print(compilation.update_rule.latex())
    else:
        print("\n".join(folded(compilation.explain(kernels=kernels), page_width())) + "\n")
        rows = [PrintedRow((name, f"{value:,}", unit)) for name, value, unit in compilation.cost]
        show_table("cost", ("what", "value", "unit"), rows)
        if ledger:
            print()
            entries = [PrintedRow((entry.equation, entry.status), note=entry.note) for entry in compilation.spec.ledger]
            show_table("ledger", ("equation", "status"), entries)


def folded(text: str, width: int | None) -> list[str]:
    """The lines of a text in at most `width` columns; the rest of a line is indented further than its beginning."""
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        lines += [line] if width is None else textwrap.wrap(line, width, subsequent_indent=f"{indent}    ", break_on_hyphens=False) or [""]
    return lines


def facts(compilation: Compilation) -> dict[str, Any]:
    """The explanation of a spec, for programs."""
    form = compilation.parallel_form
    return {
        "name": compilation.spec.name,
        "update_rule": compilation.update_rule.text(),
        "latex": compilation.update_rule.latex(),
        "parallel_form": {"kind": form.kind, "reason": form.reason, "blame": form.blame, "suggestion": form.suggestion},
        "kernels": [asdict(kernel) for kernel in compilation.kernel_facts()],
        "stability": {**compilation.sensitivity._asdict(), "grows": compilation.sensitivity.grows},
        "ledger": [entry.model_dump() for entry in compilation.spec.ledger],
        "cost": [{"name": name, "value": value, "unit": unit} for name, value, unit in compilation.cost],
    }
