"""Reverse mode on the tile IR: one engine for the surprise of a memory and for the adjoint of a chunk.

Every node's adjoint is built of the same nodes, so a derivative is again a program: it is verified, interpreted, printed and
differentiated like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import sympy as sp

from miras_compiler.errors import InternalError
from miras_compiler.expressions.symbols import letter, step
from miras_compiler.ir.adjoint_rows import coupling_terms, d_lower, renamed_leaf
from miras_compiler.ir.build import (
    ZETA,
    add,
    constant,
    contract,
    cumulate,
    derivative,
    entrywise,
    input_tile,
    is_constant,
    mask,
    ordered,
    placeholder,
    rename,
    total,
)
from miras_compiler.ir.nodes import (
    Contract,
    Cumulate,
    Decayed,
    ForwardSubstitute,
    Leaf,
    Map,
    Mask,
    Node,
    Reduce,
    Rename,
    Root,
    State,
    TriangularSolve,
    factors_of,
)
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.rows import bracket, decayed, forward_substitute, instantiate, triangular_solve
from miras_compiler.ir.traverse import dependents, leaves_of, topological
from miras_compiler.ir.words import Words, gradient


def cotangents(seeds: Mapping[Node, Node], wrt: Collection[Node], last: Collection[Node] = ()) -> dict[Node, Node]:
    """For each tile of `wrt`, the gradient of Σ ⟨seed, tile⟩ over the seeded tiles, over the tile's own axes.

    Terms of a sum that depend on a tile of `last` (the carried gradient of an adjoint) come last, so that everything before them
    can be computed for all tiles in parallel.
    """
    return pull_back(seeds, wrt, last).wanted


class Pulled(NamedTuple):
    """Cotangents: the `wanted` ones, those of `every` tile on the way, and their `parts`, by the tile and its reader."""

    wanted: dict[Node, Node]
    every: dict[Node, Node]
    parts: dict[tuple[Node, Node], Node]


def pull_back(seeds: Mapping[Node, Node], wrt: Collection[Node], last: Collection[Node] = ()) -> Pulled:
    """The same, with the cotangents on the way."""
    reached = dependents(seeds, wrt)
    terms: dict[Node, list[Node]] = {node: [seed] for node, seed in seeds.items()}
    late = set(last)
    result: dict[Node, Node] = {}
    every: dict[Node, Node] = {}
    by_reader: dict[tuple[Node, Node], Node] = {}
    for node in reversed(topological(seeds)):
        if node not in reached or node not in terms:
            continue
        parts = [t for t in terms[node] if not is_constant(t, 0)]
        if late:
            late = dependents(parts, late) | late
            parts = [t for t in parts if t not in late] + [t for t in parts if t in late]
        every[node] = cotangent = add(*parts) if parts else constant(0, node.axes)
        if node in wrt:
            result[node] = _laid_out(cotangent, node)
        for arg, term in zip(node.args, _adjoint(node, cotangent, reached), strict=True):
            if term is not None:
                terms.setdefault(arg, []).append(term)
                by_reader[arg, node] = term
    return Pulled({node: result.get(node, constant(0, node.axes)) for node in wrt}, every, by_reader)


def gradient_names(pulled: Pulled, program: Program) -> dict[Node, Label]:
    """Labels for cotangents, after the tiles of the program whose cotangents they are; the whole before its parts."""
    words, found = Words(program), dict[Node, Label]()
    for node, cotangent in pulled.every.items():
        label = words.of(node)
        if label is not None and not isinstance(cotangent, Leaf):
            found.setdefault(cotangent, gradient(label))
    for (node, reader), term in pulled.parts.items():
        label, through = words.of(node), words.of(reader)
        if label is not None and through is not None and not isinstance(term, Leaf):
            found.setdefault(term, gradient(label, through))
    return found


def differentiate(program: Program, wrt: Collection[str] | None = None) -> Program:
    """The adjoint of a program: from its leaves and `d_<output>` for each output to `d_<leaf>` for each leaf (or those in `wrt`).

    The cotangents of outputs that continue a State leaf are State leaves themselves: they are carried from the tile behind.
    """
    leaves = [leaf for leaf in leaves_of(program) if wrt is None or leaf.name in wrt]
    states = {leaf.name for leaf in leaves_of(program) if isinstance(leaf, State)}
    seeds: dict[Node, Node] = {}
    carried: list[Node] = []
    for name, node in program.outputs.items():
        seed = State(node.axes, (), (f"d_{name}",)) if name in states else input_tile(f"d_{name}", node.axes)
        carried += [seed] if name in states else []
        seeds[node] = add(seeds[node], seed) if node in seeds else seed
    pulled = pull_back(seeds, leaves, carried)
    outputs = {f"d_{leaf.name}": pulled.wanted[leaf] for leaf in leaves}
    return Program(f"{program.name}_adjoint", outputs, program.labels, gradient_names(pulled, program))


def _adjoint(node: Node, dy: Node, wanted: Collection[Node]) -> list[Node | None]:
    """The term that each argument's cotangent gains; None for the arguments that nobody wants."""
    if isinstance(node, Leaf):
        return []
    if isinstance(node, Map):
        return [_map_term(node, index, dy) if arg in wanted else None for index, arg in enumerate(node.args)]
    if isinstance(node, Contract):
        a, b = node.args
        return [_contracted(dy, b, a) if a in wanted else None, _contracted(a, dy, b) if b in wanted else None]
    if isinstance(node, Rename):
        return [rename(dy, node.new, node.old)]
    if isinstance(node, Reduce):
        return [_reduce_term(node, dy)]
    if isinstance(node, Cumulate):
        return [cumulate(dy, node.axis, reverse=not node.reverse, exclusive=node.exclusive)]
    if isinstance(node, Mask):
        return [mask(dy, node.row, node.column, node.low)]
    if isinstance(node, Root):
        return _root_terms(node, dy)
    if isinstance(node, TriangularSolve):
        lower, right = node.args
        d_right = triangular_solve(lower, dy)
        rows, columns = (node, d_right) if node.transposed else (d_right, node)
        return [d_lower(lower, rows, columns) if lower in wanted else None, d_right if right in wanted else None]
    if isinstance(node, ForwardSubstitute):
        return _substitution_terms(node, dy, wanted)
    if isinstance(node, Decayed) and node.part != "logs":  # F is linear in every factor but the logs
        factors = node.factors | {node.part: dy}
        parts = factors_of(node.part)
        terms = [decayed(part, factors, node.low, exclusive=node.exclusive) for part in parts]
        return [term if arg in wanted else None for term, arg in zip(terms, node.args, strict=True)]
    raise InternalError(f"no adjoint for {node!r}")


def _root_terms(node: Root, dy: Node) -> list[Node | None]:
    """ζ moves by −(∂f/∂x dx) / Σ ∂f/∂ζ, so that the sum stays as it is."""
    over = ordered((*node.axes, *node.over))
    tiles = {f"x{i}": arg for i, arg in enumerate(node.args)} | {"zeta": node}
    slope = entrywise(sp.diff(node.expr, ZETA), tiles, over)
    for axis in node.over:
        slope = total(slope, axis)
    scaled = entrywise(-letter("dy") / letter("s"), {"dy": dy, "s": slope}, node.axes)
    terms: list[Node | None] = []
    for index, arg in enumerate(node.args):
        term = entrywise(letter("g") * sp.diff(node.expr, placeholder(index)), {**tiles, "g": scaled}, over)
        for axis in over:
            term = total(term, axis) if axis not in arg.axes else term
        terms.append(_laid_out(term, arg))
    return terms


def _substitution_terms(node: ForwardSubstitute, dx: Node, wanted: Collection[Node]) -> list[Node | None]:
    """The reverse sweep: b_t = J_tᵀ a_t with a_t = dX_t − Σ_{s>t} L_st b_s, a substitution through the transposed rows."""
    if node.transposed:
        raise InternalError("the reverse sweep of a substitution has no adjoint")
    lower, right, *rows = node.args
    row, column = lower.axes[:2]
    given = dict(zip(node.names, (rename(tile, row, column) for tile in rows), strict=True)) | {"z": rename(bracket(node), row, column)}
    pulled = differentiate(node.phi)
    to_z = Program(pulled.name, {"d_z": pulled.outputs["d_z"]})
    used = {leaf.name for leaf in leaves_of(to_z)} - {"d_phi"}
    to_z = Program(pulled.name, {"phi": renamed_leaf(to_z.outputs["d_z"], "d_phi", "z", "z_value")})
    state = {("z_value" if name == "z" else name): tile for name, tile in given.items() if name in used}
    if is_constant(to_z.outputs["phi"], 0):  # as of a sign
        d_right, total_dx = constant(0, right.axes), dx
    else:
        d_right = forward_substitute(
            lower, dx, to_z, state | node.factors, transposed=True, together=node.together, exclusive=node.exclusive
        )
        assert isinstance(d_right, ForwardSubstitute)
        total_dx = bracket(d_right)
    of_factors = coupling_terms(node, d_right) if node.factors else {"scores": d_lower(lower, d_right, node)}
    terms: list[Node | None] = [of_factors["scores"] if lower in wanted else None, d_right if right in wanted else None]
    negative = entrywise(-letter("a"), {"a": pulled.outputs["d_z"]})
    for name, tile in zip(node.names, rows, strict=True):
        term = None
        if name in of_factors:
            terms.append(of_factors[name] if tile in wanted else None)
            continue
        if tile in wanted and pulled.outputs[f"d_{name}"] is negative:  # of v, where φ is one of z − v
            term = entrywise(-letter("a"), {"a": d_right})
        elif tile in wanted:
            term = rename(instantiate(pulled, f"d_{name}", {**given, "d_phi": total_dx}, column), column, row)
        if term is not None:
            term = total(term, row) if row in term.axes and row not in tile.axes else term
        terms.append(term)
    return terms


def _map_term(node: Map, index: int, dy: Node) -> Node | None:
    partial = derivative(node.expr, index)
    if partial == 0:
        return None
    arguments = {f"x{i}": arg for i, arg in enumerate(node.args)} | {"y": node}
    partial = partial.xreplace({node.expr: letter("y")})  # tanh' = 1 - tanh^2 uses the tanh that is there
    term = entrywise(letter("dy") * partial, {**arguments, "dy": dy}, node.axes)
    for axis in node.axes:
        if axis not in node.args[index].axes:
            term = total(term, axis)
    return _laid_out(term, node.args[index])


def _reduce_term(node: Reduce, dy: Node) -> Node:
    (arg,) = node.args
    if node.kind == "sum":
        return entrywise(letter("dy"), {"dy": dy}, arg.axes)
    attained = entrywise(1 - step(letter("m") - letter("x")), {"m": node, "x": arg}, arg.axes)
    ties = total(attained, node.axis)
    return entrywise(letter("dy") * letter("hit") / letter("ties"), {"dy": dy, "hit": attained, "ties": ties}, arg.axes)


def _contracted(x: Node, y: Node, like: Node) -> Node:
    """The contraction of x and y over the axes of `like`, with the operands in the order that needs no transposition, if one does."""
    product = contract(x, y)
    return product if product.axes == like.axes else _laid_out(contract(y, x), like)


def _laid_out(term: Node, like: Node) -> Node:
    """The term over the axes of `like`, in their order."""
    if term.axes == like.axes:
        return term
    if set(term.axes) != set(like.axes):
        raise InternalError(f"cotangent over {term.axes} for a tile over {like.axes}")
    return Map(like.axes, (term,), (placeholder(0),))
