"""The subjects of a comparison: a spec, a package or a run, read and compiled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from miras_compiler.compare.runs import Run, read_run
from miras_compiler.compiler import Compilation, compile_spec
from miras_compiler.errors import InputError
from miras_compiler.models import MANIFEST
from miras_compiler.records import Result, read_record
from miras_compiler.runs import ABOUT, RunFolder
from miras_compiler.spec import Spec, digest, load_spec
from miras_compiler.spec.shipped import find_spec
from miras_compiler.store import BESIDES, REPORT
from miras_compiler.version import __version__

SPEC = "spec.yaml"
LARGEST = 4 * 2**20  # bytes of a file of a package that is shown


@dataclass(frozen=True)
class Compared:
    """One of the things compared.

    `label` names it and no other on a page; `text` is the spec as written; `files` are the texts of the package by their names, as they lie
    in its folder or as the compiler writes them; `checks` are the results of `miras verify`, none if it did not run; `remarks` are for its
    readers.
    """

    label: str
    path: Path
    compilation: Compilation
    digest: str
    text: str
    files: dict[str, str]
    checks: tuple[Result, ...] = ()
    run: Run | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unread:
    """A path that could not be read or compiled, with the error's lines."""

    path: Path
    problems: tuple[str, ...]


def read_subjects(paths: Sequence[Path]) -> tuple[list[Compared], list[Unread]]:
    """The paths that can be compared, under different labels, and the others, with the reasons."""
    subjects: list[Compared] = []
    unread: list[Unread] = []
    for path in paths:
        try:
            subjects.append(read_subject(path))
        except InputError as error:
            unread.append(Unread(path, tuple(str(error).splitlines())))
    return labelled(subjects), unread


def read_subject(path: Path) -> Compared:
    """A spec file, a shipped spec's name, a package's folder or a run's; InputError where it is none, or cannot be compiled."""
    if not path.is_dir():
        spec = load_spec(path)
        return subject_of(spec, find_spec(path).path.read_text(encoding="utf-8-sig"), path)
    if RunFolder(path).is_there():
        package = RunFolder(path).package
        if not (package / MANIFEST).is_file():
            raise InputError(f"{path}: has a {ABOUT}, but no package/{MANIFEST}; a run's folder holds the package that was trained")
        return replace(_of_package(package), label=path.name, path=path, run=read_run(path))
    if (path / MANIFEST).is_file():
        return _of_package(path)
    raise InputError(f"{path}: is neither a package (no {MANIFEST}) nor a run (no {ABOUT}); name a spec, a package or a run")


def subject_of(spec: Spec, text: str, path: Path) -> Compared:
    """A spec with the files that the compiler writes of it; SpecError where it cannot be compiled."""
    compilation = compile_spec(spec)
    return Compared(spec.name, path, compilation, digest(spec), text, {file.path: file.text for file in compilation.files})


def _of_package(folder: Path) -> Compared:
    if not (folder / SPEC).is_file():
        raise InputError(f"{folder}: the package has no {SPEC}; compile its spec again")
    manifest = _read_object(folder / MANIFEST)
    compilation = compile_spec(load_spec(folder / SPEC))
    mark, remarks = digest(compilation.spec), []
    if manifest.get("digest") != mark:
        remarks.append(f"{folder / MANIFEST} names the digest {manifest.get('digest')}, but {SPEC} beside it has {mark}: compile it again")
    if manifest.get("compiler_version") != __version__:
        remarks.append(f"{folder} was written by compiler {manifest.get('compiler_version')}; the rule shown is derived by {__version__}")
    checks = _checks_of(folder / REPORT, mark, remarks) if (folder / REPORT).is_file() else ()
    text = (folder / SPEC).read_text(encoding="utf-8-sig")
    return Compared(folder.name, folder, compilation, mark, text, _files_below(folder), checks, remarks=tuple(remarks))


def _checks_of(path: Path, mark: str, remarks: list[str]) -> tuple[Result, ...]:
    """The results in verification.json; none, with a remark, where they are of another digest or cannot be read."""
    try:
        checks = tuple(read_record(path).results)
    except InputError as error:
        remarks.append(str(error))
        return ()
    others = {each.digest for each in checks} - {mark}
    if others:
        remarks.append(f"{path} is of the digest {min(others)}, and is not used")
    return () if others else checks


def _files_below(folder: Path) -> dict[str, str]:
    """The text files of a package; one that is larger than a page may show, or no text, is left out."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name in BESIDES or not path.is_file() or path.stat().st_size > LARGEST:
            continue
        try:
            found[path.name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    return found


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON: {error}; compile the spec again") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object; compile the spec again")
    return value


def labelled(subjects: Sequence[Compared]) -> list[Compared]:
    """The subjects with their paths behind labels that are not their own alone, and numbers where that is not enough."""
    labels = [subject.label for subject in subjects]
    full = [each.label if labels.count(each.label) == 1 else f"{each.label} ({each.path})" for each in subjects]
    again = [full[:index].count(label) for index, label in enumerate(full)]
    return [
        replace(subject, label=label + (f" #{count + 1}" if count else ""))
        for subject, label, count in zip(subjects, full, again, strict=True)
    ]
