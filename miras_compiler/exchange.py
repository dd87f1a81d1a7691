"""Two folders change places in one system call, so that no moment passes without either: Linux's `renameat2`, macOS's `renamex_np`."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2  # Linux
RENAME_SWAP = 2  # macOS


def exchange(one: Path, other: Path) -> bool:
    """True if the two folders have changed places; where the system or the file system cannot do it, nothing has happened."""
    first, second = os.fsencode(one), os.fsencode(other)
    library = ctypes.CDLL(None)
    try:
        if sys.platform == "darwin":
            return bool(library.renamex_np(first, second, RENAME_SWAP) == 0)
        return bool(library.renameat2(AT_FDCWD, first, AT_FDCWD, second, RENAME_EXCHANGE) == 0)
    except AttributeError:  # a C library without the call
        return False
