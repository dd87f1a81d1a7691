"""The specs that come with the compiler, and their compilations: read and compiled once a session."""

from __future__ import annotations

from functools import cache

from kit.paths import SPECS
from miras_compiler import compile_spec, load_spec
from miras_compiler.compiler import Compilation
from miras_compiler.spec import Spec


@cache
def spec(name: str) -> Spec:
    return load_spec(SPECS / f"{name}.yaml")


@cache
def compilation(name: str) -> Compilation:
    return compile_spec(spec(name))


def without_tiles(spec: Spec) -> Compilation:
    """A compilation whose kernels walk, as those of a rule that has no others do.

    Kernels over tiles take most of the time of a compilation. Operators, layers and models in PyTorch, as on a CPU, do without them.
    """
    compilation = compile_spec(spec)
    vars(compilation).update(schedule=None, starts=None)
    return compilation
