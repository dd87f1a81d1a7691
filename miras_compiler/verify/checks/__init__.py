"""The claims that a package must meet, in the order of the table."""

from __future__ import annotations

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.checks.contract import CONTRACT
from miras_compiler.verify.checks.edge import EDGE
from miras_compiler.verify.checks.equations import EQUATIONS
from miras_compiler.verify.checks.gradients import GRADIENTS
from miras_compiler.verify.checks.guards import GUARDS
from miras_compiler.verify.checks.identities import IDENTITIES
from miras_compiler.verify.checks.layer import LAYER
from miras_compiler.verify.checks.machine import MACHINE
from miras_compiler.verify.checks.sequences import SEQUENCES
from miras_compiler.verify.checks.triton import TRITON
from miras_compiler.verify.checks.written import WRITTEN

CHECKS: tuple[Check, ...] = (
    *WRITTEN, *EQUATIONS, *GRADIENTS, *SEQUENCES, *EDGE, *GUARDS, *IDENTITIES, *CONTRACT, *LAYER, *MACHINE, *TRITON,
)  # fmt: skip

__all__ = ["CHECKS", "Check"]
