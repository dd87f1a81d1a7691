"""A launch that fails on a user's GPU gives way to the next one, and at last to the PyTorch form, each with one warning."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from subprocess import CalledProcessError
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.compiled import compilation
from miras_compiler import Compilation
from miras_compiler.runtime.runtime_triton import CannotLaunch, TooLarge

triton = pytest.importorskip("triton")
from miras_compiler.runtime.runtime_launch import Buffer, Launcher, LaunchRow, LaunchTable, Sizes  # noqa: E402

pytestmark = pytest.mark.slow

NAMES = ("gated_delta_net", "titans_lmm")
TOO_MUCH = triton.OutOfResources(300000, 232448, "shared memory")


class OnGPU(Tensor):
    """A tensor that says that it is on a GPU."""

    is_cuda = True


class Kernel:
    """A kernel whose launches with `failing` numbers of warps fail."""

    def __init__(self, failing: dict[int, Exception]) -> None:
        self.failing = failing
        self.tried: list[int] = []

    def __getitem__(self, grid: object) -> Callable[..., None]:
        def launch(*tensors: Tensor, num_warps: int, **more: Any) -> None:
            self.tried.append(num_warps)
            if num_warps in self.failing:
                raise self.failing[num_warps]

        return launch


@cache
def compiled(name: str) -> Compilation:
    return compilation(name)


@contextlib.contextmanager
def loaded(name: str) -> Iterator[ModuleType]:
    """The operators of a package, loaded anew: one test's launches must not be known to the next."""
    package = compiled(name).load().__name__
    try:
        yield importlib.import_module(f"{package}.ops")
    finally:
        for module in [each for each in sys.modules if each.partition(".")[0] == package]:
            del sys.modules[module]


@pytest.fixture(params=NAMES)
def ops(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    with loaded(request.param) as operators:
        yield operators


def sibling(ops: ModuleType, name: str) -> ModuleType:
    return importlib.import_module(f"{ops.__name__.split('.')[0]}.{name}")


@pytest.fixture
def kernels(ops: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of kernels, where `main` may be launched in three ways."""
    module = sibling(ops, "kernels")
    rows = (LaunchRow(64, 4, 3), LaunchRow(128, 2), LaunchRow(1 << 30, 8))
    monkeypatch.setitem(module.TABLE.options, "main", rows)
    return module


def launch(kernels: ModuleType, kernel: Kernel, width: int = 64, like: Tensor | None = None, **more: Any) -> None:
    """Launches a `main` over keys and values of a width, of tokens that are `like` those."""
    like = torch.zeros(1, 5, 2, width) if like is None else like
    sizes = Sizes(kernels.TABLE, like, {"K": width, "V": width, "N": width}, None, None, "whole")
    Launcher(kernels.TABLE, kernel, "main", walks=True, widths="KV", **more)(sizes, ())


@pytest.mark.slow
def test_a_launch_that_fails_gives_way_to_the_next_with_one_warning(kernels: ModuleType) -> None:
    kernel = Kernel({4: TOO_MUCH})
    with pytest.warns(UserWarning, match=r"main: the launch with 4 warps and 3 stages fails here: out of resource: shared memory") as told:
        launch(kernels, kernel)
    assert len(told) == 1
    assert kernel.tried == [4, 2]
    launch(kernels, kernel)  # knows by now, and says nothing
    assert kernel.tried == [4, 2, 2]


@dataclass
class Noting:
    """A kernel that notes the arguments of its launches."""

    found: list[dict[str, Any]]
    arg_names = ()

    def __getitem__(self, grid: object) -> Callable[..., None]:
        return lambda *tensors, **more: self.found.append(more)


def noted(dtype: torch.dtype, keys: int, values: int, part: int = 1 << 30) -> dict[str, Any]:
    """The arguments of a walk with 8 warps and one stage over parts of the values."""
    found: list[dict[str, Any]] = []
    table = LaunchTable("some", "0", tile=64, least=16, options={"main": (LaunchRow(1 << 30, 8, part=part),)})
    sizes = Sizes(table, torch.zeros(1, 5, 2, keys, dtype=dtype), {"K": keys, "V": values}, None, None, "whole")
    Launcher(table, Noting(found), "main", walks=True, widths="KV", split="V")(sizes, ())
    return found[0]


@pytest.mark.parametrize(
    ("dtype", "part", "expected"),
    [(torch.bfloat16, 128, (8, 1)), (torch.bfloat16, 32, (4, 2)), (torch.bfloat16, 16, (4, 2)), (torch.float32, 32, (4, 1))],
)
def test_a_walk_over_narrow_values_loads_a_tile_ahead_whatever_its_row_says(
    dtype: torch.dtype, part: int, expected: tuple[int, int]
) -> None:
    given = noted(dtype, 128, 128, part)
    assert (given["num_warps"], given["num_stages"]) == expected


@pytest.mark.parametrize(("dtype", "keys", "block"), [(torch.bfloat16, 8, 64), (torch.bfloat16, 48, 64), (torch.float32, 8, 16)])
def test_products_of_bfloat16_take_no_axis_of_less_than_64(dtype: torch.dtype, keys: int, block: int) -> None:
    """Keys of 32 beside values of 64 gave wrong gradients on a GPU."""
    given = noted(dtype, keys, 64)
    assert (given["K"], given["BK"], given["V"], given["BV"]) == (keys, block, 64, 64)


FAILURES = (RuntimeError("PassManager::run failed"), CalledProcessError(1, ["gcc"]), AttributeError("no such intrinsic"))


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_failure_at_one_width_says_nothing_of_others(kernels: ModuleType, failure: Exception) -> None:
    """Whatever fails: Triton, its compiler, or the C compiler that it calls."""
    kernel = Kernel({8: failure})
    with pytest.warns(UserWarning, match=re.escape(f"main: the launch with 8 warps and 1 stages fails here: {failure}")):
        launch(kernels, kernel, 256)
    assert kernel.tried == [8, 4]  # those for narrower widths come last
    launch(kernels, kernel)
    assert kernel.tried == [8, 4, 4]


def test_where_no_launch_works_the_error_says_what_to_do(kernels: ModuleType) -> None:
    """In one line, and without a warning for every launch: the operator warns once that it runs in PyTorch."""
    failure = RuntimeError("PassManager::run failed\nmodule {\n  tt.func public @main\n}")
    with pytest.raises(CannotLaunch) as caught:
        launch(kernels, Kernel(dict.fromkeys((2, 4, 8), failure)))
    told = r"main: no launch works with Triton \S+ \(RuntimeError: PassManager::run failed\); use MIRAS_BACKEND=torch"
    assert re.fullmatch(told, str(caught.value))
    assert caught.value.__cause__ is failure


def test_too_little_shared_memory_is_told_in_bytes_with_widths_that_need_less(kernels: ModuleType) -> None:
    with pytest.raises(TooLarge) as caught:
        launch(kernels, Kernel(dict.fromkeys((2, 4, 8), triton.OutOfResources(600000, 232448, "shared memory"))), 256)
    has = "K = 256, V = 256 takes 600000 bytes of shared memory, of which there are 232448; K = 128, V = 128 should fit"
    assert str(caught.value) == f"main: {has}; use MIRAS_BACKEND=torch"


def test_a_tile_that_no_registers_hold_is_refused_before_anything_is_launched(kernels: ModuleType) -> None:
    kernel = Kernel({})
    with pytest.raises(TooLarge, match="tile with K = 600, V = 600 takes 4194304 bytes of registers; one with K = 256, V = 256 would"):
        launch(kernels, kernel, 600, makes={"W_next": Buffer("sequences", "KV")})
    assert kernel.tried == []


def test_running_out_of_memory_is_no_fault_of_a_launch(kernels: ModuleType) -> None:
    kernel = Kernel({4: torch.OutOfMemoryError()})
    with pytest.raises(torch.OutOfMemoryError):
        launch(kernels, kernel)
    assert kernel.tried == [4]


def arguments(ops: ModuleType, gradients: bool = True) -> dict[str, Any]:
    """Inputs as on a GPU."""
    contract = sibling(ops, "contract").CONTRACT
    lengths = {"B": 2, "T": 3, "R": 6, "H": 2, "K": 4, "V": 4, "N": 4}
    generator = torch.Generator().manual_seed(0)

    def draw(axes: str) -> Tensor:
        return torch.rand([lengths[axis] for axis in axes], generator=generator)

    tokens = {name: -draw(axes) if name.startswith("log_") else draw(axes) for name, axes in contract.tokens.items()}
    parameters = {name: draw(axes) for name, axes in contract.parameters.items()}
    given = {name: x.as_subclass(OnGPU).requires_grad_(gradients) for name, x in {**tokens, **parameters}.items()}
    return given | {"initial_state": {name: draw(contract.state[name]).as_subclass(OnGPU) for name in contract.weights}}


def operator_of(ops: ModuleType) -> Callable[..., Any]:
    (name,) = (name for name in vars(ops) if name.startswith("chunk_"))
    operator: Callable[..., Any] = getattr(ops, name)
    return operator


def put_in_place(ops: ModuleType, chunk: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """`chunk` in place of the kernels."""
    monkeypatch.setattr(ops._OPERATORS, "kernels", replace(ops._OPERATORS.kernels, chunk=chunk))


@pytest.mark.slow
def test_where_kernels_cannot_be_launched_the_pytorch_form_runs_and_one_warning_says_why(
    ops: ModuleType, kernels: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = operator_of(ops)

    def fail(*tokens: Tensor, **more: Any) -> None:
        raise sibling(ops, "runtime_triton").CannotLaunch("main: no launch works")

    put_in_place(ops, fail, monkeypatch)
    given = arguments(ops)
    with pytest.warns(UserWarning, match="runs in PyTorch: main: no launch works") as told:
        found = operator(**given)[0]
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = operator(**given)[0]
    expected = operator(**given, backend="torch")[0]
    assert torch.equal(found, expected)
    assert torch.equal(again, expected)
    with pytest.raises(sibling(ops, "runtime_triton").CannotLaunch):  # who asks for Triton gets it, or an error
        operator(**given, backend="triton")


@pytest.mark.parametrize("gradients", [True, False])
def test_kernels_of_several_writes_a_token_are_tried_with_as_many_rows(gradients: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with loaded("delta_product") as ops:
        calls: list[tuple[int, int]] = []

        def chunk(q: Tensor, k: Tensor, *tokens: Any, **more: Any) -> Any:
            calls.append((q.shape[1], k.shape[1]))
            return sibling(ops, "chunked").torch_chunk_delta_product(q, k, *tokens, **more)

        put_in_place(ops, chunk, monkeypatch)
        operator_of(ops)(**arguments(ops, gradients))
        tried = ops._OPERATORS.kernels.tile + 1
        assert calls == [(tried, 2 * tried), (3, 6)]


@pytest.mark.parametrize("gradients", [True, False])
def test_kernels_are_tried_once_for_each_kind_of_input_and_backwards_where_gradients_are_wanted(
    ops: ModuleType, gradients: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = operator_of(ops)
    tried: list[tuple[int, bool]] = []
    backwards: list[int] = []

    def note(q: Tensor, k: Tensor, v: Tensor, **more: Any) -> tuple[Tensor, None]:
        tried.append((q.shape[1], q.requires_grad))
        o = q * k * v
        if o.requires_grad:
            o.register_hook(lambda gradient: backwards.append(len(backwards)))  # type: ignore[no-untyped-call]
        return o, None

    put_in_place(ops, note, monkeypatch)
    for _ in range(2):
        operator(**arguments(ops, gradients))
    assert tried == [(ops.TILE + 1, gradients), (3, gradients), (3, gradients)]
    assert len(backwards) == gradients
    operator(**{key: x.bfloat16() if key == "eta" else x for key, x in arguments(ops, gradients).items()})
    assert [tokens for tokens, _ in tried[3:]] == [ops.TILE + 1, 3]


@pytest.mark.parametrize("entry", ["q", "eta", "initial_state"])
def test_bfloat16_never_reaches_the_interpreter_which_would_compute_with_its_bits(
    ops: ModuleType, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    given: dict[str, Any] = {key: x.as_subclass(Tensor) if isinstance(x, Tensor) else x for key, x in arguments(ops).items()}
    if entry == "initial_state":
        given[entry] = {name: x.as_subclass(Tensor).bfloat16() for name, x in given[entry].items()}
    else:
        names = ("q", "k", "v") if entry == "q" else (entry,)
        given |= {name: given[name].bfloat16() for name in names}
    with pytest.raises(
        ValueError, match=r"backend: Triton's interpreter computes with the bits of bfloat16; give float32, or backend='torch'"
    ):
        operator_of(ops)(**given, backend="triton")
    assert torch.equal(operator_of(ops)(**given)[0], operator_of(ops)(**given, backend="torch")[0])


@pytest.mark.parametrize("wrong", [[1.0], torch.zeros(3)], ids=["no tensor", "one axis"])
def test_a_wrong_state_is_refused_before_anything_is_launched(ops: ModuleType, wrong: object) -> None:
    operator = operator_of(ops)
    given = arguments(ops)
    weight = next(iter(given["initial_state"]))
    with pytest.raises(ValueError, match=f"{weight}: expected"):
        operator(**given | {"initial_state": given["initial_state"] | {weight: wrong}})
