"""Skeletons of files: named holes, all of which must be filled."""

from __future__ import annotations

import functools

import jinja2


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("miras_compiler.emit"), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip


def fill(template: str, holes: dict[str, object]) -> str:
    """The template with its holes filled; a hole without a value is an error."""
    text = _environment().get_template(f"{template}.jinja").render(holes)
    return text.rstrip("\n") + "\n"
