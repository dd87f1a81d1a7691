"""A run's folder from its beginning: made whole or not at all, and taken up again only as it was begun."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from miras_compiler.errors import InputError
from miras_compiler.records import cpu
from miras_compiler.runs import ABOUT, RunFolder
from miras_compiler.train.settings import option


def check_is_free(place: Path) -> None:
    """Raises InputError where a run cannot begin."""
    if RunFolder(place).is_there():
        RunFolder(place).about()
        raise InputError(f"{place}: holds a run already; go on with it by --resume, or choose another folder with --out")
    if place.is_symlink() or (place.exists() and (not place.is_dir() or any(place.iterdir()))):
        raise InputError(f"{place}: is not empty and holds no run; choose another folder with --out")


def make_run(place: Path, about: Mapping[str, Any], fill: Callable[[Path], None]) -> RunFolder:
    """A run's folder with the files that `fill` writes into it and `about`; it appears at `place` whole. InputError if it cannot be
    written.
    """
    check_is_free(place)
    part = place.with_name(f".{place.name}.part")
    try:
        if part.exists():
            shutil.rmtree(part)  # of a command that was killed
        part.mkdir(parents=True)
        fill(part)
        RunFolder(part).write_about(about)
        part.rename(place)
    except OSError as error:
        raise InputError(f"{place}: cannot be written: {error.strerror or error}; choose another folder with --out") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return RunFolder(place)


def check_is_same(run: RunFolder, given: Mapping[str, Any]) -> None:
    """Raises InputError where options that were given differ from those that the run was begun with."""
    about = run.about()
    changed = [
        f"{'the spec' if name == 'digest' else option(name)} {value} ({about.get(name)} in {ABOUT})"
        for name, value in given.items()
        if about.get(name) != value
    ]
    if changed:
        raise InputError(
            f"{run.path}: --resume goes on as the run began, and these differ: {', '.join(changed)}; "
            "leave them out, or begin another run with another --out"
        )


def device_here() -> str:
    """The name of the device that training takes: the first GPU, or the processor."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else cpu()
