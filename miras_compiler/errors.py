"""Everything that the compiler refuses, as exceptions whose text names place, fault, cause and remedy.

`SpecError` carries all problems of a spec at once. The command line turns `InputError` (and with it `SpecError`) into exit code 2,
`CheckFailed` into exit code 1; anything else that escapes is a bug of ours, reported as `InternalError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import NamedTuple

MAX_SHOWN = 50  # problems in the text of one error


class Problem(NamedTuple):
    """One thing that is wrong: `where: what; why; remedy`. Empty parts are left out."""

    where: str  # "specs/x.yaml:4:3", or the dotted key for a spec built in Python
    what: str
    why: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        said = "; ".join(part for part in (self.what, self.why, self.remedy) if part)
        return f"{self.where}: {said}" if self.where else said


Path = tuple[str | int, ...]
"""Keys and list positions from the top of a spec to a value."""


class Fault(NamedTuple):
    """A problem of a spec before it has a place: the path of the key that it is about, and the message."""

    path: Path
    what: str
    why: str = ""
    remedy: str = ""

    @property
    def problem(self) -> Problem:
        """The same under the dotted key, as messages about specs built in Python name it."""
        return Problem(".".join(map(str, self.path)), self.what, self.why, self.remedy)


class MirasError(Exception):
    """Root of every exception that the compiler raises on purpose."""


class InputError(MirasError):
    """The user's input is wrong: a file, a folder, an option. Exit code 2."""


class SpecError(InputError):
    """A spec is wrong; `problems` holds everything found, in the order of the file, and the text the first 50 and the count."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        shown, others = self.problems[:MAX_SHOWN], len(self.problems) - MAX_SHOWN
        super().__init__(
            "\n".join([*map(str, shown), *([f"and {others:,} more problems, {len(self.problems):,} in all"] if others > 0 else [])])
        )


class CheckFailed(MirasError):
    """A verification or a comparison came out wrong. Exit code 1."""


class InternalError(MirasError):
    """An invariant of the compiler does not hold: our bug, never the user's."""

    def __init__(self, what: str, *, version: str = "", digest: str = "") -> None:
        circumstances = ", ".join(part for part in (version and f"version {version}", digest and f"spec {digest}") if part)
        told = f" ({circumstances})" if circumstances else ""
        super().__init__(f"internal error: {what}{told}; this is a bug of the compiler: please open an issue with the spec and this text")


class Collected(list[str]):
    """Complaints about several inputs, to be raised at once."""

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keeps the text of an InputError of the block, behind which the program goes on."""
        try:
            yield
        except InputError as problem:
            self.append(str(problem))

    def check(self) -> None:
        """Raises InputError with all complaints, where there are any."""
        if self:
            raise InputError("\n".join(self))


def check_least(option: str, value: int | None, least: int) -> None:
    """Raises InputError for a number below the least that an option takes."""
    if value is not None and value < least:
        raise InputError(f"{option} must be at least {least}, got {value}")


def near(name: str, choices: Iterable[str]) -> str | None:
    """The choice that resembles the name, in capitals or not."""
    spelled = {choice.lower(): choice for choice in sorted(choices)}
    close = get_close_matches(name[:100].lower(), spelled, n=1, cutoff=0.6)
    return spelled[close[0]] if close else None


def nearest(name: str, choices: Iterable[str]) -> str:
    """ "did you mean 'huber'?" when a choice resembles the name, else the list of choices."""
    known = sorted(choices)
    close = near(name, known)
    return f"did you mean '{close}'?" if close else f"choose from {', '.join(known)}"


def short(text: str) -> str:
    """Text of the user's as a message quotes it: a few words, in one line, and nothing that a terminal obeys."""
    shown = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text[:61])
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
