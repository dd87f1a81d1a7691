"""The text of a package: as the compiler writes it for a spec, and as it lies in a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from miras_compiler.spec import Spec, digest
from miras_compiler.spec.exports import layer_class

PLACE = re.compile(r"[^\s(),;:\"'<>]+\.ya?ml(:\d+)*")  # a spec's file, and a line of it
LABEL = re.compile(r">([^<>]*\S[^<>]*)<")


@dataclass(frozen=True)
class Written:
    """A spec, the files that the compiler writes for it, as texts by path, and the folder that is to hold the same.

    `normal_files()` are those for the normal form of the spec: their messages name the lines of spec.yaml.
    """

    spec: Spec
    files: Mapping[str, str]
    normal_files: Callable[[], Mapping[str, str]]
    folder: Path

    @property
    def layer(self) -> str:
        """The name of the layer's class."""
        return layer_class(self.spec)

    @property
    def digest(self) -> str:
        return digest(self.spec)

    @property
    def has_kernels(self) -> bool:
        return "kernels.py" in self.names

    @property
    def names(self) -> list[str]:
        return list(self.files)

    def texts(self, name: str) -> Iterator[str]:
        """One file: of the spec as it was read, and of its normal form."""
        yield self.files[name]
        yield self.normal_files()[name]

    def difference(self, name: str) -> str:
        """The first difference of the file in the folder from the compiler's, or ""; spec files may have other names and lines."""
        path = self.folder / name
        if not path.is_file():
            return f"{name} is missing"
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            return f"{name} is not UTF-8"
        first = next(self.texts(name))
        read = labels if name.endswith(".svg") else lines
        if text == first or any(read(text) == read(candidate) for candidate in self.texts(name)):
            return ""
        pairs = enumerate(zip_longest(lines(text), lines(first)), 1)
        return next((f"{name}:{number} is {found!r}, not {wanted!r}"[:200] for number, (found, wanted) in pairs if found != wanted), name)


def lines(text: str) -> list[str]:
    return [PLACE.sub("SPEC", line) for line in text.split("\n")]


def labels(text: str) -> list[str]:
    """The words of a picture, in the order of the alphabet."""
    return sorted(PLACE.sub("SPEC", label) for label in LABEL.findall(text))
