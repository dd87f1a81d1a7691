"""A key of a spec set in its text: nothing else of the text changes, comments least of all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from miras_compiler.elements.kinds import KINDS
from miras_compiler.errors import InputError
from miras_compiler.explore.kinds import gates_read, with_kind
from miras_compiler.spec import Spec
from miras_compiler.spec.fingerprint import flow
from miras_compiler.spec.gates import FREE_LETTER, GATE_LETTERS
from miras_compiler.spec.names import IDENTIFIER
from miras_compiler.spec.source import read_source

Keys = tuple[str, ...]


class Changed(NamedTuple):
    """The text after a change, and the other changes."""

    text: str
    notes: tuple[str, ...]


def changed(text: str, place: str, key: str, value: Any) -> Changed:
    """Sets a dotted key. A kind takes the keys along that it shares with the kind before, and the gates follow.

    Raises SpecError if the text cannot be read, InputError if no such key can be set.
    """
    tree, keys = read_source(text, place).tree, _keys(key)
    family = keys[0]
    if isinstance(value, Mapping):
        if family not in KINDS or len(keys) > 1:
            raise InputError(f"{key}: only an element is set as a mapping; set its keys one by one")
        keys, value = (family, "kind"), value.get("kind")
    if family in KINDS and keys[1:] == ("kind",):
        if value not in KINDS[family]:
            raise InputError(f"{family} has no kind '{str(value)[:100]}'")
        text = _with_fields(text, family, tree.get(family), with_kind(family, tree.get(family), value))
    else:
        text = _set(text, keys, value)
    return _with_gates(text, place) if family in KINDS else Changed(text, ())


def removed(text: str, place: str, key: str) -> Changed:
    """Removes a dotted key, so that its default is meant; raises as `changed` does."""
    read_source(text, place)
    keys = _keys(key)
    text = _without(text, keys)
    return _with_gates(text, place) if keys[0] in KINDS else Changed(text, ())


def _keys(key: str) -> Keys:
    keys = tuple(key.split("."))
    if not all(map(IDENTIFIER.fullmatch, keys)):
        raise InputError(f"'{key[:100]}' is not a key that can be set; name keys as in the spec: retention.q")
    return keys


def _with_fields(text: str, family: str, written: Any, fields: Mapping[str, Any]) -> str:
    """An element with exactly these keys."""
    if not isinstance(written, Mapping):
        return _set(text, (family,), fields)
    for name in written:
        if name not in fields:
            text = _without(text, (family, name))
    for name, value in fields.items():
        if name not in written or written[name] != value:
            text = _set(text, (family, name), value)
    return text


def _with_gates(text: str, place: str) -> Changed:
    """The text with exactly the gates that the rule reads."""
    tree = read_source(text, place).tree
    read, declared = gates_read(tree), tree.get("gates") or {}
    if read is None or not isinstance(declared, Mapping):
        return Changed(text, ())
    notes = []
    for name in read:
        if name not in declared:
            gate = {"per": "head", "source": "input", "init": GATE_LETTERS.get(name, FREE_LETTER).init}
            text = _set(text, ("gates", name), gate)
            notes.append(f"gate {name} added")
    for name in declared:
        if name not in read:
            text = _without(text, ("gates", name))
            notes.append(f"gate {name} removed")
    return Changed(text, tuple(notes))


def _set(text: str, keys: Keys, value: Any) -> str:
    """The text with a value at a path, whose last parts need not be there."""
    found = list(_entries_at(_root(text), keys))
    if len(found) == len(keys):
        key, node = found[-1]
        return _replaced(text, key, node, flow(value))
    for part in reversed(keys[len(found) + 1 :]):
        value = {part: value}
    name = keys[len(found)]
    parent = found[-1][1] if found else _root(text)
    if not isinstance(parent, MappingNode) or not parent.value:
        if isinstance(parent, SequenceNode) or not found:
            raise InputError(f"'{'.'.join(keys)[:100]}' cannot be set in this text")
        return _replaced(text, *found[-1], flow({name: value}))
    return _inserted(text, parent, name, value, top=not found)


def _without(text: str, keys: Keys) -> str:
    """The text without the key, as it is where the key is not there."""
    found = list(_entries_at(_root(text), keys))
    if len(found) < len(keys):
        return text
    parent = found[-2][1] if len(found) > 1 else _root(text)
    assert isinstance(parent, MappingNode)  # it has an entry
    entries = parent.value
    if len(entries) == 1 and len(found) > 1:
        return _replaced(text, *found[-2], "{}")
    key, node = found[-1]
    if not parent.flow_style:
        return text[: _line_start(text, key.start_mark.index)] + text[_line_end(text, _end(node)) :]
    index = next(number for number, (each, _) in enumerate(entries) if each is key)
    if index:
        return text[: _end(entries[index - 1][1])] + text[_end(node) :]
    return text[: key.start_mark.index] + text[entries[1][0].start_mark.index :]


def _inserted(text: str, parent: MappingNode, name: str, value: Any, top: bool) -> str:
    """A new entry of a mapping: at the top and among gates in the usual order, elsewhere behind the others."""
    entries = parent.value
    names = [key.value for key, _ in entries]
    order = list(Spec.model_fields) if top else [*GATE_LETTERS] if set(names) <= {*GATE_LETTERS} else []
    before = [i for i, each in enumerate(names) if name not in order or each not in order or order.index(each) < order.index(name)]
    written = f"{name}: {flow(value)}"
    first = entries[0][0].start_mark
    if parent.flow_style:
        if before:
            at = _end(entries[before[-1]][1])
            return f"{text[:at]}, {written}{text[at:]}"
        return f"{text[: first.index]}{written}, {text[first.index :]}"
    at = _line_end(text, _end(entries[before[-1]][1])) if before else _line_start(text, first.index)
    newline = "" if at == 0 or text[at - 1] == "\n" else "\n"
    return f"{text[:at]}{newline}{' ' * first.column}{written}\n{text[at:]}"


def _replaced(text: str, key: Node, node: Node, written: str) -> str:
    """Another value behind a key; comments behind a value in a block stay where they are."""
    begin, end = node.start_mark.index, _end(node)
    block = isinstance(node, MappingNode | SequenceNode) and not node.flow_style
    if block or begin == end:  # where nothing is written, the parser has the value at the next token
        begin = text.index(":", key.end_mark.index) + 1
        end = end if block else begin
    gap = "" if text[begin - 1] in " \n" else " "
    return f"{text[:begin]}{gap}{written}{text[end:]}"


def _root(text: str) -> MappingNode:
    node = YAML(typ="safe", pure=True).compose(text)
    assert isinstance(node, MappingNode)  # it has been read before
    return node


def _entries_at(node: Node, keys: Keys) -> Iterator[tuple[Node, Node]]:
    """The key and the value of every part of a path that is there."""
    for part in keys:
        entry = next((each for each in node.value if each[0].value == part), None) if isinstance(node, MappingNode) else None
        if entry is None:
            return
        yield entry
        node = entry[1]


def _end(node: Node) -> int:
    """The end of a value; the parser has a block end at the next token, behind comments."""
    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, MappingNode) else last)
    return int(node.end_mark.index)


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    """The beginning of the next line."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1
