"""What is worth a word though it is no error: printed on stderr, and the exit code stays as it is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from miras_compiler.elements.bias import FormulaBias
from miras_compiler.errors import Problem
from miras_compiler.spec import Spec


def warn_about(specs: Iterable[Spec]) -> list[Problem]:
    """Prints the warnings of all specs, and returns them."""
    warnings = [warning for spec in specs for warning in warnings_of(spec)]
    for warning in warnings:
        print(warning, file=sys.stderr)
    return warnings


def warnings_of(spec: Spec) -> Iterator[Problem]:
    """A loss of one's own that is not convex, or not known to be."""
    if not isinstance(spec.attentional_bias, FormulaBias):
        return
    from miras_compiler.analysis.convexity import classify_convexity_of

    verdict = classify_convexity_of(spec)
    if verdict.kind != "convex":
        text = " ".join(spec.attentional_bias.text.split())
        what = f"warning: the loss '{text}' {'is not convex' if verdict.kind == 'counterexample' else 'may not be convex'} in u"
        yield Problem(spec.where("attentional_bias.loss"), what, verdict.reason, verdict.remedy)
