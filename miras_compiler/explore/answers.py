"""The questions that a worker answers, by name; an answer is plain JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from miras_compiler.advice import warnings_of
from miras_compiler.compare import page
from miras_compiler.compare.code import code_file, reading_order
from miras_compiler.compare.graphs import picture_of
from miras_compiler.compare.subjects import Compared, Unread, labelled, subject_of
from miras_compiler.compiler import Compilation
from miras_compiler.elements.kinds import KINDS
from miras_compiler.emit.package import READABLE, emit_readable
from miras_compiler.errors import InputError, SpecError
from miras_compiler.explore.change import changed, removed
from miras_compiler.explore.kinds import tended, with_kind
from miras_compiler.explore.look import compiled, cost, look, problem_of
from miras_compiler.explore.menus import menus
from miras_compiler.spec import Spec, digest, parse_spec
from miras_compiler.spec.checks import faults_of
from miras_compiler.spec.source import read_source, read_value
from miras_compiler.spec.zoo import read_zoo


def start() -> dict[str, Any]:
    """The menus, and the specs that come with the compiler."""
    zoo = {name: {"form": entry.form.replace("_", " "), "memory": entry.memory, "paper": entry.paper} for name, entry in read_zoo().items()}
    return {"menus": menus(), "zoo": zoo, "readable": READABLE}


def change(text: str, file: str, key: str, value: Any, yaml: str | None, remove: bool) -> dict[str, Any]:
    """The text with a key set, the other changes, and the consequences."""
    wanted = value if yaml is None else read_value(yaml, key)
    found = removed(text, file, key) if remove else changed(text, file, key, wanted)
    return {"text": found.text, "notes": found.notes, "look": look(found.text, file)}


def graph(text: str, file: str, expand: bool) -> dict[str, Any]:
    return {"graph": picture_of(compiled(text, file), expand)}


def advice(text: str, file: str) -> dict[str, Any]:
    """Warnings, the stability, and of every kind that is not chosen why it would be refused, "" for one that would not."""
    compilation = compiled(text, file)
    tree = read_source(text, file).tree
    return {
        "warnings": [problem_of(each) for each in warnings_of(compilation.spec)],
        "stability": compilation.stability(),
        "refused": {family: {kind: _refusal(tree, family, kind) for kind in kinds} for family, kinds in KINDS.items()},
    }


def _refusal(tree: Mapping[str, Any], family: str, kind: str) -> str:
    """The first fault that the checks find in a spec with another kind."""
    changed = tended({**tree, family: with_kind(family, tree.get(family), kind)})
    try:
        faults = faults_of(Spec.unchecked(changed))
    except (ValueError, SpecError) as error:
        return str(error).partition("\n")[0]
    return str(faults[0].problem._replace(where="", remedy="")) if faults else ""


def code(text: str, file: str, path: str) -> dict[str, Any]:
    """One of the files to read first, line by line, with the values that lines compute."""
    compilation = compiled(text, file)
    files = emit_readable(compilation.update_rule, compilation.parallel_form, compilation.program)
    return _shown(compilation, file, path, files, [*files, "kernels.py"])


def package(text: str, file: str, path: str) -> dict[str, Any]:
    """Any file of the package in the same way, with the names of all; kernels take their time."""
    compilation = compiled(text, file)
    files = {each.path: each.text for each in compilation.files if not each.path.endswith(".svg")}
    return _shown(compilation, file, path, files, sorted(files, key=reading_order))


def _shown(compilation: Compilation, file: str, path: str, files: Mapping[str, str], names: Sequence[str]) -> dict[str, Any]:
    if path not in files:
        raise InputError(f"'{path[:100]}' is not a file of this package")
    spec = compilation.spec
    subject = Compared(spec.name, Path(file), compilation, digest(spec), "", {path: files[path]})
    return {"path": path, "files": names, **code_file(path, [subject]).variants[0]}


def comparison(text: str, file: str, other_text: str, other_file: str) -> dict[str, Any]:
    """The page of `miras compare` of two specs; it says which of them cannot be compiled."""
    subjects: list[Compared] = []
    unread: list[Unread] = []
    for each, name in ((text, file), (other_text, other_file)):
        try:
            subjects.append(subject_of(parse_spec(each, name), each, Path(name)))
        except InputError as error:
            unread.append(Unread(Path(name), tuple(str(error).splitlines())))
    return {"html": page(labelled(subjects), unread)}


ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {
    each.__name__: each for each in (start, look, change, graph, cost, advice, code, package, comparison)
}  # fmt: skip
