"""Verification of a generated package against oracles that share nothing with the derivation that wrote it."""

from __future__ import annotations

from miras_compiler.verify.report import Finding, Report
from miras_compiler.verify.verification import verify_written
from miras_compiler.verify.written import Written

__all__ = ["Finding", "Report", "Written", "verify_written"]
