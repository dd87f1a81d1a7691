"""What a verification found: one row per claim, with the worst error seen and the limit it was held to."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One claim. `error` and `limit` are None where the claim is not a number; `note` says what was worst, or what went wrong."""

    check: str
    subject: str
    error: float | None
    limit: float | None
    passed: bool
    note: str
    seconds: float

    def as_dict(self) -> dict[str, object]:
        error = self.error if self.error is None or math.isfinite(self.error) else str(self.error)
        return {
            "check": self.check, "subject": self.subject, "error": error, "limit": self.limit,
            "passed": self.passed, "note": self.note, "seconds": round(self.seconds, 3),
        }  # fmt: skip


@dataclass(frozen=True)
class Report:
    """All rows of one package."""

    name: str
    digest: str
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        return bool(self.rows) and all(row.passed for row in self.rows)

    def as_dict(self) -> dict[str, object]:
        """JSON-ready; an infinite or undefined error is a string."""
        return {"name": self.name, "digest": self.digest, "passed": self.passed, "rows": [row.as_dict() for row in self.rows]}
