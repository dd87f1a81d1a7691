"""The outcome of a verification: one finding per claim, with the worst error seen and the limit it was held to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from miras_compiler.records import Origin, Record, Result


@dataclass(frozen=True)
class Finding:
    """One claim, tried. `error` and `limit` are None where the claim is not a number; `note` says where it was worst, or why it failed.

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

    def recorded(self, name: str, digest: str) -> Result:
        """The finding as a result of this package."""
        about = {"subject": self.subject, "seconds": round(self.seconds, 3)}
        return Result(self.check, name, digest, self.error, self.limit, "", self.passed if self.ran else None, self.note, about)


@dataclass(frozen=True)
class Report:
    """All findings on one package, and where they come from."""

    name: str
    digest: str
    findings: tuple[Finding, ...]
    origin: Origin

    @property
    def passed(self) -> bool:
        return bool(self.tried) and all(finding.passed for finding in self.tried)

    @property
    def tried(self) -> tuple[Finding, ...]:
        """The findings on claims that this machine could try."""
        return tuple(finding for finding in self.findings if finding.ran)

    @property
    def record(self) -> Record:
        return Record(self.origin, tuple(finding.recorded(self.name, self.digest) for finding in self.findings))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: the record, and the verdict on the package."""
        return {"name": self.name, "digest": self.digest, "passed": self.passed, **self.record.as_dict()}

    def text(self) -> str:
        """The file verification.json."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=2) + "\n"
