"""The folder holds the files that the compiler writes for this spec: it can be imported, and its manifest is true."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from miras_compiler.records import versions_here
from miras_compiler.spec.exports import OPERATORS, model_exports, operator_names
from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.measure import Tally
from miras_compiler.verify.subject import Subject
from miras_compiler.verify.written import Written

DOCUMENTS = (".md", ".dot", ".svg", ".json", ".yaml")
SHARED = "runtime_"  # the begin of the names of files that packages share


def is_written(subject: Subject) -> bool:
    return subject.written is not None


def _of(subject: Subject) -> Written:
    assert subject.written is not None
    return subject.written


def exports(subject: Subject, tally: Tally) -> None:
    assert subject.package.exports is not None
    found = set(subject.package.exports())
    wanted = {_of(subject).layer, *operator_names(_of(subject).spec)}
    tally.require(f"exports {sorted(found)}, expected {sorted(wanted)}", wanted <= found)


def models(subject: Subject, tally: Tally) -> None:
    """Configuration, model and language model: importing transformers takes longer than all other checks of a quick run."""
    if importlib.util.find_spec("transformers") is None:
        tally.not_run = "transformers is not installed"
        return
    assert subject.package.models is not None
    found, wanted = set(subject.package.models()), set(model_exports(_of(subject).spec))
    tally.require(f"exports {sorted(found)}, expected {sorted(wanted)}", wanted <= found)


def identity(subject: Subject, tally: Tally) -> None:
    """Name, digest, version, paper, widths, chunk and operators, from the spec itself."""
    spec, manifest = _of(subject).spec, subject.package.manifest
    layer, memory = subject.fields["layer"], subject.fields["memory"]
    dims = {"H": layer.get("value_heads", layer["heads"]), "K": layer["head_dim"], "V": layer["value_dim"]}
    if memory["kind"] in ("mlp", "swiglu"):
        dims["N"] = memory["expansion"] * layer["head_dim"]
    expected = {
        "name": spec.name, "digest": _of(subject).digest, "compiler_version": versions_here()["miras"], "paper": spec.paper, "dims": dims,
        "chunk": spec.chunk.model_dump(mode="json"), "ops": {operator: f"{operator}_{spec.name}" for operator in OPERATORS},
    }  # fmt: skip
    for key, wanted in expected.items():
        tally.require(f"{key} is {manifest.get(key)!r}, not {wanted!r}", manifest.get(key) == wanted)


def _texts(choose: Callable[[str], bool]) -> Callable[[Subject, Tally], None]:
    def compare(subject: Subject, tally: Tally) -> None:
        for name in filter(choose, _of(subject).names):
            difference = _of(subject).difference(name)
            tally.require(difference, not difference)

    return compare


def is_document(name: str) -> bool:
    return name.endswith(DOCUMENTS)


def is_shared(name: str) -> bool:
    return name.startswith(SHARED)


def is_code(name: str) -> bool:
    return not is_document(name) and not is_shared(name)


def shares(subject: Subject) -> bool:
    return is_written(subject) and any(map(is_shared, _of(subject).names))


documents, code, shared = _texts(is_document), _texts(is_code), _texts(is_shared)
documents.__name__, code.__name__, shared.__name__ = "documents", "code", "shared"

IMPORT = Check("package", "imports, and exports its operators and its layer", 0.0, exports, is_written)
WRITTEN = (
    IMPORT,
    Check("package", "imports its models with transformers", 0.0, models, is_written, quick=False),
    Check("package", "the manifest is of this spec", 0.0, identity, is_written),
    Check("package", "manifest, spec, derivation and graph are as they are derived", 0.0, documents, is_written),
    Check("package", "code is as the compiler writes it", 0.0, code, is_written),
    Check("package", "runtime files are as shipped", 0.0, shared, shares),
)
