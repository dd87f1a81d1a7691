"""The schema of a spec for editors."""

from __future__ import annotations

from typing import Any

from miras_compiler.spec.schema import Spec


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a spec file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Spec.model_json_schema(by_alias=True),
        "title": "A spec of the MIRAS compiler",
    }
