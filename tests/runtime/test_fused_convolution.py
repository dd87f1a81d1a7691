"""The kernels of the short convolution, in Triton's interpreter, and the choice between them and the form in PyTorch."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from kit.interpreter import interpreted
from miras_compiler.runtime.runtime_convolution import ShortConvolution
from miras_compiler.runtime.runtime_rows import split_heads, unit

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
LIMITS = {"bfloat16": 5e-3, "float16": 1e-3}  # one rounding of every entry, two of d past; else float32


@pytest.mark.slow
def test_results_and_gradients_are_those_of_the_float64_form() -> None:
    """Odd lengths, empty sequences, pasts and last tokens, widths that are padded, 16 bits; one graph under torch.compile."""
    told = json.loads(interpreted("tests/kit/interpret_convolution.py"))
    assert len(told["errors"]) == told["launched"] == 12
    assert told["worked"]
    limits = {case: LIMITS.get(case.split(",")[0], 2e-6) for case in told["errors"]}
    assert {(case, name): x for case, each in told["errors"].items() for name, x in each.items() if not x <= limits[case]} == {}
    assert max(told["compiled"].values()) == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_on_a_cpu_it_is_the_convolution_then_silu_then_unit_to_the_bit(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    whole, bare = ShortConvolution(24, 4, silu=True, unit=12).to(dtype), ShortConvolution(24, 4).to(dtype)
    bare.load_state_dict(whole.state_dict())
    x, past = torch.randn(2, 7, 24).to(dtype), torch.randn(2, 3, 24).to(dtype)
    (y, tail), (z, last) = whole(x, past, None), bare(x, past, None)
    assert torch.equal(split_heads(y, 2), unit(split_heads(functional.silu(z.to(dtype)), 2)))
    assert torch.equal(tail, last)


def test_shapes_of_the_operator_are_those_of_its_results() -> None:
    """Of tensors without values, packed or not, also of gradients."""
    from miras_compiler.runtime.runtime_fused_convolution import fused

    with FakeTensorMode():
        x, weight, past = torch.empty(1, 9, 24, requires_grad=True), torch.empty(4, 24, requires_grad=True), torch.empty(3, 3, 24)
        y, tail = fused(x, weight, past.requires_grad_(), torch.empty(4, dtype=torch.int32), True, 12)
        assert (y.shape, tail.shape) == (x.shape, past.shape)
        gradients = torch.autograd.grad(y.sum() + tail.sum(), [x, weight, past])
        assert [each.shape for each in gradients] == [x.shape, weight.shape, past.shape]
        assert fused(x.half(), weight, None, None, False, 0)[0].dtype == torch.float32


def test_a_kernel_that_cannot_be_launched_gives_way_to_pytorch_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that are compiled for a GPU do not run on a CPU's tensors."""
    monkeypatch.setenv("MIRAS_BACKEND", "triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    convolution, x = ShortConvolution(20, 4, silu=True), torch.randn(2, 7, 20)
    with pytest.warns(UserWarning, match="the short convolution runs in PyTorch: .* use MIRAS_BACKEND=torch"):
        y = convolution(x, None, None)[0]
    assert torch.equal(convolution(x, None, None)[0], y)
    monkeypatch.setenv("MIRAS_BACKEND", "torch")
    assert torch.equal(convolution(x, None, None)[0], y)
