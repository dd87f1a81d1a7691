"""A compiler from a MIRAS spec to derived, verified, readable PyTorch.

    from miras_compiler import compile_spec, load_spec
    compilation = compile_spec(load_spec("specs/yaad.yaml"))

The names below are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from miras_compiler.version import __version__

if TYPE_CHECKING:
    from miras_compiler.compiler import Compilation, compile_spec
    from miras_compiler.errors import CheckFailed, InputError, InternalError, MirasError, Problem, SpecError
    from miras_compiler.spec import Spec, check_spec, load_spec, parse_spec
    from miras_compiler.verify import verify_package

__all__ = [
    "CheckFailed", "Compilation", "InputError", "InternalError", "MirasError", "Problem", "Spec", "SpecError", "__version__", "check_spec",
    "compile_spec", "load_spec", "parse_spec", "verify_package",
]  # fmt: skip

HOMES = {
    "compiler": ("Compilation", "compile_spec"),
    "errors": ("CheckFailed", "InputError", "InternalError", "MirasError", "Problem", "SpecError"),
    "spec": ("Spec", "check_spec", "load_spec", "parse_spec"),
    "verify": ("verify_package",),
}


def __getattr__(name: str) -> object:
    for module, names in HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
