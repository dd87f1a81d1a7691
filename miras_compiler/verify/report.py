"""What a verification found: one row per claim, with the worst error seen and the limit it was held to."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One claim. `error` and `limit` are None where the claim is not a number; `note` says what was worst, or what went wrong.

    A claim that this machine cannot try has not run: it neither passed nor fails the report.
    """

    check: str
    subject: str
    error: float | None
    limit: float | None
    passed: bool
    note: str
    seconds: float
    ran: bool = True

    @property
    def result(self) -> str:
        if not self.ran:
            return "not run"
        return "passed" if self.passed else "FAILED"

    def as_dict(self) -> dict[str, object]:
        error = self.error if self.error is None or math.isfinite(self.error) else str(self.error)
        return {
            "check": self.check, "subject": self.subject, "error": error, "limit": self.limit,
            "passed": self.passed, "ran": self.ran, "note": self.note, "seconds": round(self.seconds, 3),
        }  # fmt: skip


@dataclass(frozen=True)
class Report:
    """All rows of one package."""

    name: str
    digest: str
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        return bool(self.tried) and all(row.passed for row in self.tried)

    @property
    def tried(self) -> tuple[Row, ...]:
        """The rows that this machine could run."""
        return tuple(row for row in self.rows if row.ran)

    def as_dict(self) -> dict[str, object]:
        """JSON-ready; an infinite or undefined error is a string."""
        return {"name": self.name, "digest": self.digest, "passed": self.passed, "rows": [row.as_dict() for row in self.rows]}
