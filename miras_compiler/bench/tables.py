"""The rows of the tables that a run of `miras bench` prints."""

from __future__ import annotations

from collections.abc import Iterator

from miras_compiler.bench.checks import REFUSED
from miras_compiler.bench.comparison import Timing
from miras_compiler.bench.correctness import CaseResult
from miras_compiler.bench.tune import Tuned, told
from miras_compiler.console import PrintedRow

CHECKED = ("result", "package", "tokens", "widths", "check", "error", "limit", "entry")
COMPARED = ("package", "what", "forward ms", "both ms", "ns / token", "GiB", "error", "of its roofline", "remark")
TUNED = ("package", "form", "width", "tile", "kernels as shipped, ms", "as found", "launches")


def check_rows(result: CaseResult) -> Iterator[PrintedRow]:
    """A row for each deviation of a package at some widths."""
    about = (result.package.name, result.widths.dtype, str(result.widths))
    for row in result.rows:
        verdict = "refused" if row.check == REFUSED else "ok" if row.passed else "MISS"
        yield PrintedRow((verdict, *about, row.check, f"{row.error:.1e}", f"{row.limit:.1e}", row.entry), row.passed)


def figure_row(figure: Timing) -> PrintedRow:
    """The times of one contender, or the reason why there are none."""
    values = figure.values
    error = f"{values['error']:.1e}" if "error" in values else ""
    if figure.problem:
        return PrintedRow((figure.label, figure.contender, "", "", "", "", error, "", figure.problem), False)
    passes = [name for name in ("forward", "both") if f"roofline_{name}" in values]
    shares = [f"{values[f'roofline_{name}'] / values[name]:.0%} of {values[f'bound_{name}']}" for name in passes]
    per_token = 1e6 * values["both"] / figure.tokens
    times = (f"{values['forward']:.3f}", f"{values['both']:.3f}", f"{per_token:.0f}", f"{values['peak_gib']:.2f}")
    return PrintedRow((figure.label, figure.contender, *times, error, ", ".join(shares), str(values.get("remark", ""))))


def tuned_row(tuned: Tuned) -> PrintedRow:
    """The launches that were found for one package; milliseconds are those of all kernels, each launched once, shape by shape."""
    found, row = tuned.found, tuned.row
    totals = [found.total(shape) for shape in range(len(found.unit.jobs))]
    shipped, best = (", ".join(f"{each[which]:.3f}" for each in totals) for which in (0, 1))
    return PrintedRow((found.unit.package.name, row.form, str(row.width), str(row.tile), shipped, best, told(row.kernels)))
