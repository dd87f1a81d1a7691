"""Symbolic work has an end: a formula compiles within seconds, or is refused with its size; calls and nodes are counted, not seconds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from miras_compiler import compile_spec
from miras_compiler.errors import SpecError
from miras_compiler.expressions.budget import OutOfCallsError, limited
from miras_compiler.spec import Spec, parse_spec

pytestmark = pytest.mark.slow

CALLS = 40_000_000  # of Python functions in one command: some seconds


def nested(text: str, times: int, inmost: str) -> str:
    for _ in range(times):
        inmost = text.replace("@", inmost)
    return inmost


def spec_of(part: str, fields: dict[str, Any]) -> Spec:
    sections = {"memory": {"kind": "matrix"}, "attentional_bias": {"kind": "l2"}, "retention": {"kind": "l2"}}
    chunk = {"size": 16, "gradient": "chunk_start", "read": "chunk_start"}
    return parse_spec(json.dumps({"name": "x", **sections, part: fields, "gates": {"alpha": {}, "eta": {}}, "chunk": chunk}), "x.yaml")


def calls_of(work: Callable[[], object]) -> int:
    """The number of Python functions that are called; those that a solver calls count with its budget, for one profile counts at a time."""
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "generator",
    [
        nested("cosh(@)", 6, "w"),
        nested("softplus(@)", 5, "w"),
        "*".join(f"cosh(w + {i})" for i in range(8)),
        "+".join(f"cosh(w + {i})" for i in range(30)),
        "+".join(f"softplus({i}*w)" for i in range(1, 12)),
    ],
    ids=lambda text: text[:20],
)
def test_the_search_for_a_closed_inverse_comes_to_an_end(generator: str) -> None:
    with pytest.raises(SpecError, match=r"x.yaml:1:\d+: the generator (has|is) .*(closed inverse|convex).*") as caught:
        spec_of("retention", {"kind": "bregman", "generator": generator})
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("feature_map", {"kind": "formula", "map": nested("tanh(@)", 16, "x")}),
        ("feature_map", {"kind": "formula", "map": nested("x/(1 + norm(@))", 4, "x")}),
        ("attentional_bias", {"kind": "formula", "loss": f"sum({nested('sqrt(1 + @)', 10, '(u - v)**2')})"}),
        ("attentional_bias", {"kind": "formula", "loss": "sum(" + "*".join(f"((u - v)**2 + {i})" for i in range(1, 30)) + ")"}),
        ("attentional_bias", {"kind": "formula", "loss": f"sum({nested('log(1 + @)', 15, '(u - v)**2')})"}),
        ("attentional_bias", {"kind": "formula", "loss": f"sum({nested('tanh(@)', 15, '(u - v)**2')})"}),
        (
            "retention",
            {"kind": "bregman", "inverse": "newton", "generator": f"w**2 + {nested('sqrt(1 + @)', 10, 'w**2')}"},
        ),
    ],
    ids=["tanh", "norms", "roots", "factors", "logarithms", "slopes", "newton"],
)  # fmt: skip
def test_an_accepted_formula_is_compiled_in_a_bounded_number_of_steps(part: str, fields: dict[str, Any]) -> None:
    assert calls_of(lambda: compile_spec(spec_of(part, fields))) < CALLS


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("feature_map", {"kind": "formula", "map": "*".join(f"(x + {i})" for i in range(100))}),
        ("feature_map", {"kind": "formula", "map": nested("max(@, tanh(x))", 30, "x")}),
        ("feature_map", {"kind": "formula", "map": "x/(" + " + ".join(f"sum(exp({i}*x))" for i in range(1, 30)) + ")"}),
        ("feature_map", {"kind": "formula", "map": nested("x/(1 + norm(@))", 10, "x")}),
        ("feature_map", {"kind": "formula", "map": nested("exp(-@)", 20, "x")}),
        ("attentional_bias", {"kind": "formula", "loss": "sum(" + "*".join(f"(u - v + {i})" for i in range(100)) + ")"}),
        ("retention", {"kind": "bregman", "generator": "*".join(f"cosh(w + {i})" for i in range(60)), "inverse": "newton"}),
    ],
    ids=["factors", "maxima", "sums", "nested sums", "roots", "loss", "generator"],
)
def test_a_formula_with_an_endless_derivative_is_refused_with_its_size(part: str, fields: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"the formula is too large: (with its derivative )?it has [\d,]+ [a-z]+") as caught:
        spec_of(part, fields)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("calls", range(8))
def test_a_budget_that_ends_while_a_generator_is_closed_ends_the_work(calls: int) -> None:
    """Python ignores an error there."""

    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    def first() -> int:
        return next(numbers())

    def endless() -> None:
        with limited(calls):
            for _ in range(100):
                first()

    with pytest.raises(OutOfCallsError):
        endless()
