"""The specs that come with the compiler, by name."""

from __future__ import annotations

from pathlib import Path

from miras_compiler.errors import InputError, nearest

FOLDER = Path(__file__).resolve().parents[2] / "specs"


def shipped_specs() -> dict[str, Path]:
    """The file of every spec that comes with the compiler, by the spec's name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def find_spec(name: str) -> Path:
    """The file that is named, or that of the shipped spec of this name; raises InputError."""
    if Path(name).suffix or Path(name).exists():
        return Path(name)
    shipped = shipped_specs()
    if name not in shipped:
        raise InputError(f"there is no spec '{name}'; {nearest(name, shipped)}; `miras list specs` shows them")
    return shipped[name]
