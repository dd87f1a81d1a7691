"""The operators of a package: its exports, its contract with the runtime, and the dispatch between forms."""

from __future__ import annotations

from miras_compiler.emit.backend import Scheduled
from miras_compiler.emit.operators.contract import emit_contract
from miras_compiler.emit.operators.init import emit_init
from miras_compiler.emit.operators.ops import emit_ops


def emit_operators(given: Scheduled) -> dict[str, str]:
    """__init__.py, contract.py and ops.py."""
    return {
        "__init__.py": emit_init(given.rule),
        "contract.py": emit_contract(given.rule, given.interface),
        "ops.py": emit_ops(given.rule, given.interface, given.schedule is not None),
    }
