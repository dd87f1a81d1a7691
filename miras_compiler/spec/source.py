"""A spec's text as a tree of plain values, with the line and column of every key.

YAML 1.2, core schema, read from the parser's events: size, nesting, the number of values, duplicate keys, tags and tabs are refused
on the way, so that no text is expanded before it is known to be small.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, Event, MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent, SequenceStartEvent
from ruamel.yaml.reader import ReaderError

from miras_compiler.errors import Path, Problem, SpecError, short
from miras_compiler.expressions.formula import MAX_BYTES, MAX_NESTING, FormulaError, check_size

MAX_VALUES = 5000

POSITION = re.compile(r"0|[1-9][0-9]{0,8}")
INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
OCTAL_OR_HEXADECIMAL = re.compile(r"0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"([-+]?\.(inf|Inf|INF))|\.(nan|NaN|NAN)")
WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: value for value in (True, False) for word in (str(value).lower(), str(value), str(value).upper())
}
NO_CHARACTER = "an escape that stands for no character"


def dotted(path: str) -> Path:
    """ "ledger.0.note" as the path of keys and list positions that marks are kept under."""
    return tuple(int(key) if POSITION.fullmatch(key) else key for key in path.split(".")) if path else ()


class Mark(NamedTuple):
    """The place of a key: a file with line and column (from 1), or an option of the command line (line 0)."""

    place: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.place}:{self.line}:{self.column}" if self.line else self.place

    def line_text(self) -> str:
        """The mark without its column."""
        return f"{self.place}:{self.line}" if self.line else self.place


class Source(NamedTuple):
    """A spec as written; `keys` marks the key (or list item) at a path."""

    place: str
    tree: dict[str, Any]
    keys: dict[Path, Mark]

    def mark(self, path: Path) -> Mark:
        """The mark of the path, or of its nearest parent that was written."""
        while path and path not in self.keys:
            path = path[:-1]
        return self.keys.get(path, Mark(self.place, 1, 1))


def read_source(
    text: str, place: str, what: str = "a spec", remedy: str = "start with `name:`; `miras new NAME` writes one"
) -> Source:  # fmt: skip
    """Parses YAML text; raises SpecError with line and column. The error for a text that is no mapping names `what` it should be, and the
    beginning of one.
    """
    _check_length(text, place)
    _check_tabs(text, place)
    _check_directives(text, place)
    _check_brackets(text, place)
    builder = _Builder(text, place)
    tree = builder.document()
    if not isinstance(tree, dict):
        raise SpecError([Problem(f"{place}:1:1", f"{what} is a mapping of keys", remedy=remedy)])
    if builder.problems:
        raise SpecError(builder.problems)
    return Source(place, tree, builder.keys)


def read_value(text: str, place: str) -> Any:
    """One YAML value, as after `key:`; raises SpecError. For `--set key=value`."""
    _check_length(text, place)
    _check_directives(text, place)
    _check_brackets(text, place)
    builder = _Builder(text, place)
    value = builder.document()
    if builder.problems:
        raise SpecError(builder.problems)
    return value


def position(text: str, index: int) -> tuple[int, int]:
    """Line and column, from 1, of a character."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _check_length(text: str, place: str) -> None:
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        beyond = len(text.encode("utf-8", "replace")[:MAX_BYTES].decode("utf-8", "ignore"))
        line, column = position(text, beyond)
        raise SpecError([Problem(f"{place}:{line}:{column}", f"longer than {MAX_BYTES // 1024} KiB", remedy="a spec is a page of text")])


def _check_tabs(text: str, place: str) -> None:
    lines = [(number, line.index("\t") + 1) for number, line in enumerate(text.splitlines(), 1) if "\t" in line]
    if lines:
        first, column = lines[0]
        others = f", and on {len(lines) - 1} more lines" if len(lines) > 1 else ""
        raise SpecError([Problem(f"{place}:{first}:{column}", f"a tab{others}", "YAML indents with spaces", "replace it by spaces")])


def _check_directives(text: str, place: str) -> None:
    """The parser, called for its events, fails at a directive."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.removeprefix("\ufeff").startswith("%"):
            raise SpecError(
                [Problem(f"{place}:{number}:1", "a directive of YAML, or a '%'", "a spec needs none", "remove it, or quote the text")]
            )


def _check_brackets(text: str, place: str) -> None:
    """The parser looks far ahead in a line, at a price that grows with the square of the brackets."""
    for number, line in enumerate(text.splitlines(), 1):
        try:
            check_size(line)
        except FormulaError as error:
            raise SpecError([Problem(f"{place}:{number}:{error.column}", error.message)]) from None


class _Builder:
    """Builds the tree from the parser's events and collects marks and problems."""

    def __init__(self, text: str, place: str) -> None:
        self.place = place
        self.text = text
        self.yaml = YAML(typ="safe", pure=True)
        self.events = self.parsed()
        self.count = 0
        self.problems: list[Problem] = []
        self.keys: dict[Path, Mark] = {}

    def parsed(self) -> Iterator[Event]:
        """The events, as `YAML.parse` gives them, with the reader left where an error found it."""
        _, parser = self.yaml.get_constructor_parser(self.text)
        while parser.check_event():
            yield parser.get_event()

    def document(self) -> Any:
        try:
            for event in self.events:
                if isinstance(event, AliasEvent | ScalarEvent | MappingStartEvent | SequenceStartEvent):
                    if self.count:
                        raise self.fault(event, "a second document", "a file holds one spec")
                    tree = self.node(event, ())
            return tree if self.count else None
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{self.place}:{mark.line + 1}:{mark.column + 1}" if mark else self.place
            raise SpecError([Problem(where, f"not YAML: {error.problem or error.context}")]) from None
        except ReaderError as error:
            line, column = position(self.text, error.position)
            raise SpecError(
                [Problem(f"{self.place}:{line}:{column}", f"a control character, U+{error.character:04X}", "YAML is text")]
            ) from None
        except (ValueError, OverflowError):  # of chr(), at the digits of the escape
            where = f"{self.place}:{self.yaml.reader.line + 1}:{self.yaml.reader.column - 1}"
            raise SpecError([Problem(where, NO_CHARACTER, "YAML is text")]) from None
        except YAMLError as error:
            raise SpecError([Problem(self.place, f"not YAML: {' '.join(str(error).split())}")]) from None

    def mark(self, event: Event) -> Mark:
        return Mark(self.place, event.start_mark.line + 1, event.start_mark.column + 1)

    def fault(self, event: Event, what: str, why: str = "", remedy: str = "") -> SpecError:
        return SpecError([*self.problems, Problem(str(self.mark(event)), what, why, remedy)])

    def check_characters(self, event: ScalarEvent) -> None:
        """Refuses halves of a surrogate pair: they are no characters, and no file can hold them."""
        if any("\ud800" <= character <= "\udfff" for character in event.value):
            raise self.fault(event, NO_CHARACTER, "YAML is text")

    def node(self, event: Event, path: Path) -> Any:
        """The value that starts with this event; `path` is where it will stand."""
        self.count += 1
        if self.count > MAX_VALUES:
            raise self.fault(event, f"more than {MAX_VALUES} values")
        if len(path) >= MAX_NESTING:
            raise self.fault(event, f"nested deeper than {MAX_NESTING}")
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise self.fault(event, "an anchor or alias", "a spec repeats nothing that is worth one", "write the value out")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise self.fault(event, f"a tag, {short(tag)}", "a spec holds plain values only", "remove it")
        if isinstance(event, ScalarEvent):
            self.check_characters(event)
        if isinstance(event, MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, SequenceStartEvent):
            return self.sequence(path)
        assert isinstance(event, ScalarEvent)
        return _scalar(event.value) if event.implicit[0] else event.value

    def mapping(self, path: Path) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                raise self.fault(event, "a key must be plain text")
            self.check_characters(event)
            key, mark, here = event.value, self.mark(event), (*path, event.value)
            value = self.node(next(self.events), here)
            if key in tree:
                self.problems.append(
                    Problem(str(mark), f"'{short(key)}' is given twice", f"first in line {self.keys[here].line}", "keep one")
                )
            else:
                tree[key], self.keys[here] = value, mark
        return tree

    def sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            here = (*path, len(items))
            self.keys[here] = self.mark(event)
            items.append(self.node(event, here))
        return items


def _scalar(text: str) -> Any:
    """A plain scalar under the core schema of YAML 1.2: null, booleans, integers, floats (1e-3 is one), else text."""
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    if OCTAL_OR_HEXADECIMAL.fullmatch(text):
        return int(text, 0)
    if FLOAT.fullmatch(text):
        return float(text)
    if NOT_FINITE.fullmatch(text):
        return float(text.replace(".", "").lower())
    return text


def place_of(source: Source | None, path: str) -> str:
    """ "specs/x.yaml:9" for the dotted key `path` (or its nearest parent); the path itself for a spec built in Python."""
    return source.mark(dotted(path)).line_text() if source else path
