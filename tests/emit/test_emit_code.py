"""The structure of generated code: the tiles per token, the loops, the imports; and machines find it clean."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from kit.compiled import compilation
from kit.paths import GENERATED, ROOT, SPECS
from kit.random_programs import ONE, TWO
from miras_compiler.compiler import Compilation, compile_spec
from miras_compiler.elements.feature_map.elu_plus_one import EluPlusOneMap
from miras_compiler.emit.package import emit_readable
from miras_compiler.emit.printing.expression import Code
from miras_compiler.emit.torch.expression import TorchPrinter
from miras_compiler.expressions.activations import Composite, gelu_slope, gelu_tanh_slope, silu_slope
from miras_compiler.expressions.symbols import Power0, larger, letter, smaller, step, where_positive
from miras_compiler.ir.expression_value import evaluate_expression
from miras_compiler.spec import digest, load_spec
from miras_compiler.verify.inputs import Inputs, InputShape, draw_inputs
from miras_compiler.version import __version__

NAMES = ("titans_lmm", "yaad", "moneta", "memora", "gated_delta_net", "linear_attention")
MODELS = [pytest.param(name, marks=[pytest.mark.slow] * (name not in ("gated_delta_net", "linear_attention"))) for name in NAMES]
TILE, WIDTH, HIDDEN = 7, 5, 10  # of no other axis


@cache
def compiled(name: str) -> Compilation:
    return compilation(name)


@cache
def loaded(name: str) -> ModuleType:
    return compiled(name).load()


@cache
def readable(name: str) -> Mapping[str, str]:
    """The files to read first, without any kernels."""
    made = compiled(name)
    return emit_readable(made.update_rule, made.parallel_form, made.program)


def source(name: str, path: str) -> str:
    texts = readable(name)
    return texts[path] if path in texts else next(file.text for file in compiled(name).files if file.path == path)


def trees(name: str) -> dict[str, ast.Module]:
    return {file.path: ast.parse(file.text) for file in compiled(name).files if file.path.endswith(".py")}


class Watch(TorchFunctionMode):
    """Counts the calls of PyTorch and keeps the shapes of their results, without batch and head."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.shapes: set[tuple[int, ...]] = set()

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls[getattr(func, "__name__", str(func))] += 1
        if isinstance(result, Tensor):
            self.shapes.add(tuple(result.shape[2:]))
        return result


def inputs(name: str, tokens: int) -> Inputs:
    fields = compiled(name).spec.model_dump(by_alias=True)
    if "expansion" in fields["memory"]:
        fields["memory"] |= {"expansion": HIDDEN // WIDTH}
    return draw_inputs(fields, InputShape(2, tokens, 3, WIDTH, WIDTH), seed=0, eta=0.1)


def watched(name: str, tokens: int) -> Watch:
    """One tile of the chunked form."""
    given = inputs(name, tokens)
    operator = getattr(sys.modules[f"{loaded(name).__package__}.chunked"], f"torch_chunk_{name}")
    watch = Watch()
    with watch:
        operator(given.q, given.k, given.v, **given.gates, **given.parameters, initial_state=given.state, output_final_state=True)
    return watch


def is_weight_per_token(shape: tuple[int, ...]) -> bool:
    left = list(shape)
    for axis in (TILE, WIDTH, HIDDEN):
        if axis not in left:
            return False
        left.remove(axis)
    return True


@pytest.mark.parametrize("name", ["titans_lmm", "yaad", "moneta", "ttt_mlp", "omega_net"])
def test_one_body_serves_hidden_widths_of_one_block_and_of_several(name: str) -> None:
    text = (GENERATED / name / "kernels.py").read_text(encoding="utf-8")
    assert "for b in tl.range(tl.cdiv(N, BN)" in text
    assert re.findall(r'blocked="N".*wide=', text) == []


def test_kernels_of_titans_are_short_and_their_variables_have_names() -> None:
    text = (GENERATED / "titans_lmm" / "kernels.py").read_text(encoding="utf-8")
    assigned = re.findall(r"^ +(\w+) = ", text, re.MULTILINE)
    numbered = [name for name in assigned if re.fullmatch(r"x\d+|\w+_\d+", name)]
    assert len(text.splitlines()) < 1200
    assert len(numbered) < 0.05 * len(assigned)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["titans_lmm", "yaad", "moneta"])
def test_the_dual_form_has_no_weights_per_token(name: str) -> None:
    assert not [shape for shape in watched(name, TILE).shapes if is_weight_per_token(shape)]


@pytest.mark.slow
def test_memora_forms_the_weights_of_every_token_of_a_tile() -> None:
    assert [shape for shape in watched("memora", TILE).shapes if is_weight_per_token(shape)]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_tile_has_no_loop_over_its_tokens(name: str) -> None:
    """Twice the tokens are as many calls."""
    assert sum(watched(name, TILE).calls.values()) == sum(watched(name, 2 * TILE).calls.values())
    chunk = next(node for node in trees(name)["chunked.py"].body if isinstance(node, ast.FunctionDef) and node.name == "chunk")
    assert not [node for node in ast.walk(chunk) if isinstance(node, ast.For | ast.While | ast.comprehension)]


@pytest.mark.slow
def test_the_delta_rule_solves_one_triangular_system() -> None:
    assert watched("gated_delta_net", TILE).calls["linalg_solve_triangular"] == 1
    assert source("gated_delta_net", "chunked.py").count("solve_triangular") == 1
    assert not [name for name in NAMES if name != "gated_delta_net" and "solve_triangular" in source(name, "chunked.py")]


def test_a_rule_that_runs_token_by_token_says_why_and_calls_the_loop() -> None:
    spec = load_spec(SPECS / "gated_delta_net.yaml", {"retention": {"kind": "sigmoid"}})
    text = next(file.text for file in compile_spec(spec).files if file.path == "chunked.py")
    assert "W[t−1] = sigmoid(A[t−1]) is not affine in the state" in " ".join(text.split())
    assert "naive_recurrent_gated_delta_net(" in text


@pytest.mark.parametrize("name", MODELS)
def test_every_file_says_what_it_is_and_those_of_the_model_where_they_come_from(name: str) -> None:
    for path, tree in trees(name).items():
        assert ast.get_docstring(tree), path
        if path.startswith("runtime_"):
            continue
        lines = source(name, path).splitlines()
        told = f"# {name}, generated by miras-compiler {__version__} from {name}.yaml (digest {digest(compiled(name).spec)}); do not edit."
        assert lines[:2] == [told, f"# {compiled(name).spec.paper}"], path


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("path", ["recurrent.py", "chunked.py", "ops.py"])
def test_every_function_that_computes_is_described_and_makes_no_tensors_of_literals(name: str, path: str) -> None:
    functions = [node for node in trees(name)[path].body if isinstance(node, ast.FunctionDef)]
    assert len(functions) >= 2
    assert all(ast.get_docstring(node) for node in functions)
    assert "torch.tensor(" not in source(name, path)


@pytest.mark.parametrize("name", MODELS)
def test_the_operators_and_the_contract_of_a_package_are_a_page_each(name: str) -> None:
    assert len(source(name, "ops.py").splitlines()) <= 64
    assert len(source(name, "contract.py").splitlines()) <= 32


MORE_RULES: dict[str, dict[str, Any]] = {
    # lines that are broken: a function of a row with every argument, parts of parts
    "omega_huber": {"memory": {"kind": "matrix", "norm": "layer", "residual": True}},
    "omega_delta": {
        "memory": {"kind": "vector"},
        "attentional_bias": {"kind": "huber_norm", "delta": "delta", "window": 3},
        "gates.delta": {},
    },
    # a walk that solves row by row, and reads no rows of tokens
    "longhorn": {
        "gates.alpha": {"per": "value_channel"},
        "retention": {"kind": "l2", "order": "before_gradient"},
        "feature_map": {"kind": "softmax"},
    },
}


@pytest.mark.slow
def test_generated_code_is_clean_and_formatted_as_emitted(tmp_path: Path) -> None:
    for name in NAMES:
        compiled(name).write(tmp_path)
    for name, overrides in MORE_RULES.items():
        compile_spec(load_spec(SPECS / f"{name}.yaml", overrides)).write(tmp_path)
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--config", str(ROOT / "pyproject.toml"), "--no-cache", "--exclude", "kernels.py", str(tmp_path)]
    for command in (["check"], ["format", "--check", "--diff"]):
        done = subprocess.run([*ruff, *command, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    names = [*ruff, "check", "--isolated", "--no-cache", "--select", "F", *map(str, tmp_path.glob("*/kernels.py"))]
    done = subprocess.run(names, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


X, Y = letter("x0"), letter("x1")
MORE = [
    1 / X**2, X ** sp.Rational(1, 2), X ** sp.Rational(-3, 2), -(X**2) / 3, X * (Y + 1) / (2 * Y), -X * Y - 2, (X - Y) ** 3, 2 - X / Y,
    larger(X, sp.Integer(1)), smaller(sp.Rational(1, 2), Y), Power0(X - 1, sp.Rational(-1, 2)), Power0(X - 1, sp.Integer(-1)),
    where_positive(X - Y, X, Y / 3), step(X - Y), 1 / (X + Y) - sp.exp(-X) / sp.cosh(Y), sp.Rational(1, 10**6) + X * sp.pi,
]  # fmt: skip


@pytest.mark.parametrize("expr", [*ONE, *TWO, *MORE], ids=str)
def test_an_expression_in_pytorch_means_what_it_means(expr: sp.Expr) -> None:
    """Precedence of operators, helpers, and functions that PyTorch has; slopes too, where they have a helper."""
    generator = np.random.default_rng(0)
    a, b = (np.abs(generator.standard_normal(20)) + 0.1 for _ in range(2))
    slopes = [f.fdiff() for f in expr.atoms(Composite)]
    for each in (expr, *slopes):
        printer = TorchPrinter()
        text = printer.expression(each, {X: Code("a"), Y: Code("b")}).text
        names: dict[str, Any] = {"torch": torch, "functional": torch.nn.functional, "Tensor": Tensor}
        exec("from __future__ import annotations\n" + "\n".join(printer.helpers.values()), names)
        found = eval(text, names, {"a": torch.from_numpy(a), "b": torch.from_numpy(b)})
        expected = evaluate_expression(each, {X: a, Y: b})
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-14, err_msg=textwrap.shorten(text, 100))


def printed(expr: sp.Expr, tensors: Mapping[sp.Symbol, Tensor]) -> Tensor:
    """The value of an expression's PyTorch code for these tensors."""
    printer = TorchPrinter()
    code = printer.expression(expr, {x: Code(x.name) for x in tensors}).text
    names: dict[str, Any] = {"torch": torch, "Tensor": Tensor}
    exec("\n".join(printer.helpers.values()), names)
    found: Tensor = eval(code, names, {x.name: tensor for x, tensor in tensors.items()})
    return found


@pytest.mark.parametrize("exponent", [sp.Rational(4, 3), sp.Rational(1, 2), sp.Rational(-1, 2), sp.Integer(-1)], ids=str)
def test_a_power_does_not_make_a_number_of_what_is_none(exponent: sp.Rational) -> None:
    """nan stays nan under every power, beside singular values, which become 0; so do slopes."""
    x = torch.tensor([torch.nan, 0.0, 1.0], requires_grad=True)
    found = printed(Y * Power0(X, exponent), {X: x, Y: torch.ones(3)})
    (slope,) = torch.autograd.grad(found.sum(), x)
    for result in (found, slope):
        assert result.isnan().tolist() == [True, False, False]
        assert result[1] == 0


def test_a_quotient_stays_within_the_floats_that_its_factors_stay_in() -> None:
    """Found by a random spec: x³/(1 + x²)² is 1/x where x is large, and (1 + x²)² leaves float32 at 10¹⁰, x³ at 10¹³."""
    x = torch.tensor([1e3, 1e12, 1e13], requires_grad=True)
    found = printed(X * Y**2 * Power0(1 + X**2, -2), {X: x, Y: x.detach()})
    torch.testing.assert_close(found, 1 / x)
    (slope,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(slope, -3 / x**2, rtol=1e-4, atol=0)


TIES = {
    "a number behind": larger(X, sp.Integer(0)), "a number before": larger(sp.Integer(0), X), "the smaller": smaller(X, sp.Integer(1)),
    "the smaller, a number before": smaller(sp.Integer(1), X), "two variables": larger(X, Y),
    "elu + 1": EluPlusOneMap().expression().xreplace({letter("x"): X}),
}  # fmt: skip


@pytest.mark.parametrize("expr", TIES.values(), ids=TIES)
def test_a_slope_at_a_tie_is_that_of_the_derivation(expr: sp.Expr) -> None:
    """Kernels take it from the derivation, PyTorch's forms from autograd; nan stays nan beside a number."""
    x = torch.tensor([-1.0, 0.0, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0.0, 0.0, 1.0, 3.0], dtype=torch.float64)
    (slope,) = torch.autograd.grad(printed(expr, {X: x, Y: y}).sum(), x)
    expected = evaluate_expression(sp.diff(expr, X), {X: x.detach().numpy(), Y: y.numpy()})
    np.testing.assert_array_equal(slope.numpy(), np.broadcast_to(expected, 4))
    if not expr.has(Y):
        assert printed(expr, {X: torch.tensor(torch.nan)}).isnan()


ACTIVATIONS: dict[type[Composite], Callable[[Tensor], Tensor]] = {
    gelu_slope: functional.gelu, silu_slope: functional.silu, gelu_tanh_slope: partial(functional.gelu, approximate="tanh"),
}  # fmt: skip


@pytest.mark.parametrize("slope", ACTIVATIONS, ids=lambda slope: slope.__name__)
def test_the_slope_of_an_activation_hands_large_gradients_on_at_large_arguments(slope: type[Composite]) -> None:
    """In float32, where its own slope times a gradient of 10³⁶ is a number: against PyTorch's activation in float64."""
    printer = TorchPrinter()
    code = printer.expression(slope(letter("x")), {letter("x"): Code("x")}).text
    names: dict[str, Any] = {"torch": torch, "Tensor": Tensor}
    exec("\n".join(printer.helpers.values()), names)
    above = torch.tensor([0, 0.3, 1, 3, 10, 30, 80, 120, 1e4, 1e13, 1e20, 1e38])
    x = torch.cat((above, -above)).requires_grad_()
    wide = x.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(ACTIVATIONS[slope](wide).sum(), wide, create_graph=True)
    (expected_slope,) = torch.autograd.grad(expected.sum(), wide)
    actual = eval(code, names, {"x": x})
    (actual_slope,) = torch.autograd.grad(actual, x, torch.full_like(x, 1e36))
    torch.testing.assert_close(actual.double(), expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(actual_slope.double() / 1e36, expected_slope, rtol=1e-5, atol=1e-7)


def test_literals_are_the_shortest_that_read_back() -> None:
    printer = TorchPrinter()
    assert printer.expression(sp.Rational(1, 3), {}).text == repr(1 / 3)
    assert printer.expression(2 * X, {X: Code("x")}).text == "2 * x"
    assert printer.expression(X / 2, {X: Code("x")}).text == "0.5 * x"
    assert printer.expression(larger(sp.Integer(-60), X), {X: Code("x")}).text == "x.clamp(min=-60)"


def test_the_second_derivative_of_gelu_tanh_in_kernels_keeps_its_digits_where_tanh_is_nearly_1() -> None:
    """Kernels print derivatives of the definition; 1 − tanh² in it would leave ten times this error."""
    x = letter("x")
    second = sp.lambdify(x, sp.N(sp.diff(gelu_tanh_slope.definition(x), x)), {"sigmoid": torch.sigmoid, "tanh": torch.tanh})
    at = torch.linspace(-5, 5, 41)
    assert float((second(at) - second(at.double())).abs().max()) < 5e-7
