"""`verify_package`: a package held to the meaning of its spec, and to the files that the compiler writes for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path

from miras_compiler.compiler import Compilation, compile_spec
from miras_compiler.spec import Spec, normalized_yaml, parse_spec
from miras_compiler.verify import Finding, Report, Written, verify_written


def verify_package(
    spec: Spec,
    package: Path,
    *,
    seed: int = 0,
    quick: bool = False,
    progress: Callable[[Finding], None] | None = None,
    compilation: Compilation | None = None,
    kernels: bool = True,
) -> Report:
    """Verifies the package in the folder `package` against `spec`; `compilation` is of this spec, where it is at hand.

    `progress` hears of each finding, `quick` leaves out slow checks; without `kernels`, those of the package are left out, too. InputError
    for a folder that holds no package, SpecError for a spec that cannot be compiled.
    """
    return verify_written(written(spec, package, compilation), seed=seed, quick=quick, progress=progress, kernels=kernels)


def written(spec: Spec, package: Path, compilation: Compilation | None = None) -> Written:
    """A package's folder beside the files that the compiler writes for its spec."""
    return Written(spec, _texts(compilation or compile_spec(spec)), partial(_normal_files, normalized_yaml(spec)), package)


@lru_cache(maxsize=1)
def _normal_files(normal: str) -> Mapping[str, str]:
    """The files by path that the compiler writes for the normal form of a spec."""
    return _texts(compile_spec(parse_spec(normal, "spec.yaml")))


def _texts(compilation: Compilation) -> dict[str, str]:
    return {file.path: file.text for file in compilation.files}
