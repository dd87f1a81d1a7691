"""ψ comes out of the regularizer F: numerically the literal mirror map, and in the usual form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

from kit.expression_value import value
from miras_compiler.derive.mirror_map import derive_mirror_map
from miras_compiler.elements.kinds import KINDS
from miras_compiler.elements.retention import BregmanRetention, NoRetention, Retention
from miras_compiler.errors import InternalError
from miras_compiler.expressions.symbols import A, RowMax, RowSum, W, magnitude, power0, sigmoid, signum
from miras_compiler.verify.literal.mirror import SLICES, mirror_map

RETENTIONS: list[dict[str, Any]] = [
    {"kind": "none"},
    {"kind": "l2"},
    *({"kind": "kl", "slice": axis, "total": total} for axis in SLICES for total in (1.0, 16.0)),
    {"kind": "sigmoid"},
    *({"kind": "lq", "q": q} for q in (4 / 3, 1.5, 1.9, 2.0)),
    *({"kind": "lq_printed", "q": q} for q in (1.5, 2.0, 4.0)),
    *({"kind": "elastic_net_ftrl", "threshold": threshold} for threshold in (0.0, 0.7)),
]


def name_of(fields: dict[str, Any]) -> str:
    return " ".join(map(str, fields.values()))


def element(fields: dict[str, Any]) -> Retention:
    kind: Any = KINDS["retention"][fields["kind"]]
    retention: Retention = kind.model_validate(fields)
    return retention


@pytest.mark.parametrize("fields", RETENTIONS, ids=name_of)
def test_the_derived_map_is_the_literal_one(fields: dict[str, Any]) -> None:
    retention = element(fields)
    dual = 2 * torch.randn(1, 2, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    if retention.start != "required":
        dual[0, 0, 1, 2] = 0
    expected = mirror_map(retention.model_dump(), dual).numpy()
    axes = SLICES[retention.slice_axis()]
    found = over_slices(derive_mirror_map(retention), dual.numpy(), axes)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def over_slices(expr: sp.Expr, dual: np.ndarray[Any, np.dtype[np.float64]], axes: tuple[int, ...]) -> Any:
    """The value of an expression whose reductions run over the last axis, with the slice laid along it."""
    if axes == (-2, -1):
        return value(expr, a=dual.reshape(*dual.shape[:-2], -1)).reshape(dual.shape)
    return np.swapaxes(value(expr, a=np.swapaxes(dual, -1, axes[0])), -1, axes[0])


@pytest.mark.parametrize("fields", [fields for fields in RETENTIONS if fields["kind"] != "lq_printed"], ids=name_of)
def test_a_zero_dual_state_is_mapped_to_a_finite_one(fields: dict[str, Any]) -> None:
    assert np.isfinite(value(derive_mirror_map(element(fields)), a=np.zeros((3, 4)))).all()


SHIFTED = sp.exp(A - RowMax(A))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "none"}, A),
        ({"kind": "l2"}, A),
        ({"kind": "sigmoid"}, sigmoid(A)),
        ({"kind": "kl", "total": 16.0}, 16 * SHIFTED / RowSum(SHIFTED)),
        ({"kind": "lq", "q": 2.0}, A),
        ({"kind": "lq", "q": 1.5}, signum(A) * A**2 * power0(RowSum(magnitude(A) ** 3), -sp.Rational(1, 3)) / 2),
    ],
    ids=str,
)
def test_a_map_is_as_short_as_people_write_it(fields: dict[str, Any], expected: sp.Expr) -> None:
    found, row = derive_mirror_map(element(fields)), np.array([[0.5, -1.0, 2.0]])
    np.testing.assert_allclose(value(found, a=row), value(expected, a=row), rtol=1e-14)
    assert sp.count_ops(found) <= sp.count_ops(expected) + 1


def test_large_duals_do_not_overflow() -> None:
    for kind in ("kl", "sigmoid"):
        with np.errstate(over="raise", invalid="raise"):
            found = value(derive_mirror_map(element({"kind": kind})), a=np.array([[800.0, -800.0]]))
        np.testing.assert_allclose(found, [[1, 0]], atol=1e-12)


class Own(NoRetention):
    """A retention whose regularizer a test chooses."""

    generator_text: str = "w"

    def generator(self) -> sp.Expr | None:
        return GENERATORS[self.generator_text]


GENERATORS: dict[str, sp.Expr] = {
    "arc": -sp.sqrt(1 - W**2),
    "scaled": 3 * W**2,
    "no closed inverse": W**2 + sp.sin(W) + sp.exp(W),
}


def test_of_several_solutions_the_one_that_solves_it_is_taken() -> None:
    """F = −√(1 − w²), F' = w/√(1 − w²): the square has the solutions ±a/√(1 + a²)."""
    a = np.array([-3.0, 0.4, 12.0])
    np.testing.assert_allclose(value(derive_mirror_map(Own(generator_text="arc")), a=a), a / np.sqrt(1 + a**2), rtol=1e-14)


def test_a_factor_of_the_regularizer_divides_the_map() -> None:
    assert derive_mirror_map(Own(generator_text="scaled")) == A / 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("generator", "expected"),
    [
        ("w*asinh(w) - sqrt(1 + w**2)", np.sinh),
        ("w*asinh(3*w)/2 - sqrt(1/9 + w**2)/2", lambda a: np.sinh(2 * a) / 3),
        ("abs(w)**1.5", lambda a: 4 / 9 * np.sign(a) * a**2),
        ("abs(w)**(4/3)", lambda a: 27 / 64 * a**3),
        ("abs(w)**2.5", lambda a: np.sign(a) * (2 / 5 * abs(a)) ** (2 / 3)),
        ("2*abs(w)**1.5 + w**2/2", lambda a: np.sign(a) * (2 * abs(a) + 9 - 3 * np.sqrt(4 * abs(a) + 9)) / 2),
        ("cosh(w)", np.arcsinh),
    ],
)
def test_an_odd_slope_is_inverted_where_weight_and_dual_are_positive_and_mirrored(generator: str, expected: Any) -> None:
    a = np.array([-7.0, -0.3, 0.0, 0.2, 3.0])
    np.testing.assert_allclose(value(derive_mirror_map(BregmanRetention(generator=generator)), a=a), expected(a), rtol=1e-12, atol=1e-300)


@pytest.mark.slow
def test_a_regularizer_without_a_closed_inverse_is_an_error() -> None:
    with pytest.raises((InternalError, NotImplementedError)):
        derive_mirror_map(Own(generator_text="no closed inverse"))


def test_a_corner_does_not_read_what_is_no_number_as_0() -> None:
    assert np.isnan(value(derive_mirror_map(element({"kind": "elastic_net_ftrl"})), a=np.array([np.nan]))).all()
