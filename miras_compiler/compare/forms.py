"""The parallel form of a spec, tied to the lines and the value that decide it."""

from __future__ import annotations

import re
from typing import NamedTuple

from miras_compiler.analysis import separable_axes
from miras_compiler.analysis.parallel_form import EXPLANATION
from miras_compiler.compare.links import spec_lines
from miras_compiler.compare.subjects import Compared


class FormFacts(NamedTuple):
    """A form on a page: `node` is the value that decides it, "" for none; `keys` are those of the lines that the reason names."""

    kind: str
    means: str
    reason: str
    suggestion: str
    exact: bool
    separable: str
    node: str
    equation: str
    keys: tuple[str, ...]


def form_of(subject: Compared) -> FormFacts:
    made = subject.compilation
    form, location = made.parallel_form, made.spec.location
    lines = spec_lines(subject.text, made.spec.source)
    numbers = [int(found) for found in re.findall(rf"{re.escape(location)}:(\d+)", form.reason)]
    keys = dict.fromkeys(key for number in numbers for key in lines[number - 1].keys)
    node = form.blame or ""
    data = made.graph.nodes[node] if node else {"text": "", "label": ""}
    return FormFacts(
        form.kind.replace("_", " "),
        EXPLANATION[form.kind],
        form.reason,
        form.suggestion,
        form.exact,
        ", ".join(separable_axes(made.update_rule)).upper(),
        node,
        data["text"] or data["label"],
        tuple(keys),
    )
