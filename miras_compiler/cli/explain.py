"""`miras explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from miras_compiler.cli.console import Row, busy, show_json, show_table
from miras_compiler.cli.options import Json, Settings, SpecFile


def explain(
    spec: SpecFile,
    settings: Settings = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print the update rule as LaTeX.")] = False,
    as_json: Json = False,
) -> None:
    """Show the derived update rule, its parallel form and its cost.

    The form comes with its reason, and with the line of the spec that is to blame where there is no better one.
    """
    from miras_compiler.cli.specs import load_one

    loaded = load_one(spec, settings)
    with busy(f"deriving {loaded.name}"):
        from miras_compiler.compiler import compile_spec

        compilation = compile_spec(loaded)
    if as_json:
        form = compilation.parallel_form
        show_json({
            "name": loaded.name,
            "update_rule": compilation.update_rule.text(),
            "latex": compilation.update_rule.latex(),
            "parallel_form": {"kind": form.kind, "reason": form.reason, "blame": form.blame},
            "cost": [{"name": name, "value": value, "unit": unit} for name, value, unit in compilation.cost],
        })  # fmt: skip
    elif latex:
        print(compilation.update_rule.latex())
    else:
        print(compilation.explain() + "\n")
        rows = [Row((name, f"{value:,}", unit)) for name, value, unit in compilation.cost]
        show_table("cost", ("what", "value", "unit"), rows)
