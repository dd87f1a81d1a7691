"""`verify_package`: all checks on one generated package, one row each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from miras_compiler.compiler import Compilation, compile_spec
from miras_compiler.spec import Spec
from miras_compiler.verify.checks import CHECKS, Check
from miras_compiler.verify.checks.written import IMPORT
from miras_compiler.verify.measure import Tally
from miras_compiler.verify.opened import open_processes
from miras_compiler.verify.report import Report, Row
from miras_compiler.verify.subject import Subject
from miras_compiler.verify.written import Written


def verify_package(
    spec: Spec,
    package: Path,
    *,
    seed: int = 0,
    quick: bool = False,
    progress: Callable[[Row], None] | None = None,
    compilation: Compilation | None = None,
    kernels: bool = True,
) -> Report:
    """Verify the package in the folder `package` against the meaning of `spec`; `progress` is called with each finished row.

    Runs in float64 on the CPU and writes nothing; the package runs in processes of its own. `quick` tries shorter sequences and leaves
    out the slow checks. `compilation` is of this spec, where it is at hand. Without `kernels`, those of the package are left out: Triton's
    interpreter takes most of the time. A package that cannot be imported, raises or ends its process fails the rows in which it does; a
    folder that holds no package is an InputError.
    """
    written = Written(spec, compilation or compile_spec(spec), package)
    with open_processes(package, spec.name, written.layer, kernels and written.has_kernels) as opened:
        subject = Subject(spec.model_dump(by_alias=True), opened, seed, quick, written)
        rows = check_subject(subject, progress, (IMPORT,))
        if rows[0].passed:
            rows += check_subject(subject, progress, (check for check in CHECKS if check is not IMPORT))
        return Report(spec.name, str(opened.manifest.get("digest", "")), rows)


def check_subject(subject: Subject, progress: Callable[[Row], None] | None = None, checks: Iterable[Check] = CHECKS) -> tuple[Row, ...]:
    """A row for every one of the checks that applies to the subject."""
    rows = []
    for check in checks:
        if check.applies(subject) and (check.quick or not subject.quick):
            rows.append(_row(check, subject))
            if progress:
                progress(rows[-1])
    return tuple(rows)


def _row(check: Check, subject: Subject) -> Row:
    began = time.perf_counter()
    tally = Tally(check.limit)
    try:
        with torch.random.fork_rng(devices=[]):  # gradcheck draws from the global generator
            torch.manual_seed(subject.seed)
            check.run(subject, tally)
        if tally.not_run:
            return Row(check.check, check.subject, None, None, False, tally.not_run, time.perf_counter() - began, ran=False)
        passed = tally.count > 0 and tally.error <= check.limit
        note = ", ".join(tally.remarks) if passed else f"worst: {tally.worst}"
    except Exception as problem:  # a broken package may raise anything, and the other rows still have something to say
        first_line = next(iter(str(problem).splitlines()), "")
        passed, note = False, f"{type(problem).__name__}: {first_line}"
        tally.error = math.inf
    numeric = check.limit > 0
    error = tally.error if numeric else None
    return Row(check.check, check.subject, error, check.limit if numeric else None, passed, note, time.perf_counter() - began)
