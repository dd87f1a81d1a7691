"""The parts of verification: opening a package, measuring errors, and the report."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kit.literal_package import fields_of, literal_package
from kit.paths import SPECS
from miras_compiler import compile_spec
from miras_compiler.errors import InputError
from miras_compiler.records import Origin
from miras_compiler.spec import digest, load_spec
from miras_compiler.verified import verify_package
from miras_compiler.verify import Finding, Report
from miras_compiler.verify.checks import CHECKS, Check
from miras_compiler.verify.measure import Tally, largest_error, rms_error
from miras_compiler.verify.opened import open_processes
from miras_compiler.verify.package import opened_here
from miras_compiler.verify.process import KernelsRefused, host
from miras_compiler.verify.subject import Subject
from miras_compiler.verify.verification import check_subject

ORIGIN = Origin("miras verify x", "cpu", {"torch": "2.11.0"}, 0)
PACKAGE = {
    "__init__.py": "from .ops import chunk_x\n",
    "recurrent.py": "def naive_recurrent_x():\n    return 'VERSION'\n\ntrace_x = naive_recurrent_x\n",
    "chunked.py": "from .recurrent import naive_recurrent_x as torch_chunk_x\n",
    "ops.py": "from .chunked import torch_chunk_x as chunk_x\nfused_recurrent_x = chunk_x\n",
    "manifest.json": '{"digest": "abc"}',
}


def write(folder: Path, version: str = "one", **others: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in (PACKAGE | others).items():
        (folder / name).write_text(text.replace("VERSION", version))
    return folder


def test_a_package_is_read_from_source_and_forgotten(tmp_path: Path) -> None:
    before = set(sys.modules)
    for version in ("one", "two"):
        with opened_here(write(tmp_path / "x", version), "x") as package:
            operators = (package.naive_recurrent, package.torch_chunk, package.chunk, package.fused_recurrent, package.trace)
            assert {operator() for operator in operators} == {version}
            assert package.manifest == {"digest": "abc"}
        assert set(sys.modules) == before
    assert {path.name for path in (tmp_path / "x").iterdir()} == set(PACKAGE)


def test_two_versions_of_a_package_are_open_at_once(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a", "one"), write(tmp_path / "b", "two")
    with opened_here(one, "x") as first, opened_here(two, "x") as second:
        assert (first.chunk(), second.chunk()) == ("one", "two")


def test_a_folder_without_a_package_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a package"), opened_here(tmp_path, "x"):
        pass


@pytest.mark.parametrize("broken", [{"ops.py": "1 +"}, {"ops.py": ""}, {"manifest.json": "{"}, {"chunked.py": "import no_such_module"}])
def test_a_package_that_cannot_be_imported_is_an_input_error(tmp_path: Path, broken: dict[str, str]) -> None:
    finders, modules = list(sys.meta_path), set(sys.modules)
    with pytest.raises(InputError, match="cannot be imported"), opened_here(write(tmp_path / "x", **broken), "x"):
        pass
    assert sys.meta_path == finders
    assert set(sys.modules) == modules


def test_an_error_is_relative_to_the_largest_entry_of_the_reference() -> None:
    assert largest_error(torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0])) == 0.25
    assert largest_error(torch.tensor([0.5, 0.0]), torch.zeros(2)) == 0.5
    assert rms_error(torch.tensor([4.0, 4.0]), torch.tensor([3.0, 5.0])) == pytest.approx(1 / math.sqrt(17))


@pytest.mark.parametrize("measure", [largest_error, rms_error])
def test_what_cannot_be_compared_is_infinitely_wrong(measure: type[object]) -> None:
    for wrong in ([math.nan, 1.0], [math.inf, 1.0], [1.0], [[1.0, 1.0]]):
        assert measure(torch.tensor(wrong), torch.ones(2)) == math.inf  # type: ignore[call-arg]
    assert measure(torch.ones(2), torch.tensor([math.nan, 1.0])) == math.inf  # type: ignore[call-arg]
    assert measure(torch.ones(0), torch.ones(0)) == 0  # type: ignore[call-arg]


def test_a_tally_remembers_the_worst_and_takes_nan_for_infinity() -> None:
    tally = Tally()
    for label, error in (("a", 1e-12), ("b", 1e-3), ("c", 1e-6)):
        tally.add(label, error)
    assert (tally.worst, tally.error, tally.count) == ("b", 1e-3, 3)
    tally.add("d", math.nan)
    tally.add("e", 1.0)
    assert (tally.worst, tally.error) == ("d", math.inf)


def test_a_tally_compares_entry_by_entry() -> None:
    tally = Tally()
    tally.compare_all("state", {"W": torch.ones(2)}, {"W": torch.ones(2)})
    assert tally.error == 0
    tally.compare_all("state", {"W": torch.ones(2), "S": torch.ones(2)}, {"W": torch.ones(2)})
    assert (tally.error, tally.worst) == (math.inf, "state S: unexpected")
    other = Tally()
    other.compare_all("state", {}, {"W": torch.ones(2)})
    assert other.worst == "state W: missing"


def test_bits_are_the_same_with_nan_in_the_same_place_only() -> None:
    tally = Tally()
    tally.same_bits("x", torch.tensor([1.0, math.nan]), torch.tensor([1.0, math.nan]))
    assert tally.error == 0
    tally.same_bits("y", torch.tensor([math.nan, 1.0]), torch.tensor([1.0, math.nan]))
    assert (tally.error, tally.worst) == (math.inf, "y: bits differ")


def test_a_check_that_compares_nothing_fails() -> None:
    subject = Subject(fields_of("linear_attention"), literal_package(fields_of("linear_attention")))
    (row,) = check_subject(subject, checks=[Check("x", "nothing", 1.0, lambda subject, tally: None)])
    assert not row.passed


@pytest.mark.parametrize("interpreted", [False, True])
def test_kernels_that_do_not_take_these_inputs_on_a_gpu_have_not_run(interpreted: bool) -> None:
    """They tell why before they are launched; an interpreter takes everything, and a refusal there is a failure."""

    def refused(subject: Subject, tally: Tally) -> None:
        raise KernelsRefused("main: a state with K = 300, V = 300 takes 1048576 bytes of registers")

    fields = fields_of("gated_delta_net")
    package = replace(literal_package(fields), interpreted=interpreted)
    (row,) = check_subject(Subject(fields, package), checks=[Check("triton", "kernels", 1.0, refused)])
    assert (row.ran, row.passed) == (interpreted, False)
    assert "takes 1048576 bytes of registers" in row.note


REFUSING = """
class CannotLaunch(RuntimeError): ...
class TooLarge(CannotLaunch): ...
"""


@pytest.mark.slow
@pytest.mark.parametrize(("raised", "is_refusal"), [("TooLarge", True), ("CannotLaunch", False)])
def test_a_process_says_of_kernels_that_they_do_not_take_their_inputs(raised: str, is_refusal: bool, tmp_path: Path) -> None:
    ops = f"from .runtime_triton import {raised}\ndef chunk_x(**_): raise {raised}('too wide')\nfused_recurrent_x = chunk_x\n"
    folder = write(tmp_path / "x", **{"runtime_triton.py": REFUSING, "ops.py": ops})
    with open_processes(folder, "x", "XLayer", kernels=False) as package, pytest.raises(RuntimeError, match="too wide") as caught:
        package.chunk()
    assert (type(caught.value).__name__, isinstance(caught.value, KernelsRefused)) == (raised, is_refusal)


def test_a_check_is_left_out_where_it_does_not_apply_or_is_too_slow() -> None:
    fields = fields_of("linear_attention")
    slow = Check("x", "slow", 1.0, lambda subject, tally: tally.add("", 0.0), quick=False)
    never = Check("x", "never", 1.0, lambda subject, tally: tally.add("", 0.0), lambda subject: False)
    assert check_subject(Subject(fields, literal_package(fields), quick=True), checks=[slow, never]) == ()
    assert len(check_subject(Subject(fields, literal_package(fields)), checks=[slow, never])) == 1


def test_claims_have_different_names() -> None:
    assert len({check.subject for check in CHECKS}) == len(CHECKS)


def test_a_report_is_json_also_with_infinite_errors() -> None:
    rows = (Finding("a", "b", math.inf, 1e-9, False, "", 0.12345), Finding("a", "c", None, None, True, "", 0.1))
    tree = json.loads(json.dumps(Report("x", "abc", rows, ORIGIN).as_dict(), allow_nan=False))
    assert (tree["passed"], tree["rows"][0]["value"], tree["rows"][0]["seconds"]) == (False, "inf", 0.123)
    assert Report("x", "abc", rows[1:], ORIGIN).passed
    assert not Report("x", "abc", (), ORIGIN).passed


def test_a_claim_that_this_machine_cannot_try_neither_passes_nor_fails() -> None:
    tried, untried = Finding("a", "b", None, None, True, "", 0.1), Finding("a", "c", None, None, False, "no GPU", 0.1, ran=False)
    report = Report("x", "abc", (tried, untried), ORIGIN)
    assert (untried.result, report.tried, report.passed) == ("not run", (tried,), True)
    assert not Report("x", "abc", (untried,), ORIGIN).passed


@pytest.mark.slow
def test_verify_package_opens_a_folder_reports_every_row_and_leaves_it_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_spec(SPECS / "retnet.yaml")
    compilation = compile_spec(spec)
    compilation.write(tmp_path)
    host()  # packages of this process are opened from it, whatever the working folder has become since
    monkeypatch.chdir(tmp_path)
    folder = Path("retnet")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    seen: list[Finding] = []
    report = verify_package(spec, folder, quick=True, progress=seen.append, compilation=compilation)
    assert [(row.subject, row.note) for row in report.tried if not row.passed] == []
    assert (report.name, report.digest, list(report.findings)) == ("retnet", digest(spec), seen)
    assert {row.check for row in seen} >= {"package", "equations", "gradients", "sequences", "layer", "machine"}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
