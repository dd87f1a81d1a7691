"""`verify_written`: all checks on one generated package, one finding each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import torch

from miras_compiler.records import cpu, origin_here
from miras_compiler.verify.checks import CHECKS, Check
from miras_compiler.verify.checks.written import IMPORT
from miras_compiler.verify.measure import Tally
from miras_compiler.verify.opened import open_processes
from miras_compiler.verify.process import KernelsRefused
from miras_compiler.verify.report import Finding, Report
from miras_compiler.verify.subject import Subject
from miras_compiler.verify.written import Written


def verify_written(
    written: Written,
    *,
    seed: int = 0,
    quick: bool = False,
    progress: Callable[[Finding], None] | None = None,
    kernels: bool = True,
) -> Report:
    """Verifies the package in the folder of `written` against the meaning of its spec, and against the files that the compiler writes.

    Runs in float64 on the CPU and writes nothing; the package runs in processes of its own. `progress` is called with each finding. `quick`
    tries shorter sequences and leaves out the slow checks. Without `kernels`, those of the package are left out: Triton's interpreter takes
    most of the time. A package that cannot be imported, raises or ends its process fails the checks in which it does; a folder that holds
    no package is an InputError.
    """
    spec = written.spec
    with open_processes(written.folder, spec.name, written.layer, kernels and written.has_kernels) as opened:
        subject = Subject(spec.model_dump(by_alias=True), opened, seed, quick, written)
        findings = check_subject(subject, progress, (IMPORT,))
        if findings[0].passed:
            findings += check_subject(subject, progress, (check for check in CHECKS if check is not IMPORT))
        device = cpu() if opened.interpreted else torch.cuda.get_device_name()
        return Report(spec.name, str(opened.manifest.get("digest", "")), findings, origin_here(device, seed))


def check_subject(
    subject: Subject, progress: Callable[[Finding], None] | None = None, checks: Iterable[Check] = CHECKS
) -> tuple[Finding, ...]:  # fmt: skip
    """A finding of every check that applies to the subject."""
    findings = []
    for check in checks:
        if check.applies(subject) and (check.quick or not subject.quick):
            findings.append(_finding(check, subject))
            if progress:
                progress(findings[-1])
    return tuple(findings)


def _tried(check: Check, subject: Subject) -> Tally:
    """All comparisons of the check; where the rule itself explodes on its inputs, those at the next smaller step size."""
    tally = Tally(check.limit)
    check.run(subject, tally)
    calmer = subject.calmer() if tally.exploded else None
    if calmer is None:
        return tally
    tally = _tried(check, calmer)
    tally.remark(f"the rule explodes on these inputs at eta {subject.step:g}")
    return tally


def _finding(check: Check, subject: Subject) -> Finding:
    began = time.perf_counter()
    tally = Tally(check.limit)
    try:
        with torch.random.fork_rng(devices=[]):  # gradcheck draws from the global generator
            torch.manual_seed(subject.seed)
            tally = _tried(check, subject)
        if tally.not_run:
            return Finding(check.check, check.subject, None, None, False, tally.not_run, time.perf_counter() - began, ran=False)
        passed = tally.count > 0 and tally.error <= check.limit
        note = ", ".join(tally.remarks) if passed else f"worst: {tally.worst}"
    except Exception as problem:  # a broken package may raise anything, and the other checks still have something to say
        first_line = next(iter(str(problem).splitlines()), "")
        if isinstance(problem, KernelsRefused) and not subject.package.interpreted:
            return Finding(check.check, check.subject, None, None, False, first_line, time.perf_counter() - began, ran=False)
        passed, note = False, f"{type(problem).__name__}: {first_line}"
        tally.error = math.inf
    numeric = check.limit > 0
    error = tally.error if numeric else None
    return Finding(check.check, check.subject, error, check.limit if numeric else None, passed, note, time.perf_counter() - began)
