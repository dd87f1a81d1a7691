"""Thousands of tokens through chunk forms: finite, bounded, and as exact in float32 as at the start; a form that drifts is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.compiled import without_tiles
from kit.literal_package import LiteralOperator, literal_package, package_of
from kit.literal_rules import RULES
from kit.paths import SPECS
from miras_compiler import load_spec
from miras_compiler.verify.checks import guards
from miras_compiler.verify.package import opened_here
from miras_compiler.verify.subject import Subject
from miras_compiler.verify.verification import check_subject

CHECK = next(check for check in guards.GUARDS if check.run is guards.many_tokens)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kda", "titans_linear"])
def test_a_linear_rule_holds_its_digits_over_many_tokens(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "MANY", 8_000)
    spec = load_spec(SPECS / f"{name}.yaml")
    with opened_here(without_tiles(spec).write(tmp_path), name) as package:
        (row,) = check_subject(Subject(spec.model_dump(by_alias=True), package), checks=[CHECK])
    assert row.passed, row.note
    assert row.error is not None
    assert row.error < 3e-5


@pytest.mark.slow
def test_more_tokens_are_tried_where_the_rule_is_linear_and_none_where_each_costs_a_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "MANY", 200)
    monkeypatch.setattr(guards, "SEVERAL", 30)
    notes = []
    for name in ("two decays", "lact", "f_divergence that clips"):
        rows = check_subject(Subject(RULES[name], literal_package(RULES[name])), checks=[CHECK])
        assert all(row.passed for row in rows)
        notes += [row.note.partition(",")[0] for row in rows]
    assert notes == ["200 tokens", "30 tokens"]


class RoundsLate(LiteralOperator):
    """In float32 the outputs of the last few tokens are those of half precision."""

    def run(self, q: Tensor, *given: Any) -> Any:
        o, final, trace = super().run(q, *given)
        if q.dtype == torch.float32:
            o = torch.cat((o[:, :-10], o[:, -10:].bfloat16().float()), 1)
        return o, final, trace


class Explodes(LiteralOperator):
    """A little larger with every token."""

    def run(self, q: Tensor, *given: Any) -> Any:
        o, final, trace = super().run(q, *given)
        return o * torch.exp(0.1 * torch.arange(o.shape[1], dtype=o.dtype))[:, None, None], final, trace


class BreaksAtTheEnd(LiteralOperator):
    """The last output is not a number."""

    def run(self, *given: Any) -> Any:
        o, final, trace = super().run(*given)
        return torch.cat((o[:, :-1], o[:, -1:] * torch.nan), 1), final, trace


@pytest.mark.parametrize(("operator", "told"), [(RoundsLate, "in the last tenth"), (Explodes, "grew"), (BreaksAtTheEnd, "not finite")])
def test_a_form_that_drifts_or_grows_or_breaks_is_seen(operator: type[LiteralOperator], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "MANY", 100)
    fields = RULES["two decays"]
    (row,) = check_subject(Subject(fields, package_of(operator(fields))), checks=[CHECK])
    assert not row.passed
    assert told in row.note
