"""A loss of one's own is called convex only where it is, refuted only by a point that refutes it, and the command line says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.expression_value import value
from kit.spec_texts import parsed
from miras_compiler.advice import convexity_of
from miras_compiler.analysis.convexity import Convexity, classify_convexity
from miras_compiler.analysis.curvature import curvature_of
from miras_compiler.cli import main
from miras_compiler.expressions.formula import FormulaError, names_in, parse_formula

INF = float("inf")
GATES = {"width": (-INF, INF), "delta": (0.0, INF), "share": (0.0, 1.0)}
CONVEX = [
    "sum((u - v)**2)/2", "-sum(u*v)", "norm(u - v)", "max(abs(u - v))", "sum(abs(u - v))", "sum(abs(u - v)**1.5)", "sum((u - v)**4)",
    "sum(abs(u - v)**3)/3 + norm(u - v)", "sum(log(cosh(u - v)))", "sum(exp(u - v) - (u - v))", "sum(softplus(-u*v))",
    "log(sum(exp(u))) - sum(u*v)", "sum(sqrt((u - v)**2 + 1) - 1)", "delta*sum(sqrt((u - v)**2 + delta**2) - delta)",
    "sum(max(abs(u - v) - 0.1, 0))", "sum(max(u - v, 0)**1.5)", "max(norm(u - v), sum(abs(u - v)))", "sum(abs(u - v)**3)**(1/3)",
    "norm(u - v)**1.5", "sum(exp((u - v)**2))", "(sum(u*v) - 1)**2", "share*norm(u - v) + (1 - share)**2*sum(cosh(u))",
    "sum(width*(u - v))", "-sum(min(u, v))", "sum(sinh(abs(u - v)))",
]  # fmt: skip
NOT_CONVEX = [
    "sum(tanh(u - v)**2)", "sum(log(1 + (u - v)**2))", "sum(abs(u - v)**0.5)", "norm(u - v)**0.5", "sum(min((u - v)**2, 1))", "sum(u**3)",
    "width*sum((u - v)**2)", "1 - sum(u*v)/(norm(u)*norm(v))", "sum(sigmoid(u - v))", "sum(sign(u - v))", "-norm(u - v)", "sum(1/u)",
    "sum((u - v)**4 - 1e-3*(u - v)**2)", "max(u - v) - 2*max(abs(u - v))", "sum(u)**2 - sum(u**2)", "sum(abs(u**2 - v**2))",
]  # fmt: skip
UNKNOWN = [
    "sum(min(abs(u - v), delta)*(abs(u - v) - min(abs(u - v), delta)/2))",  # Huber's error, beyond the rules
    "norm(u - v) + sum(cosh(u)**2 - sinh(u)**2)",  # rounding errors only
]


def verdict(text: str) -> Convexity:
    return classify_convexity(parse_formula(text, names_in(text)), {name: GATES[name] for name in names_in(text) - {"u", "v"}})


@pytest.mark.parametrize("text", CONVEX)
def test_a_convex_loss_is_proven_convex(text: str) -> None:
    assert verdict(text).kind == "convex"


@pytest.mark.parametrize("text", NOT_CONVEX)
def test_a_counterexample_is_one_in_exact_arithmetic_of_the_test(text: str) -> None:
    found = verdict(text)
    assert found.kind == "counterexample"
    assert found.point is not None
    rows = {name: np.array(row) for name, row in found.point.items()}
    others = {name: row for name, row in rows.items() if name not in ("u", "u2")}
    loss = parse_formula(text, names_in(text))
    start, end, middle = (value(loss, u=u, **others).item() for u in (rows["u"], rows["u2"], (rows["u"] + rows["u2"]) / 2))
    assert middle > (start + end) / 2
    assert all(GATES[name][0] <= row[0] <= GATES[name][1] for name, row in rows.items() if name in GATES)


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_is_neither_proven_nor_refuted_is_unknown(text: str) -> None:
    assert verdict(text).kind == "unknown"


PARTS = st.recursive(
    st.sampled_from(["u - v", "u", "v", "u*v", "1", "delta", "width", "share"]),
    lambda parts: st.one_of(
        st.builds(
            "{}({})".format, st.sampled_from(["abs", "exp", "log", "sqrt", "tanh", "cosh", "sinh", "sigmoid", "softplus", "sign"]), parts
        ),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), parts, parts),
        st.builds("({}) {} ({})".format, parts, st.sampled_from("+-*"), parts),
        st.builds("({})**{}".format, parts, st.sampled_from(["2", "3", "0.5", "1.5", "(-1)"])),
    ),
    max_leaves=5,
)
LOSSES = st.builds("{}(u*0 + {})".format, st.sampled_from(["sum", "norm"]), PARTS) | st.builds("max(sum(u + {}), norm(u))".format, PARTS)


@settings(max_examples=200)
@given(LOSSES, st.integers(0, 2**32 - 1))
@pytest.mark.slow
def test_no_loss_that_is_proven_convex_bends_the_other_way(text: str, seed: int) -> None:
    """The rules against points that the compiler has not tried."""
    try:
        loss = parse_formula(text, names_in(text))
    except FormulaError:
        return
    if not curvature_of(loss, GATES).convex:
        return
    random = np.random.default_rng(seed)
    others = {"v": random.normal(size=3), "delta": 1.5, "width": random.normal(), "share": random.random()}
    ends = random.normal(size=(2, 3)) * 10 ** random.uniform(-1, 1)
    with np.errstate(all="ignore"):
        start, end, middle = (value(loss, u=u, **others).item() for u in (*ends, ends.mean(0)))
    assert not middle > (start + end) / 2 + 1e-6 * (1 + abs(start) + abs(end))


FORMULA = """\
name: x
memory: {kind: matrix}
attentional_bias:
  kind: formula
  loss: "LOSS"
gates:
  eta: {}
"""


@pytest.mark.parametrize("command", [["check"], ["explain"], ["compile", "-o", "out"]], ids=lambda command: str(command[0]))
def test_a_warning_names_file_line_and_formula_and_changes_no_exit_code(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(FORMULA.replace("LOSS", "sum(tanh(u - v)**2)"))
    assert main([*command, "x.yaml"]) == 0
    warning = capsys.readouterr().err
    assert warning.startswith("x.yaml:5: warning: the loss 'sum(tanh(u - v)**2)' is not convex in u; half way between u = ")
    assert warning.count("\n") == 1


def test_an_unknown_loss_is_warned_of_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(FORMULA.replace("LOSS", "norm(u - v) + sum(cosh(u)**2 - sinh(u)**2)"))
    assert main(["check", str(path)]) == 0
    assert "may not be convex in u; no rule proves it" in capsys.readouterr().err


def test_a_convex_loss_is_not_spoken_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(FORMULA.replace("LOSS", "sum(log(cosh(u - v)))"))
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().err == ""


def test_warnings_are_in_the_json_of_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(FORMULA.replace("LOSS", "-norm(u - v)"))
    assert main(["check", str(path), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert [warning["where"] for warning in result["warnings"]] == [f"{path}:5"]


def test_a_constant_gate_is_where_it_is_and_a_learned_one_anywhere() -> None:
    text = FORMULA.replace("LOSS", "width * sum((u - v)**2)") + "  width: {source: SOURCE, init: 0.5}\n"
    assert convexity_of(parsed(text.replace("SOURCE", "constant"))).kind == "convex"
    learned = convexity_of(parsed(text.replace("SOURCE", "learned")))
    assert learned.point is not None
    assert learned.point["width"][0] < 0


def test_the_price_of_a_proof_does_not_explode_with_nesting() -> None:
    text = "u - v"
    for _ in range(15):
        text = f"sqrt(({text})**2 + 1)"
    assert verdict(f"sum({text})").kind == "convex"
