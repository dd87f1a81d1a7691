"""From programs to the files of a package, as text; nothing here touches the disk."""

from __future__ import annotations

from miras_compiler.emit.package import emit
from miras_compiler.emit.source_file import SourceFile

__all__ = ["SourceFile", "emit"]
