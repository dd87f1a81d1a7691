"""Running verification on planted bugs: which rows fail, by the name of their check's function."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from functools import cache
from typing import Any, cast

from kit.literal_package import fields_of
from miras_compiler.verify.checks import CHECKS
from miras_compiler.verify.package import Package
from miras_compiler.verify.subject import Subject
from miras_compiler.verify.verification import check_subject

TITANS = fields_of("titans_lmm", chunk={"size": 4})  # the longest rule: deep, LayerNorm, residual, momentum, decay, chunk grid
SHALLOW = TITANS | {"memory": {"kind": "matrix", "norm": "layer", "residual": True}}  # the same, with a memory that is quicker to run
DELTA = fields_of("gated_delta_net")

FORWARD = {"literal_forward", "recurrent_gradients", "chunk_gradients"}  # where the rule itself is held to the literal model
INNER = {"parallel_form", "operators", "prefix_causality", "splitting", "repeatable"}  # where a package is held to itself
SLOW = {"finite_differences", "half_precision", "packing", "poisoned"}


def failed(fields: Mapping[str, Any], package: Package, without: Container[str] = SLOW, only: Container[str] | None = None) -> set[str]:
    """The rows of the quick set that fail: of all but those `without`, or `only` of some."""
    checks = [check for check in CHECKS if (check.run.__name__ in only if only is not None else check.run.__name__ not in without)]
    names = {check.subject: check.run.__name__ for check in checks}
    subject = Subject(fields, package, quick=True)
    vars(subject).update(of_literal_model(json.dumps(fields)))
    return {names[row.subject] for row in check_subject(subject, checks=checks) if not row.passed}


@cache
def of_literal_model(fields: str) -> dict[str, Any]:
    """The values of a subject that its package has no part in: the literal model's results on the probes, and the effect of rounding."""
    subject = Subject(json.loads(fields), cast(Package, None), quick=True)
    return {name: getattr(subject, name) for name in ("_calm_step", "probes", "expected", "roundings")}
