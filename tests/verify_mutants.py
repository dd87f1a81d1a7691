"""Running verification on planted bugs: which rows fail, by the name of their check's function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from literal_package import fields_of

from miras_compiler.verify.checks import CHECKS
from miras_compiler.verify.package import Package
from miras_compiler.verify.subject import Subject
from miras_compiler.verify.verification import check_subject

TITANS = fields_of("titans_lmm", chunk={"size": 4})  # the longest rule: deep, LayerNorm, momentum, decay, chunk grid
DELTA = fields_of("gated_delta_net")
FORWARD = {"literal_forward", "recurrent_gradients", "chunk_gradients"}


def failed(fields: Mapping[str, Any], package: Package) -> set[str]:
    """All rows of the quick set that fail."""
    names = {check.subject: check.run.__name__ for check in CHECKS}
    return {names[row.subject] for row in check_subject(Subject(fields, package, quick=True)) if not row.passed}
