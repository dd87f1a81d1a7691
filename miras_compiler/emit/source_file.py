"""A file of a generated package, before it is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class SourceFile:
    """`path` is relative to the package's folder, with "/" between its parts; `text` is the whole file, with "\\n" line ends."""

    path: str
    text: str

    def __repr__(self) -> str:
        return f"SourceFile({self.path!r}, {self.text.count(chr(10)):,} lines)"
