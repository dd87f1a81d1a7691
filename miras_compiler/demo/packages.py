"""The six specs: compiled, written where they are not current, and verified in the quick mode."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from miras_compiler.compiler import Compilation, compile_spec
from miras_compiler.spec import load_spec
from miras_compiler.store import is_current
from miras_compiler.verified import verify_package
from miras_compiler.verify import Finding, Report

MODELS = ("linear_attention", "gated_delta_net", "titans_lmm", "yaad", "moneta", "memora")


@dataclass(frozen=True)
class Built:
    """A model compiled and verified."""

    compilation: Compilation
    was_current: bool
    report: Report
    seconds: float


def build_package(name: str, generated: Path, progress: Callable[[Finding], None]) -> Built:
    """Compile the spec `name`, write `generated`/`name` unless it is current, verify it; `progress` gets every finished check."""
    began = time.perf_counter()
    spec = load_spec(name)
    compilation = compile_spec(spec)
    current = is_current(generated / name, compilation.files)
    if not current:
        compilation.write(generated)
    report = verify_package(spec, generated / name, quick=True, progress=progress)
    return Built(compilation, current, report, time.perf_counter() - began)
