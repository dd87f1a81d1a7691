"""The specs that come with the compiler, found by name: beside the code in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from miras_compiler.errors import InputError, near

PACKAGE = Path(__file__).parents[1]


class SpecFile(NamedTuple):
    """A file, and the place that messages and generated files call it by."""

    path: Path
    place: str


def shipped_specs() -> dict[str, SpecFile]:
    """Every spec that comes with the compiler, by its name; its place is specs/NAME.yaml on every machine."""
    inside = PACKAGE / "specs"
    folder = inside if inside.is_dir() else PACKAGE.parent / "specs"
    return {path.stem: SpecFile(path, f"specs/{path.name}") for path in sorted(folder.glob("*.yaml"))}


def find_spec(named: str | Path) -> SpecFile:
    """The file at a path, or the shipped spec of a name; a file that is there wins. Raises InputError for a name that none has."""
    path = Path(named)
    if path.is_file() or path.suffix or len(path.parts) != 1 or path.is_absolute():
        return SpecFile(path, str(named))
    specs = shipped_specs()
    if path.name in specs:
        return specs[path.name]
    if path.exists():
        return SpecFile(path, str(named))
    meant = f"did you mean '{close}'?; " if (close := near(path.name, specs)) else ""
    raise InputError(f"{named}: neither a file nor the name of a spec that comes with the compiler; {meant}`miras list specs` shows them")
