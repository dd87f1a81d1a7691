"""Numerical inverses in generated code, against closed forms, over all sizes that a dual weight may have; and multipliers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
import torch
from torch import Tensor

from kit.paths import SPECS
from miras_compiler import compile_spec, load_spec
from miras_compiler.emit.torch.expression import TorchPrinter
from miras_compiler.expressions.formula import parse_formula
from miras_compiler.expressions.inverse import NoInverseError, newton_inverse, numeric_inverse
from miras_compiler.expressions.symbols import Power0, W
from miras_compiler.verify.package import opened_here
from miras_compiler.verify.subject import Subject

A = torch.tensor([-1e4, -600, -80, -3, -1e-3, 0, 0.5, 20, 80, 600, 1e4], dtype=torch.float64)
CLOSED: dict[str, Callable[[Tensor], Tensor]] = {  # a domain each: the real line, the positive numbers, (0, 1), (−1, 1)
    "cosh(w)": torch.asinh,
    "w*log(w) - w": torch.exp,
    "w*log(w) + (1 - w)*log(1 - w)": torch.sigmoid,
    "((1 + w)*log(1 + w) + (1 - w)*log(1 - w))/2": torch.tanh,
    "abs(w)**1.5": lambda a: a * a.abs() / 2.25,
}


def emitted(generator: str) -> tuple[TorchPrinter, newton_inverse, Any]:
    """The printer, its code, and the code as a function."""
    printer, inverse = TorchPrinter(), numeric_inverse(sp.diff(parse_formula(generator, ("w",)), W))
    assert isinstance(inverse, newton_inverse)
    name = printer.define_inverse(inverse)
    names: dict[str, Any] = {"torch": torch, "Tensor": Tensor}
    for helper in printer.helpers.values():
        exec(helper, names)
    return printer, inverse, names[name]


@pytest.mark.parametrize("generator", CLOSED)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_a_numeric_inverse_is_the_closed_one_wherever_that_is_a_number(generator: str, dtype: torch.dtype, close: float) -> None:
    a = A.to(dtype).requires_grad_()
    actual, expected = emitted(generator)[2](a), CLOSED[generator](a)
    (slope,), (expected_slope,) = torch.autograd.grad(actual.sum(), a), torch.autograd.grad(expected.sum(), a)
    number, tiny = expected.isfinite(), torch.finfo(dtype).eps
    assert number.sum() >= 9
    torch.testing.assert_close(actual[number], expected[number], rtol=close, atol=tiny)
    torch.testing.assert_close(slope[number], expected_slope[number], rtol=close, atol=tiny)
    assert bool(slope.isfinite().all())


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_an_inverse_that_is_flat_at_0_keeps_its_digits_there(dtype: torch.dtype, close: float) -> None:
    """Found by a random spec: √|w| = a is w = ± a², 0 at 0 with the slope 0, where the second derivative of |w|^1.5 is infinite."""
    a = torch.tensor([0.0, 1e-15, -1e-9, 1e-5], dtype=dtype, requires_grad=True)
    actual, expected = emitted("abs(w)**1.5")[2](a), a * a.abs() / 2.25
    (slope,), (expected_slope,) = torch.autograd.grad(actual.sum(), a), torch.autograd.grad(expected.sum(), a)
    torch.testing.assert_close(actual, expected, rtol=close, atol=torch.finfo(dtype).tiny)
    torch.testing.assert_close(slope, expected_slope, rtol=close, atol=0)


def test_quotients_of_numbers_that_overflow_are_inverted_beyond_them() -> None:
    """log(w) + 1 + tanh(w) = a is w = exp(a − 2) from w = 20 on; cosh(w) leaves float32 at w = 89."""
    a = torch.tensor([5.0, 8.0, 20.0])
    torch.testing.assert_close(emitted("w*log(w) + log(cosh(w))")[2](a), torch.exp(a - 2), rtol=1e-4, atol=0)
    torch.testing.assert_close(emitted("w**2/2 + log(1 + exp(w))")[2](100 * a), 100 * a - 1, rtol=1e-4, atol=0)


@pytest.mark.parametrize("generator", ["w*log(w)/2", "3*w**2 + w*sinh(w)", "-log(w) + w**2"])
def test_a_derivative_that_rises_slowly_or_overflows_is_onto(generator: str) -> None:
    assert numeric_inverse(sp.diff(parse_formula(generator, ("w",)), W)).args[1] == (0 if "sinh" in generator else 1)


QUOTIENTS = (
    "cosh(w)/cosh(w/2)/cosh(w/3) + w**2",
    "cosh(w)/cosh(w/2) + w**2",
    "(exp(w) + exp(-w))/cosh(w/3) + w**2",
    "cosh(3*w)/cosh(w)/cosh(w) + w**2",
    "exp(w)/(exp(w) + exp(-w))*w + w**2",
    "w**2 + log(cosh(2*w))/cosh(w)**2/50",
)


@pytest.mark.parametrize("generator", QUOTIENTS)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 3e-6)])
def test_a_derivative_whose_parts_leave_the_floats_before_it_does_is_inverted(generator: str, dtype: torch.dtype, close: float) -> None:
    """By the derivative itself, in numbers without a largest one: cosh(95) leaves float32, and its quotient by cosh(47) does not."""
    slope = sp.lambdify(W, sp.diff(parse_formula(generator, ("w",)), W).replace(Power0, sp.Pow), "mpmath")
    a = torch.tensor([-1e6, -400.0, -3.0, 0.5, 40.0, 1e3, 1e8], dtype=dtype)
    found = [float(slope(sp.Float(w, 40)._to_mpmath(130))) for w in emitted(generator)[2](a).tolist()]
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), a.double(), rtol=close, atol=0)


@pytest.mark.parametrize("generator", ["(exp(w) + exp(-w))/(exp(w) - exp(-w) + exp(2*w)) + w/2", "log(exp(w) + exp(-w))"])
def test_a_derivative_that_levels_off_is_refused_though_its_parts_leave_the_floats(generator: str) -> None:
    with pytest.raises(NoInverseError, match="does not rise from −∞ to ∞"):
        numeric_inverse(sp.diff(parse_formula(generator, ("w",)), W))


def test_one_inverse_is_printed_once() -> None:
    printer, inverse, _ = emitted("cosh(w)")
    assert printer.define_inverse(inverse) == "inverse"
    assert printer.define_inverse(numeric_inverse(W**3 + W)) == "inverse1"
    assert list(printer.helpers) == ["inverse", "inverse1"]


@pytest.mark.slow
def test_weights_sum_to_their_total_in_single_precision_however_long_a_step_is(tmp_path: Path) -> None:
    """A step of 10⁸ leaves one weight of a column; those that it has cleared stay 0, and do not hide the next winner."""
    spec = load_spec(SPECS / "chi_square_memory.yaml")
    with opened_here(compile_spec(spec).write(tmp_path), spec.name) as package:
        inputs = Subject(spec.model_dump(by_alias=True), package).inputs(5)
        given = (x.float() for x in (inputs.q, 1e4 * inputs.k, inputs.v))
        _, state = package.naive_recurrent(*given, eta=inputs.gates["eta"].float(), output_final_state=True)
    weights = state["W"]
    torch.testing.assert_close(weights.sum(-2), torch.ones_like(weights.sum(-2)))
    assert int((weights > 0).sum()) == weights.sum(-2).numel()
