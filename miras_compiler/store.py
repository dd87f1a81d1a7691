"""The only stage that touches the disk: packages and single files, written whole or not at all.

A package is written to a hidden folder beside its place, which then changes places with the package that is there, in one system call.
A writer that is killed leaves a whole package, the old or the new one, and the next write removes its other files. A lock
lets writers of the same package take turns.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from miras_compiler.errors import InputError, InternalError
from miras_compiler.exchange import exchange
from miras_compiler.models.manifest import MANIFEST  # no folder without this file is ever replaced

if TYPE_CHECKING:
    from miras_compiler.emit.source_file import SourceFile

REPORT = "verification.json"
BESIDES = frozenset({REPORT, "__pycache__"})  # names that a package's folder may hold, though the compiler did not write them


def write_package(folder: Path, name: str, files: Sequence[SourceFile]) -> Path:
    """Writes `files` as `folder`/`name`, in place of the package that is there, and returns that path.

    A package that is current is left as it is. Raises InputError if the folder cannot be written, or if `name` is not an identifier or is
    the name of something that is not a package.
    """
    if not name.isidentifier():
        raise InputError(f"{name!r} cannot be the name of a package: it is not an identifier")
    place = folder / name
    _check_paths(files)
    with _refusals(place):
        if is_current(place, files):
            return place
        folder.mkdir(parents=True, exist_ok=True)
        with _turn(folder / f".{name}.lock"):
            new, old = folder / f".{name}.new", folder / f".{name}.old"
            _tidy(place, new, old)
            _check_replaceable(place)
            try:
                for file in files:
                    path = new / file.path
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(file.text.encode())
                _publish(new, place, old)
            finally:
                _tidy(place, new, old)
    return place


def is_current(place: Path, files: Sequence[SourceFile]) -> bool:
    """True if the package at `place` consists of exactly these files."""
    try:
        there = {str(path.relative_to(place).as_posix()) for path in _files_below(place)}
        return there == {file.path for file in files} and all((place / file.path).read_bytes() == file.text.encode() for file in files)
    except OSError:
        return False


def write_file(path: Path, content: str | bytes) -> Path:
    """Writes one file in one step, in place of an older one, and returns `path`. Raises InputError if it cannot."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    with _refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content.encode() if isinstance(content, str) else content)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    return path


def write_new_file(path: Path, content: str) -> Path:
    """Writes a file that is not there yet and returns `path`. Raises InputError if it is, or if it cannot be written."""
    with _refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
        except FileExistsError:
            raise InputError(f"{path}: exists already, and is not overwritten; choose another name or folder") from None
    return path


def _check_paths(files: Sequence[SourceFile]) -> None:
    for file in files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise InternalError(f"a generated file would leave its package: {file.path!r}")


def _check_replaceable(place: Path) -> None:
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise InputError(f"{place}: is not a folder, and is not replaced; remove it or choose another folder with -o")
    if place.is_dir() and any(place.iterdir()) and not (place / MANIFEST).is_file():
        raise InputError(f"{place}: was not written by this compiler (no {MANIFEST}), and is not replaced; choose another folder with -o")


def _publish(new: Path, place: Path, old: Path) -> None:
    """Puts the folder `new` at `place`. The folder that was there ends as `new`, or as `old` where two folders cannot change places."""
    if not place.exists():
        os.rename(new, place)
    elif not exchange(new, place):
        _set_aside(place, old)
        os.rename(new, place)
        os.rename(old, new)


def _set_aside(place: Path, old: Path) -> None:
    """Moves the folder `place` to `old`, which is whole as soon as it is there."""
    try:
        os.rename(place, old)
    except OSError as error:
        if error.errno != errno.EXDEV:  # a container does not rename a folder of its image
            raise
        copy = old.with_suffix(".copy")
        shutil.copytree(place, copy, symlinks=True)
        os.rename(copy, old)
        _remove(place)


def _tidy(place: Path, new: Path, old: Path) -> None:
    """Removes the folders that a writer left. A package set aside comes back: its writer did not get to the end."""
    _remove(old.with_suffix(".copy"))
    if old.exists():
        _remove(place)
        os.rename(old, place)
    _remove(new)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _files_below(place: Path) -> Iterator[Path]:
    for path in sorted(place.iterdir()):
        if path.name in BESIDES:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files_below(path)
        else:
            yield path


@contextlib.contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Waits for and holds the lock, a file that exists only while a writer is at work (or was killed at it)."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_still(lock, handle):
                break
            os.close(handle)  # its last holder removed the file while we waited
        except BaseException:
            os.close(handle)
            raise
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _refusals(place: Path) -> Iterator[None]:
    """Turns refusals of the operating system into the user's InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{place}: cannot be written: {error.strerror or error}; choose another place with -o") from None
