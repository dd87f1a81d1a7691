"""The outcome of a drawn spec: refused with reasons, or compiled and held to the literal oracle, and its kernels to the float64 form."""

from __future__ import annotations

import json
import math
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

from miras_compiler import compile_spec, verify_package
from miras_compiler.bench.checks import SENSITIVE, Deviation
from miras_compiler.bench.children import run_child
from miras_compiler.compiler import Compilation
from miras_compiler.derive.rule import describe_rule
from miras_compiler.errors import SpecError
from miras_compiler.schedule.tile import BLOCK, tile_length
from miras_compiler.spec import Spec, parse_spec
from miras_compiler.verify.checks.contract import CONTRACT
from miras_compiler.verify.checks.equations import EQUATIONS
from miras_compiler.verify.checks.gradients import GRADIENTS
from miras_compiler.verify.checks.sequences import SEQUENCES
from miras_compiler.verify.package import opened_here
from miras_compiler.verify.subject import CALM, Subject
from miras_compiler.verify.verification import check_subject

CLAIMS = (*EQUATIONS, *(check for check in GRADIENTS if check.limit), *SEQUENCES, *CONTRACT)  # differences are too coarse for steep losses
Verdict = Literal["accepted", "refused", "unstable", "failed"]
ROUNDING = 1e-4  # the size to which 1e-16 grows in a rule that amplifies every change
WIDE = BLOCK + 8
LIMIT = 600  # seconds that kernels may take


class Outcome(NamedTuple):
    """`form` of the compiled rule; `told`: the reasons of a refusal, or the failures. Seconds of everything; claims that its kernels kept.

    unstable: at no step size is the rule itself calm, or are gradients steady, and two ways to compute it differ by no more than rounding
    grows to; or the literal model itself leaves float32 at every step size, and there is nothing to compare with.
    """

    verdict: Verdict
    form: str
    told: tuple[str, ...]
    seconds: float = 0.0
    kernels: int = 0


def outcome_of(tree: Mapping[str, Any], kernels: bool = False, whole: bool = False) -> Outcome:
    """Checks, compiles and verifies the spec that this tree stands for; JSON is YAML, so it goes in as a text.

    With `kernels`, it is kernels that are looked for: they are run where the PyTorch form holds. With `whole`, every row of
    `miras verify --quick` must pass; else only the claims about the rule itself are tried.
    """
    began = time.perf_counter()
    outcome = _outcome(json.dumps(tree), kernels, whole)
    return outcome._replace(seconds=round(time.perf_counter() - began, 2))


def _outcome(text: str, kernels: bool, whole: bool) -> Outcome:
    try:
        spec = parse_spec(text, "drawn.yaml")
    except SpecError as error:
        causes = tuple(problem.what for problem in error.problems)
        return Outcome("refused", "", causes) if causes and all(causes) else Outcome("failed", "", ("a refusal without a cause",))
    except Exception as problem:
        return Outcome("failed", "", (f"check: {_told(problem)}",))
    try:
        compilation = compile_spec(spec)
    except Exception as problem:
        return Outcome("failed", "", (f"compile: {_told(problem)}",))
    form = compilation.parallel_form.kind
    try:
        with tempfile.TemporaryDirectory(prefix="miras-") as folder:
            package = compilation.write(folder)
            manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
            if whole:
                return passed_whole(spec, compilation, package)
            outcome = Outcome(*verified(spec, package, form))
            if not kernels or outcome.verdict != "accepted":
                return outcome
            verdict, told, kept = executed(spec, package, manifest["dims"], Random(text))
            return Outcome(verdict, form, told, kernels=kept)
    except Exception as problem:
        return Outcome("failed", form, (f"verify: {_told(problem)}",))


def executed(spec: Spec, package: Path, dims: Mapping[str, int], random: Random) -> tuple[Verdict, tuple[str, ...], int]:
    """Runs the kernels in float32 in Triton's interpreter, in a process of their own: the claims that they break, and the number that they
    keep.

    An axis has the width that the spec gives it or, now and then, one that is more than a program holds at once.
    """
    key, value, hidden = (random.choice((dims[axis],) * 3 + (WIDE,)) if axis in dims else 0 for axis in "KVN")
    shape = (1, 1, 1, key, key if dims["K"] == dims["V"] else value, hidden)
    given = {"package": str(package), "dtype": "float32", "shape": shape, "forced": 4 * tile_length(describe_rule(spec)), "device": "cpu"}
    answer = run_child("check", given, LIMIT, {"TRITON_INTERPRET": "1"})
    told = {row["check"] for row in answer.rows if row["limit"] == math.inf}
    rows = [Deviation(**row) for row in answer.rows if row["limit"] != math.inf]
    missed = [row for row in rows if not row.passed]
    said = [f"kernels, {row.check}: {row.entry} ({row.error:.1e} of {row.limit:.1e})" for row in missed]
    said += [f"kernels: {answer.problem}"] if answer.problem else []
    rounded = not answer.problem and all(row.check + SENSITIVE in told and row.error <= ROUNDING for row in missed)
    verdict: Verdict = "accepted" if not said else "unstable" if rounded else "failed"
    return verdict, tuple(f"{each}, widths {shape[3:]}" for each in said), len(rows) - len(missed)


def verified(spec: Spec, package: Path, form: str) -> tuple[Verdict, str, tuple[str, ...]]:
    """Tries the claims about equations, gradients, sequences and the contract; extreme inputs, precisions and kernels apart."""
    with opened_here(package, spec.name) as opened:
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


def passed_whole(spec: Spec, compilation: Compilation, package: Path) -> Outcome:
    """All rows of the table, as `miras verify --quick` tries them; `kernels` counts the rows of kernels."""
    report = verify_package(spec, package, quick=True, compilation=compilation)
    rows = [row for row in report.tried if not row.passed]
    told = tuple(f"{row.check}, {row.subject}: {row.note}" + ("" if row.error is None else f" ({row.error:.1e})") for row in rows)
    run = sum(row.check == "triton" for row in report.tried)
    return Outcome("failed" if told or not report.passed else "accepted", compilation.parallel_form.kind, told, kernels=run)


def _told(problem: Exception) -> str:
    """The exception and the place that raised it."""
    place = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__}: {next(iter(str(problem).splitlines()), '')} ({Path(place.filename).name}:{place.lineno})"
