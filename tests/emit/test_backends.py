"""Backends: each prints files of its own, those to read first without any kernels."""

from __future__ import annotations

from collections import Counter

import pytest

from kit.compiled import compilation
from miras_compiler.emit.backend import Derived, Scheduled
from miras_compiler.emit.interface import build_interface
from miras_compiler.emit.package import BACKENDS, READABLE, emit_readable
from miras_compiler.schedule import why_walked


@pytest.mark.parametrize("name", ["linear_attention", "elastic_net_memory", "sparse_memory"])
def test_every_file_comes_from_one_backend(name: str) -> None:
    made = compilation(name)
    rule = made.update_rule
    derived = Derived(rule, build_interface(rule), made.parallel_form, made.program)
    schedules = made.schedule, made.starts, made.walk
    why = why_walked(made.parallel_form, made.prepared)
    given = Scheduled(rule, derived.interface, made.parallel_form, made.program, made.graph, *schedules, made.cost, why)
    counts = Counter(path for backend in BACKENDS for path in backend(given))
    assert set(counts.values()) == {1}
    shared = {file.path for file in made.files if file.path.startswith("runtime_")}
    assert counts.keys() | shared | {f"configuration_{name}.py"} == {file.path for file in made.files}


def test_the_files_to_read_first_are_those_of_the_package() -> None:
    made = compilation("linear_attention")
    readable = emit_readable(made.update_rule, made.parallel_form, made.program)
    assert tuple(readable) == READABLE
    assert readable == {file.path: file.text for file in made.files if file.path in READABLE}
