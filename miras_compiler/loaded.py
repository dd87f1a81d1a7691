"""A compiled package as a module of this process: written to a temporary folder, which is gone when the process ends."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from miras_compiler.emit.source_file import SourceFile
from miras_compiler.models import open_package
from miras_compiler.store import write_package


def load_package(name: str, files: Sequence[SourceFile]) -> ModuleType:
    """The package that consists of these files, with operators and layer; its own files are importable below it.

    It stands beside an installed package of the same name, and beside other versions of it; the same files give the same module again.
    """
    digest = hashlib.sha256("\0".join(part for file in files for part in (file.path, file.text)).encode()).hexdigest()[:12]
    return open_package(write_package(_folder(os.getpid()) / digest, name, files))


@functools.cache
def _folder(process: int) -> Path:
    """The folder of the packages that this process has loaded: Triton and tracebacks read sources from it while the process lives."""
    folder = tempfile.mkdtemp(prefix="miras-")
    atexit.register(_remove, folder, process)
    return Path(folder)


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:  # a forked child ends earlier
        shutil.rmtree(folder, ignore_errors=True)
