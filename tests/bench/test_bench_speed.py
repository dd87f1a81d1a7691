"""Measurements and refusals of `miras bench`, on the CPU, with a clock that says prescribed times."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from miras_compiler import compile_spec, load_spec
from miras_compiler.bench.contender import Contender, Peer, PeerWork, measure_peer
from miras_compiler.bench.precision import CALM, amplification, calm_inputs, rounding_growth, verify_shape
from miras_compiler.bench.roofline import BOTH, FORWARD, bytes_moved, roofline
from miras_compiler.bench.speed import deviations, kernels, measure, pytorch_form
from miras_compiler.bench.subject import MeasuredPackage, Shape
from miras_compiler.gpus import GPU

pytest.importorskip("triton")
SMALL = {"layer.heads": 3, "layer.head_dim": 8}
TORCH = {"backend": "torch"}


class TestClock:
    """Runs the function that it times, once, and answers with the milliseconds and the GiB that it was made with."""

    __test__ = False

    def __init__(self, ms: float = 2.0, gib: float = 1.0) -> None:
        self.ms, self.gib = ms, gib

    def timed(self, function: Callable[[], object]) -> Callable[[], float]:
        function()
        return lambda: self.ms

    def median_ms(self, function: Callable[[], object]) -> float:
        return self.timed(function)()

    def peak_gib(self, function: Callable[[], object]) -> float:
        function()
        return self.gib


@pytest.fixture(scope="module", params=["gated_delta_net", pytest.param("titans_lmm", marks=pytest.mark.slow)])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MeasuredPackage:
    spec = load_spec(f"specs/{request.param}.yaml", {**SMALL, "chunk.size": 4} if request.param == "titans_lmm" else SMALL)
    return MeasuredPackage(compile_spec(spec).write(tmp_path_factory.mktemp("packages")), "cpu")


def spoiled(subject: MeasuredPackage, spoil: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    """The operator with something wrong in its outputs."""
    right = subject.reference

    def operator(**given: Any) -> tuple[Tensor, Any]:
        o, state = right(**given)
        return spoil(o), state

    return operator


def of_last_head(o: Tensor) -> Tensor:
    return torch.cat((o[:, :, :-1], 1.05 * o[:, :, -1:]), 2)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_right_result_passes_at_a_small_shape_and_at_the_one_that_is_timed(subject: MeasuredPackage, dtype: torch.dtype) -> None:
    found = list(deviations(subject, subject.shape(2, 11), dtype, **TORCH))
    assert [shape.tokens for shape, _ in found] == [3 * subject.tile + 5, 11]
    assert all(0 < deviation.error <= deviation.limit for _, deviation in found)


@pytest.mark.slow
def test_one_wrong_head_ends_the_verification(subject: MeasuredPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "operator", spoiled(subject, of_last_head))
    assert [deviation.passed for _, deviation in deviations(subject, subject.shape(2, 11), torch.float32, **TORCH)] == [False]


def test_what_is_wrong_at_the_timed_shape_alone_is_seen(subject: MeasuredPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    long = subject.shape(2, 3 * subject.tile + 40)
    monkeypatch.setattr(subject, "operator", spoiled(subject, lambda o: o * (1 if o.shape[1] < long.tokens else 1.05)))
    assert [deviation.passed for _, deviation in deviations(subject, long, torch.float32, **TORCH)] == [True, False]


def test_kernels_have_times_memory_and_a_roofline(subject: MeasuredPackage) -> None:
    row = kernels(subject, subject.shape(2, 11), torch.bfloat16, TestClock(3.0, 0.5), GPU("", 1e9, 1e30, 1e30), **TORCH)
    assert (row["forward"], row["both"], row["peak_gib"]) == (3.0, 3.0, 0.5)
    assert (row["bound_forward"], row["bound_both"]) == ("products", "products")
    assert 0 < row["roofline_forward"] < row["roofline_both"]


@pytest.mark.parametrize("spoil", [lambda o: o * math.nan, lambda o: o.detach() + 0 * o], ids=["no number", "no gradient"])
def test_a_verdict_sees_numbers_and_gradients_that_are_missing(subject: MeasuredPackage, spoil: Callable[[Tensor], Tensor]) -> None:
    shape = subject.shape(1, 5)
    right = verify_shape(subject, shape, torch.float32, **TORCH)
    operator, subject.operator = subject.operator, spoiled(subject, spoil)
    try:
        wrong = verify_shape(subject, shape, torch.float32, **TORCH)
    finally:
        subject.operator = operator
    assert right.passed
    assert not wrong.passed


def test_a_launch_is_set_for_the_kernel_of_its_name(subject: MeasuredPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    table = subject.kernels.TABLE
    before = dict(table.options)
    monkeypatch.setattr(table, "options", dict(before))
    subject.set_launches({"main": (2, 3, 16, 99)})
    changed = {name for name, rows in table.options.items() if rows != before[name]}
    assert changed == {"main"}
    assert table.options["main"] == ((1 << 30, 2, 3, 16, 99),)


@pytest.mark.slow
def test_inputs_are_made_calm_over_the_whole_length(subject: MeasuredPackage) -> None:
    inputs, state, grown = calm_inputs(subject, subject.shape(1, 300, 1), torch.float32, [0])
    assert grown <= CALM
    assert grown == pytest.approx(amplification(subject, inputs, state))


def test_rounding_that_doubles_every_thousand_tokens_is_told_so() -> None:
    def reference(q: Tensor, initial_state: Mapping[str, Tensor]) -> tuple[Tensor, None]:
        thousand = torch.arange(q.shape[1])[:, None] // 1000
        return q * (1 + 1e-3 * 2**thousand * (q.dtype == torch.float32)), None

    ones = {"q": torch.ones(1, 3500, 2, dtype=torch.float64)}
    assert rounding_growth(SimpleNamespace(reference=reference), ones, {}) == pytest.approx(2, rel=1e-3)  # type: ignore[arg-type]


def test_the_pytorch_form_is_measured_with_its_tile_compiled(subject: MeasuredPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    def note(function: Callable[..., Any], dynamic: bool) -> Callable[..., Any]:
        compiled.append(function.__name__)
        return function

    monkeypatch.setattr(torch, "compile", note)
    row = measure(pytorch_form(subject, subject.shape(1, 9), torch.bfloat16), TestClock())
    torch.set_float32_matmul_precision("highest")
    assert compiled == ["chunk"]
    assert row == {"forward": 2.0, "both": 2.0, "peak_gib": 1.0}


def test_bytes_moved_are_those_of_every_tensor_of_every_launch(subject: MeasuredPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launch for a part of the tiles takes its share of a tensor for all of them, and the whole of one for the part."""
    launched: list[str] = []
    monkeypatch.setattr(subject.kernels.Launcher, "__call__", lambda this, sizes, tensors: launched.append(this.name))

    def call() -> None:
        whole = SimpleNamespace(low=0, high=8, slots=8)
        subject.kernels.launch_main(whole, (torch.zeros(3), None, torch.zeros(5, dtype=torch.bfloat16)))
        subject.kernels.launch_read(SimpleNamespace(low=6, high=8, slots=8), (torch.zeros(2, 2), torch.zeros(8, 2)))

    assert bytes_moved(subject, call) == 3 * 4 + 5 * 2 + 4 * 4 + 16 * 4 / 4
    assert launched == ["main", "read"]


@pytest.mark.parametrize(
    ("gpu", "bound"),
    [(GPU("", 1e9, 1e30, 1e30), "products"), (GPU("", 1e30, 1e9, 1e30), "operations"), (GPU("", 1e30, 1e30, 1e9), "bytes")],
)
@pytest.mark.parametrize("lines", [FORWARD, BOTH])
def test_the_roofline_is_the_slowest_of_three_and_says_which(subject: MeasuredPackage, lines: Sequence[str], gpu: GPU, bound: str) -> None:
    cost = {line["what"]: line["value"] for line in subject.manifest["cost"]}
    found = roofline(subject, subject.shape(2, 10), lines, 7000, gpu)
    products, solves, others = (60 * cost[line] for line in lines)
    amounts = {"products": products + solves, "operations": others, "bytes": 7000}
    assert found.bound == bound
    assert found.ms == pytest.approx(1e3 * amounts[bound] / 1e9)


def test_a_peer_that_does_not_fit_is_given_half_the_sequences() -> None:
    tried: list[int] = []

    def build(setting: PeerWork) -> Contender:
        tried.append(setting.shape.batch)
        if setting.shape.batch > 2:
            raise torch.OutOfMemoryError
        x = torch.ones(setting.shape.batch, requires_grad=True)
        return Contender("peer 1.0", lambda: 2 * x, (x,))

    peer = Peer("m", "the same function", build, lambda setting: 0.25)
    row = measure_peer(peer, PeerWork(Path("p"), Shape(8, 16, 2, 4, 4, 0), 4), TestClock())
    assert tried == [8, 4, 2]
    assert row == {
        "error": 0.25, "batch": 2, "remark": "the same function", "label": "peer 1.0", "forward": 2.0, "both": 2.0, "peak_gib": 1.0,
    }  # fmt: skip


def test_a_peer_that_never_fits_has_no_times() -> None:
    def build(setting: PeerWork) -> Contender:
        raise torch.OutOfMemoryError

    peer = Peer("m", "", build, lambda setting: 0.0)
    row: Mapping[str, Any] = measure_peer(peer, PeerWork(Path("p"), Shape(2, 4, 1, 4, 4, 0), 4), TestClock())
    assert "both" not in row
    assert row["batch"] == 1


def test_a_folder_without_a_package_is_refused(tmp_path: Path) -> None:
    from miras_compiler.errors import InputError

    with pytest.raises(InputError, match="is not a package"):
        MeasuredPackage(tmp_path)


@pytest.mark.slow
def test_each_of_two_packages_of_one_name_is_its_own_subject(tmp_path: Path) -> None:
    folders = [
        compile_spec(load_spec("specs/gated_delta_net.yaml", {**SMALL, "chunk.size": size})).write(tmp_path / str(size))
        for size in (16, 32)
    ]
    subjects = [MeasuredPackage(folder, "cpu") for folder in folders]
    for folder, subject in zip(folders, subjects, strict=True):
        assert Path(str(subject.chunked.__file__)).parent == folder
