"""The options of operators: the backend, the tile, and whether the final state is wanted."""

from __future__ import annotations

import os

BACKENDS = ("auto", "torch", "triton")


def check_backend(backend: object) -> None:
    """Raises ValueError for a backend that is unknown."""
    if not isinstance(backend, str) or backend not in BACKENDS:
        raise ValueError(f"backend: expected auto, torch or triton, got {backend!r}")


def asked_backend(backend: str) -> str:
    """The backend; MIRAS_BACKEND of the environment stands in for `auto`. Raises ValueError for one that is unknown."""
    asked = os.environ.get("MIRAS_BACKEND", "auto") if backend == "auto" else backend
    check_backend(asked)
    return asked


def check_flag(name: str, value: object) -> None:
    """Raises ValueError for a value that is neither True nor False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}: expected True or False, got {value!r}")


def check_tile(tile: object) -> None:
    """Raises ValueError for a value that is no number of tokens."""
    if not isinstance(tile, int) or isinstance(tile, bool) or tile < 1:
        raise ValueError(f"tile: expected at least one token, got {tile!r}")
