"""The values that the equations of a page are about: those of a token and of a tile as the interpreter has them, those of a recurrence."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import sympy as sp

from kit.expression_value import value as value_of
from kit.printed_equations import Binding, Page, Value
from miras_compiler.analysis import ParallelForm, build_dependency_graph, classify_parallel_form
from miras_compiler.derive import UpdateRule, derive_update_rule
from miras_compiler.derive.chain_rule import in_residual
from miras_compiler.derive.equations import row_surprise
from miras_compiler.derive.gate_letters import gate_letters, leaf_letters
from miras_compiler.derive.statements import whole
from miras_compiler.elements.memory import Weight
from miras_compiler.elements.optimizer import Muon
from miras_compiler.elements.retention import BregmanRetention, Retention
from miras_compiler.expressions.symbols import RowRoot, W, letter
from miras_compiler.ir.build import input_tile
from miras_compiler.ir.formulas import lower_expression
from miras_compiler.ir.interpret import Array, interpret
from miras_compiler.ir.nodes import Axes, ForwardSubstitute, Leaf, Node, Root, State
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of, nodes_of
from miras_compiler.lower import build_program
from miras_compiler.passes import run_passes
from miras_compiler.spec import Spec, load_spec

TOKENS, ROWS, WINDOW = 4, 6, 3
INDICES = dict.fromkeys("tijl", TOKENS) | dict.fromkeys("rs", ROWS)
TOLERANCE = 1e-8  # slopes of activations are taken by differences


spec_of = cache(load_spec)


@cache
def derived(path: Path) -> tuple[UpdateRule, ParallelForm, Program]:
    rule = derive_update_rule(spec_of(path))
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


def token_page(path: Path) -> Page:
    rule, _, _ = derived(path)
    return page_of(spec_of(path), rule.step.program, lengths(spec_of(path)) | {"j": WINDOW}, {"j": WINDOW})


def chunk_end_page(path: Path) -> Page:
    rule, _, _ = derived(path)
    assert rule.step.chunk_end is not None
    return page_of(spec_of(path), rule.step.chunk_end, lengths(spec_of(path)) | {"j": WINDOW}, {"t": 1})


def tile_page(path: Path) -> Page:
    _, _, program = derived(path)
    return page_of(spec_of(path), program, lengths(spec_of(path)), INDICES)


def row_page(path: Path) -> Page:
    """Of the row map of a substitution; `surprise` is its result at the row that the page has."""
    _, _, program = derived(path)
    row = row_surprise(program)
    assert row is not None
    page = page_of(spec_of(path), row, lengths(spec_of(path)), {"t": 1})
    (result,) = interpret(
        row, {leaf.name: drawn(spec_of(path), leaf, lengths(spec_of(path))) for leaf in leaves_of(row)}, lengths(spec_of(path))
    ).values()
    given = page.value("f", "", {})

    def surprise(binding: Binding, z: Value) -> Value:
        np.testing.assert_array_equal(z.array, given.array)
        return Value(np.asarray(result).reshape(1, -1), given.axes)

    return replace(page, functions={**page.functions, "surprise": surprise})


def formula_pages(path: Path) -> tuple[Page, Page]:
    """The letters of the attentional bias and of the retention, with the values of their expressions over a row."""
    rule, _, _ = derived(path)
    bias, retention = spec_of(path).attentional_bias, spec_of(path).retention
    given = {name: (np.asarray(0.2 + 0.1 * number), gate.axes) for number, (name, gate) in enumerate(sorted(rule.gates.items()))}
    u, v = np.array([0.3, -0.4, 0.9, 0.1]), np.array([-0.2, 0.5, 0.4, 0.3])
    row = {"u": u, "v": v, "e": u - v}
    measured = {"ℓ": (in_residual(bias.loss()), ()), "∂ℓ/∂u": (rule.bias_derivative, ("v",))}
    space = {"a": np.array([0.2, -0.7, 0.4, 0.03]), "w": np.array([0.1, 0.2, 0.3, 0.4]), "x": np.array([0.3, 0.1, 0.2, 0.3])}
    space |= {"zeta": np.full(4, 0.1)}
    mapped: dict[str, tuple[sp.Expr | None, Axes]] = {"d": (retention.relative_step(), ("v",)), "W": (retention.primal_step(), ("v",))}
    if retention.space == "dual":
        generator = retention.generator()
        mapped = {"F": (None if generator is None else whole(generator), ()), "ψ": (rule.mirror_map, ("v",))}
    names = {"x": "X", "w": "W[t−1]" if retention.space == "primal" else "w", "d": "R", "zeta": "ζ"}
    return (
        _formulas(measured, row, given, {}, retention),
        _formulas({key: each for key, each in mapped.items() if each[0] is not None}, space, given, names, retention),
    )


def _formulas(
    expressions: Mapping[str, tuple[sp.Expr | None, Axes]],
    rows: Mapping[str, Array],
    gates: Mapping[str, tuple[Array, Axes]],
    names: Mapping[str, str],
    retention: Retention,
) -> Page:
    """The values of expressions over a row of four, one after the other: a later one may read an earlier one."""
    known: dict[str, tuple[Array, Axes]] = {name: (each, ("v",)) for name, each in rows.items()}
    known |= {name: (each, ("v",)) if axes else (each, ()) for name, (each, axes) in gates.items()}
    values = {gate_letters(name) if name in gates else names.get(name, name): each for name, each in known.items()}
    functions = inverse_of(retention)
    for name, (expr, axes) in expressions.items():
        assert expr is not None
        tiles = {each: input_tile(each, axes) for each, (_, axes) in known.items()}
        node = lower_expression(expr.replace(RowRoot, lambda curve, total: letter("zeta")), tiles, ("v",), axes or ("v",))
        given = {each: np.broadcast_to(array, (4,) if axes else ()) for each, (array, axes) in known.items()}
        result = interpret(Program("formula", {"o": node}), given, {"v": 4})["o"]
        known[name] = (result if axes else result[0], axes)
        values[names.get(name, name)] = known[name]
    if "ψ" in expressions:
        functions["ψ"] = lambda binding, a: Value(known["ψ"][0].reshape(1, -1), a.axes)
    return Page(values, {"j": 1}, functions)


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
            named[leaf_letters(node.name)] = node
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
    derivative = sp.diff(generator, W)

    def slope(w: Array) -> Array:
        return np.broadcast_to(value_of(derivative, w=w), w.shape)

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


def recurrence(path: Path, weight: Weight) -> Page:
    """States, gates and surprises of one weight over tokens 1, 2, …; the state before them at 0."""
    spec, (rule, _, _) = spec_of(path), derived(path)
    program = rule.step.program
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
    tiles["g"] = surprises(spec, rule, weight, tiles, sizes)
    values = {key: (tile, ("t", *page_axes[key])) for key, tile in tiles.items()}
    values |= {key: (tile, ("t", *wanted[key].axes)) for key, tile in sizes.items()}
    triples = spec.optimizer.triples() if isinstance(spec.optimizer, Muon) else ()
    values |= {f"{key}[0]": (tile[0], weight.axes) for key, tile in tiles.items() if key != "g"}
    functions = {"NS₅": lambda binding, x: Value(newton_schulz(x.array, triples), x.axes)}
    return Page(values, dict.fromkeys("tjil", TOKENS), functions, first=1, before=1)


def surprises(spec: Spec, rule: UpdateRule, weight: Weight, tiles: dict[str, Array], gates: dict[str, Array]) -> Array:
    """g_t from the step of the recurrence that contains it."""

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
