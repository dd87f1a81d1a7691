"""`miras schema`."""

from __future__ import annotations

from miras_compiler.cli.console import show_json


def schema() -> None:
    """Print the JSON Schema of a spec, with which editors complete and check it.

    Editors that speak YAML read it from a spec's first line: # yaml-language-server: $schema=miras.schema.json
    """
    from miras_compiler.spec import json_schema

    show_json(json_schema())
