"""`miras schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from miras_compiler.console import show_json


def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print it as a page of Markdown to read: docs/reference.md.")] = False,
) -> None:
    """Print the JSON Schema of a spec, with which editors complete and check it.

    Editors that speak YAML read it from a spec's first line: # yaml-language-server: $schema=miras.schema.json
    """
    if markdown:
        from miras_compiler.cli.reference import reference_markdown

        print(reference_markdown(), end="")
        return
    from miras_compiler.spec import json_schema

    show_json(json_schema())
