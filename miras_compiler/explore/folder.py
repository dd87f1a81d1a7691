"""The folder that the page opens specs from and saves them to: its own *.yaml files, and nothing else."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from miras_compiler.errors import InputError
from miras_compiler.expressions.formula import MAX_BYTES
from miras_compiler.store import write_file, write_new_file

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}\.yaml")
MOST = 500  # files that are listed


class StoredFile(NamedTuple):
    """A file as it lies in the folder; `mark` is the digest of its bytes."""

    name: str
    text: str
    mark: str


class Folder:
    """`path` need not exist: it is made when the first spec is saved. InputError if something else is there."""

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_dir():
            raise InputError(f"{path}: is not a folder; name the folder that specs are saved to")
        self.path = path.resolve()

    def names(self) -> list[str]:
        """The specs that are there."""
        if not self.path.is_dir():
            return []
        found = sorted(entry.name for entry in os.scandir(self.path) if entry.is_file(follow_symlinks=False))
        return [name for name in found if NAME.fullmatch(name)][:MOST]

    def read(self, name: str) -> StoredFile:
        """A spec; InputError if there is none, or if it is no plain text file."""
        place = self._place(name)
        try:
            handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise InputError(f"{name}: is not a plain file")
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {error.strerror}") from None
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InputError(f"{name}: is not UTF-8 text") from None
        if len(data) > MAX_BYTES:
            raise InputError(f"{name}: longer than {MAX_BYTES // 1024} KiB; a spec is a page of text")
        return StoredFile(name, text, hashlib.sha256(data).hexdigest())

    def there(self, name: str) -> StoredFile | None:
        """The spec of that name, None where the name is free; InputError if something else has it."""
        place = self._place(name)
        if not place.is_symlink() and not place.exists():
            return None
        if place.is_symlink() or not place.is_file():
            raise InputError(f"{name}: is a link or no file, and is not replaced; choose another name")
        return self.read(name)

    def save(self, name: str, text: str, over: str | None) -> StoredFile:
        """Writes a spec; one that is there only if `over` is its mark. InputError if another one is there, or if it cannot be written."""
        place = self._place(name)
        if len(text.encode()) > MAX_BYTES:
            raise InputError(f"{name}: longer than {MAX_BYTES // 1024} KiB; a spec is a page of text")
        there = self.there(name)
        if there is None:
            write_new_file(place, text)
        elif there.mark == over:
            write_file(place, text)
        else:
            raise InputError(f"{name}: exists, and is not overwritten unasked")
        return StoredFile(name, text, hashlib.sha256(text.encode()).hexdigest())

    def _place(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise InputError(f"'{name[:100]}' is not a name of a spec here; use letters, digits, _ and -, and end with .yaml")
        return self.path / name
