"""Verification of a generated package against oracles that share nothing with the derivation that wrote it."""

from __future__ import annotations

from miras_compiler.verify.report import Report, Row
from miras_compiler.verify.verification import verify_package

__all__ = ["Report", "Row", "verify_package"]
