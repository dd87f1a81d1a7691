"""What becomes of a drawn spec: refused with reasons, or compiled and held to the literal oracle."""

from __future__ import annotations

import json
import math
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from miras_compiler import compile_spec
from miras_compiler.errors import SpecError
from miras_compiler.spec import Spec, parse_spec
from miras_compiler.verify.checks.contract import CONTRACT
from miras_compiler.verify.checks.equations import EQUATIONS
from miras_compiler.verify.checks.gradients import GRADIENTS
from miras_compiler.verify.checks.sequences import SEQUENCES
from miras_compiler.verify.package import open_package
from miras_compiler.verify.subject import CALM, Subject
from miras_compiler.verify.verification import check_subject

CLAIMS = (*EQUATIONS, *(check for check in GRADIENTS if check.limit), *SEQUENCES, *CONTRACT)  # differences are too coarse for steep losses
Verdict = Literal["accepted", "refused", "unstable", "failed"]
ROUNDING = 1e-4  # what becomes of 1e-16 in a rule that amplifies every change


class Outcome(NamedTuple):
    """`form` of what was compiled; `told`: the reasons of a refusal, or what failed. Seconds of everything.

    unstable: at no step size is the rule itself calm, and two ways to compute it part company by no more than rounding grows to; or the
    literal model itself leaves float32 at every step size, and there is nothing to compare with.
    """

    verdict: Verdict
    form: str
    told: tuple[str, ...]
    seconds: float


def outcome_of(tree: Mapping[str, Any]) -> Outcome:
    """Checks, compiles and verifies the spec that this tree stands for; JSON is YAML, so it goes in as a text."""
    began = time.perf_counter()
    verdict, form, told = _outcome(json.dumps(tree))
    return Outcome(verdict, form, told, round(time.perf_counter() - began, 2))


def _outcome(text: str) -> tuple[Verdict, str, tuple[str, ...]]:
    try:
        spec = parse_spec(text, "drawn.yaml")
    except SpecError as error:
        causes = tuple(problem.what for problem in error.problems)
        return ("refused", "", causes) if causes and all(causes) else ("failed", "", ("a refusal without a cause",))
    except Exception as problem:
        return "failed", "", (f"check: {_told(problem)}",)
    try:
        compilation = compile_spec(spec)
    except Exception as problem:
        return "failed", "", (f"compile: {_told(problem)}",)
    form = compilation.parallel_form.kind
    try:
        with tempfile.TemporaryDirectory(prefix="miras-") as folder:
            return verified(spec, compilation.write(folder), form)
    except Exception as problem:
        return "failed", form, (f"verify: {_told(problem)}",)


def verified(spec: Spec, package: Path, form: str) -> tuple[Verdict, str, tuple[str, ...]]:
    """Tries the claims about equations, gradients, sequences and the contract; extreme inputs, precisions and kernels apart."""
    with open_package(package, spec.name) as opened:
        subject = Subject(spec.model_dump(by_alias=True), opened, quick=True)
        if not math.isfinite(subject.amplification):
            return "unstable", form, ("the literal model leaves float32 at every step size",)
        rows = check_subject(subject, checks=CLAIMS)
        calm = subject.amplification <= CALM
    missed = [row for row in rows if not row.passed]
    told = tuple(f"{row.subject}: {row.note}" + ("" if row.error is None else f" ({row.error:.1e})") for row in missed)
    if not missed:
        return "accepted", form, told
    rounded = not calm and all(row.error is not None and row.error <= ROUNDING for row in missed)
    return "unstable" if rounded else "failed", form, told


def _told(problem: Exception) -> str:
    """The exception and the place that raised it."""
    place = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__}: {next(iter(str(problem).splitlines()), '')} ({Path(place.filename).name}:{place.lineno})"
