"""Every printed equation of every spec, read back and evaluated against the numpy interpreter."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

from kit.paths import SPEC_FILES
from kit.printed_equations import Binding, Page, Value
from miras_compiler.analysis import ParallelForm, build_dependency_graph, classify_parallel_form
from miras_compiler.derive import UpdateRule, derive_update_rule
from miras_compiler.derive.chain_rule import in_residual
from miras_compiler.derive.equations import equations_of, row_surprise
from miras_compiler.derive.gate_letters import gate_letters
from miras_compiler.derive.statements import Statement, bias_statements, retention_statements
from miras_compiler.derive.update_rule import SECTIONS
from miras_compiler.elements.memory import Weight
from miras_compiler.elements.optimizer import Muon
from miras_compiler.elements.retention import BregmanRetention, Retention
from miras_compiler.emit.documents.derivation import CHUNK_SECTIONS
from miras_compiler.expressions.symbols import RowRoot, W, letter
from miras_compiler.ir.build import input_tile, lower_expression
from miras_compiler.ir.interpret import Array, interpret
from miras_compiler.ir.nodes import ForwardSubstitute, Leaf, Node, Program, Root, State
from miras_compiler.ir.traverse import leaves_of, nodes_of
from miras_compiler.lower import build_program
from miras_compiler.passes import run_passes
from miras_compiler.spec import Spec, load_spec

TOKENS, ROWS, WINDOW = 4, 6, 3
INDICES = dict.fromkeys("tijl", TOKENS) | dict.fromkeys("rs", ROWS)
TOLERANCE = 1e-8  # slopes of activations are taken by differences


@cache
def derived(path: Path) -> tuple[UpdateRule, ParallelForm, Program]:
    rule = derive_update_rule(load_spec(path))
    form = classify_parallel_form(rule, build_dependency_graph(rule))
    return rule, form, run_passes(build_program(rule, form))


def lengths(spec: Spec) -> dict[str, int]:
    same = spec.memory.residual or spec.memory.kind == "vector"
    widths = {"k": 3, "n": 2, "n1": 2, "n2": 4, "v": 3 if same else 5}
    return widths | {"c": TOKENS, "i": TOKENS, "j": TOKENS, "r": ROWS, "s": ROWS}


def drawn(spec: Spec, leaf: Leaf, axes: dict[str, int]) -> Array:
    """Gates between 0 and 1, logarithms below 0, weights of a simplex positive, everything else of both signs."""
    draw = np.random.default_rng(zlib.crc32(leaf.name.encode())).uniform(0.1, 0.9, [axes[axis] for axis in leaf.axes])
    if leaf.name.startswith("log_"):
        return np.asarray(-draw)
    if (
        leaf.name in spec.gates
        or (leaf.name.endswith("_rows") and leaf.name.removesuffix("_rows") in spec.gates)
        or leaf.name == "preconditioner"
    ):
        return np.asarray(draw)
    if isinstance(leaf, State) and spec.retention.start == "uniform":
        return np.asarray(draw)
    return np.asarray(4 * draw - 2)


def page_of(spec: Spec, program: Program, axes: dict[str, int], sizes: dict[str, int]) -> Page:
    """Every value of a program that has letters, as the interpreter computes it."""
    given = {leaf.name: drawn(spec, leaf, axes) for leaf in leaves_of(program)}
    named: dict[str, Node] = {}
    roots = [node for node in nodes_of(program) if isinstance(node, Root)]
    for number, root in enumerate(roots):
        named["ζ" if len(roots) == 1 else f"ζ{'₁₂₃₄'[number]}"] = root
    for node in nodes_of(program):
        if node in program.labels:
            letters = program.labels[node].letters
            assert letters not in named or named[letters] is node or {*named[letters].axes} != {*node.axes}, (
                f"two values are called {letters}"
            )
            named[letters] = node
        elif isinstance(node, Leaf):
            named[gate_letters(node.name)] = node
    values = interpret(Program("named", named), given, axes)
    functions = {"surprise": lambda binding, z: surprise(program, given, binding, z)}
    functions |= inverse_of(spec.retention)
    if isinstance(spec.optimizer, Muon):
        triples = spec.optimizer.triples()
        functions["NS₅"] = lambda binding, x: Value(newton_schulz(x.array, triples), x.axes)
    return Page({name: (values[name], node.axes) for name, node in named.items()}, sizes, functions)


def inverse_of(retention: Retention) -> dict[str, Callable[[Binding, Value], Value]]:
    """The inverse of a user's F′ that has no closed form."""
    generator = retention.generator()
    if not isinstance(retention, BregmanRetention) or generator is None:
        return {}
    slope = sp.lambdify(W, sp.diff(generator, W), "numpy")
    return {"F′⁻¹": lambda binding, a: Value(rising(slope, a.array), a.axes)}


def rising(slope: Callable[[Array], Array], a: Array) -> Array:
    """The w at which a function that rises from −∞ to ∞ is a, by bisection."""
    low, high = np.full_like(a, -100.0), np.full_like(a, 100.0)
    for _ in range(100):
        middle = (low + high) / 2
        below = slope(middle) < a
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(low)


def newton_schulz(x: Array, triples: tuple[tuple[str, str, str], ...]) -> Array:
    x = x / (np.linalg.norm(x) + 1e-7)
    for a, b, c in (map(float, triple) for triple in triples):
        p = x @ x.T
        x = a * x + (b * p + c * p @ p) @ x
    return np.asarray(x)


def surprise(program: Program, given: dict[str, Array], binding: Binding, z: Value) -> Value:
    """The row map of a substitution at the row that is being computed."""
    (node,) = (each for each in nodes_of(program) if isinstance(each, ForwardSubstitute))
    rows = interpret(Program("rows", dict(zip(node.names, node.args[2:], strict=True))), given)
    row_axis = node.args[0].axes[0]
    at = binding["r" if row_axis == "r" else "t"]
    own = {name: rows[name][at] if row_axis in tile.axes else rows[name] for name, tile in zip(node.names, node.args[2:], strict=True)}
    (result,) = interpret(node.phi, {**own, "z": z.array[0]}).values()
    return Value(result.reshape(1, -1), z.axes)


def check(page: Page, program: Program, titles: dict[str, str]) -> None:
    found = equations_of(program, titles)
    assert found
    for equation in found:
        assert page.error(equation.left, equation.right) < TOLERANCE, equation.text()


@pytest.mark.parametrize("path", SPEC_FILES, ids=lambda path: path.stem)
def test_every_equation_of_a_token_holds(path: Path) -> None:
    rule, _, _ = derived(path)
    axes = lengths(rule.spec) | {"j": WINDOW}
    check(page_of(rule.spec, rule.step.program, axes, {"j": WINDOW}), rule.step.program, SECTIONS)
    if rule.step.chunk_end is not None:
        check(page_of(rule.spec, rule.step.chunk_end, axes, {"t": 1}), rule.step.chunk_end, {"state": "end"})


@pytest.mark.parametrize("path", SPEC_FILES, ids=lambda path: path.stem)
def test_every_equation_of_a_chunk_holds(path: Path) -> None:
    rule, form, program = derived(path)
    if form.kind == "token_by_token":
        assert program is rule.step.program or "c" not in {axis for node in nodes_of(program) for axis in node.axes}
        return
    check(page_of(rule.spec, program, lengths(rule.spec), INDICES), program, dict(CHUNK_SECTIONS))
    row = row_surprise(program)
    if row is not None:
        check(page_of(rule.spec, row, lengths(rule.spec), {"t": 1}), row, dict(CHUNK_SECTIONS))


@pytest.mark.parametrize("path", SPEC_FILES, ids=lambda path: path.stem)
def test_a_chunk_in_closed_form_is_the_recurrence_token_after_token(path: Path) -> None:
    """Surprises are read off the steps of the recurrence; the page says their sum."""
    rule, _, _ = derived(path)
    lines = rule.unrolled()
    assert lines or rule.spec.retention.space == "primal"
    for weight in rule.spec.memory.weights() if lines else ():
        page = recurrence(rule, weight)
        for left, right in lines:
            if re.match(r"[ASZ]_t", left):
                assert page.error(left, written_out(right, lines)) < 1e-9, f"{left} = {right}"


def written_out(text: str, lines: list[tuple[str, str]]) -> str:
    """The coefficients' own closed forms in place of their letters."""
    for left, right in lines:
        text = re.sub(rf"(?<![\w\]]){left}(?!\w)", f"({right})", text) if not re.match("[ASZ]_t", left) else text
    return text


def recurrence(rule: UpdateRule, weight: Weight) -> Page:
    """States, gates and surprises of one weight over tokens 1, 2, …; the state before them at 0."""
    spec, program = rule.spec, rule.step.program
    axes = lengths(spec) | {"j": WINDOW}
    letters = {label.letters: node for node, label in program.labels.items()}
    wanted: dict[str, Node] = {each: letters[each] for each in ("α", "α_value", "μ", "η", "η̃") if each in letters}
    generator = np.random.default_rng(7)
    state = {leaf.name: drawn(spec, leaf, axes) for leaf in leaves_of(program) if isinstance(leaf, State)}
    name = weight.name
    kept = {"A": name, "S": f"{name}_momentum", "Z": f"{name}_pending"}
    over = {key: [state[of]] for key, of in kept.items() if of in state}
    gates: dict[str, list[Array]] = {letter: [] for letter in wanted}
    for _ in range(TOKENS):
        token = {leaf.name: drawn(spec, leaf, axes) * generator.uniform(0.5, 1) for leaf in leaves_of(program)}
        found = interpret(
            Program("step", {**program.outputs, **{f"gate {key}": node for key, node in wanted.items()}}), token | state, axes
        )
        state |= {key: found[key] for key in state if key in found}
        for key in over:
            over[key].append(state[kept[key]])
        for key in gates:
            gates[key].append(found[f"gate {key}"])
    sizes = {key: np.stack([values[0], *values]) for key, values in gates.items()}
    tiles = {key: np.stack(values) for key, values in over.items()}
    page_axes = {"A": weight.axes, "S": weight.axes, "Z": weight.axes, "g": weight.axes}
    tiles["g"] = surprises(rule, weight, tiles, sizes)
    values = {key: (tile, ("t", *page_axes[key])) for key, tile in tiles.items()}
    values |= {key: (tile, ("t", *wanted[key].axes)) for key, tile in sizes.items()}
    triples = spec.optimizer.triples() if isinstance(spec.optimizer, Muon) else ()
    functions = {"NS₅": lambda binding, x: Value(newton_schulz(x.array, triples), x.axes)}
    return Page(values, dict.fromkeys("tjil", TOKENS), functions, first=1, before=1)


def surprises(rule: UpdateRule, weight: Weight, tiles: dict[str, Array], gates: dict[str, Array]) -> Array:
    """g_t from the step of the recurrence that contains it."""

    spec = rule.spec

    def sized(gate: str, letter: str) -> Array:
        shape = [n if axis in rule.axes(gate) else 1 for axis, n in zip(weight.axes, tiles["A"].shape[1:], strict=True)]
        return np.asarray(gates[letter].reshape(-1, *shape) if letter in gates else 1.0)

    eta, mu = sized("eta", "η̃" if "η̃" in gates else "η"), sized("mu", "μ")
    before = {key: np.concatenate([tile[:1], tile[:-1]]) for key, tile in tiles.items()}
    if "Z" in tiles:
        return np.asarray((before["Z"] + mu / spec.chunk.size * before["S"] - tiles["Z"]) / eta)
    if "S" in tiles:
        return np.asarray((mu * before["S"] - tiles["S"]) / (1 if isinstance(spec.optimizer, Muon) else eta))
    return np.asarray((sized("alpha", "α") * sized("alpha_value", "α_value") * before["A"] - tiles["A"]) / eta)


@pytest.mark.parametrize("path", SPEC_FILES, ids=lambda path: path.stem)
def test_formulas_of_the_attentional_bias_and_the_retention_read_back_as_they_are(path: Path) -> None:
    rule, _, _ = derived(path)
    bias, retention, spec = rule.spec.attentional_bias, rule.spec.retention, rule.spec
    row = np.random.default_rng(3).uniform(0.2, 0.8, 6)
    given = {name: row[number : number + 1].repeat(4) for number, name in enumerate(sorted(spec.gates))}
    given |= {"u": np.array([0.3, -0.4, 0.9, 0.1]), "v": np.array([-0.2, 0.5, 0.4, 0.3])}
    given["e"] = given["u"] - given["v"]
    found = {each.left: each for each in bias_statements(rule)}
    check_formula(found["ℓ"], in_residual(bias.loss()), given, retention)
    check_formula(found["∂ℓ/∂u"], rule.bias_derivative, given, retention)
    space = {"a": np.array([0.2, -0.7, 0.4, 0.03]), "w": np.array([0.1, 0.2, 0.3, 0.4]), "x": np.array([0.3, 0.1, 0.2, 0.3])}
    space |= {"d": np.array([-0.1, 0.0, -0.2, -0.05]), "zeta": np.full(4, 0.1), "eta": np.full(4, 0.3)}
    for each in retention_statements(rule):
        expr = {"F": retention.generator(), "ψ(a)": rule.mirror_map, "R": retention.relative_step(), "W": retention.primal_step()}[
            each.left
        ]
        assert expr is not None
        expr = expr.replace(RowRoot, lambda curve, total: letter("zeta"))
        check_formula(each, expr, space, retention)


def check_formula(statement: Statement, expr: sp.Expr, letters: dict[str, Array], retention: Retention) -> None:
    """The text, entry by entry, against the expression as tiles."""
    tiles = {name: input_tile(name, ("v",)) for name in letters}
    node = lower_expression(expr, tiles, ("v",))
    value = interpret(Program("formula", {"o": node}), letters, {"v": 4})["o"]
    functions = inverse_of(retention)
    names = {"x": "X", "w": "W[t−1]", "d": "R", "zeta": "ζ"} if statement.left in "WR" else {}
    values = {names.get(name, gate_letters(name)): (x, ("v",)) for name, x in letters.items()}
    read = Page(values, {"j": 1}, functions, by_entry=True).meaning(statement.right)({}).array
    np.testing.assert_allclose(np.broadcast_to(read, (1, 4)), np.broadcast_to(value, (1, 4)), rtol=1e-9, atol=1e-12)
