"""`build_schedule`: the kernels that run a chunk program."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import sympy as sp

from miras_compiler.analysis.parallel_form import BY_TOKEN, ParallelForm
from miras_compiler.derive.rule import Rule
from miras_compiler.ir.build import placeholder
from miras_compiler.ir.differentiate import differentiate
from miras_compiler.ir.nodes import (
    PAST,
    TOKEN_AXES,
    Contract,
    Cumulate,
    Decayed,
    ForwardSubstitute,
    Input,
    Leaf,
    Map,
    Mask,
    Node,
    Reduce,
    Rename,
    State,
    TriangularSolve,
)
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import carried_leaves, dependents, leaves_of, nodes_of
from miras_compiler.ir.verify import verify_program
from miras_compiler.passes import PASSES, run_passes
from miras_compiler.passes.decays import contract_decays
from miras_compiler.passes.enter import START, enter_chunk
from miras_compiler.passes.separate import separate_past
from miras_compiler.passes.wait import moving_states, wait_for_end, with_sums
from miras_compiler.schedule.cut import build_cut
from miras_compiler.schedule.kernel import Schedule
from miras_compiler.schedule.tile import TILE, padded, rows_of_token, tile_length, tile_lengths

SUMS = "All tiles of a chunk read the state that entered it, and one walk sums up their surprises; the chunk's end is PyTorch's."
CHANNELS = {"K": "key_channel", "V": "value_channel"}


class Prepared(NamedTuple):
    """A chunk program as kernels over tiles compute it, where they can; `program` is the one that was `given` where both are the same.

    `why_not` says why no kernels can be printed for it; "" where they can. Such kernels may be refused at some widths where they hold
    features as a whole, `holds_features`.
    """

    given: Program
    program: Program
    why_not: str
    holds_features: bool


def prepare_program(rule: Rule, program: Program) -> Prepared:
    reason = why_no_tiles(rule, program)
    if reason:
        return Prepared(program, program, reason, False)
    prepared = run_passes(program, [wait_for_end] if rule.update.waits else [separate_past, contract_decays])
    if prepared.outputs == program.outputs:
        prepared = program
    reason = why_not(rule, prepared)
    return Prepared(program, prepared, reason, bool(wide_axis(rule)) and not reason)


def build_schedule(rule: Rule, prepared: Prepared, adjoint: Program) -> Schedule | None:
    """The schedule of a chunk program, whose reverse mode is `adjoint`; None for one that cannot be printed."""
    program = prepared.program
    if prepared.why_not:
        return None
    if rule.update.waits:
        waiting = run_passes(program, PASSES)
        return build_cut(waiting, with_sums(verify_program(differentiate(waiting)), waiting), SUMS, lengths=tile_lengths(rule))
    if program is not prepared.given:
        adjoint = verify_program(differentiate(program))
    starts = tuple(leaf.name.removesuffix(START) for leaf in leaves_of(program) if is_start(leaf))
    reason = (
        "Cut by dependence on the state: what does not depend on it runs for all tiles at once, before and after the walk that carries it."
    )
    entered = run_passes(program, [enter_chunk, *PASSES]), run_passes(adjoint, [enter_chunk])
    schedule, window = build_cut(*entered, reason, starts, tile_lengths(rule), wide=wide_axis(rule)), rows_of_token(rule)
    forward, backward = (tuple(replace(kernel, window=window) for kernel in each) for each in (schedule.forward, schedule.backward))
    return Schedule(forward, backward, schedule.reason)


def wide_axis(rule: Rule) -> str:
    """The axis of features, where they are more than channels; "" where keys are as they are given."""
    return "k" if rule.features.outer else ""


def is_start(leaf: Leaf) -> bool:
    return isinstance(leaf, State) and leaf.name.endswith(START)


PRINTED = (Leaf, Map, Contract, Rename, Reduce, Cumulate, Mask, TriangularSolve, ForwardSubstitute, Decayed)


def _three_axes(rule: Rule) -> str:
    """Why a pair of tokens, or a token, has more than a number: the gate that is per channel, or the mirror map that every token takes."""
    for name, gate in rule.gates.items():
        if gate.channel:
            return f"a pair of tokens has one decay for every channel (gates.{name}.per: {CHANNELS[gate.channel]})"
    return f"the weights of every token are formed (retention {rule.kinds['retention']}, optimizer {rule.kinds['optimizer']})"


def why_no_tiles(rule: Rule, program: Program) -> str:
    """Why a program computes no tiles of tokens; "" where it does."""
    if rule.surprise.window > TILE:
        return f"the rows of one token, {rule.surprise.window}, are more than a tile has (attentional_bias.window)"
    if rule.chunk.has_grid and not any(is_start(leaf) for leaf in leaves_of(program)):
        return "nothing reads the state that entered the chunk, which the final state holds"
    if not any("c" in leaf.axes for leaf in leaves_of(program)):
        return "the rule runs token by token"
    if any(leaf.name == "owner" for leaf in leaves_of(program)):
        return "every token measures the rows of its window for itself, by gates per channel (attentional_bias.window)"
    return ""


def why_not(rule: Rule, program: Program) -> str:
    """Why no kernels can be printed for a prepared program; "" where they can."""
    if rule.update.waits and (rule.surprise.window > 1 or moving_states(program) or any(gate.channel for gate in rule.gates.values())):
        return "reads or windows change within a chunk whose end the state waits for (optimizer.apply: chunk_end)"
    tile = tile_length(rule)
    walked = dependents(program.outputs.values(), carried_leaves(program))
    for node in nodes_of(program):
        if not isinstance(node, PRINTED):
            return f"the retention {rule.kinds['retention']} solves for a multiplier of every slice of the weights"
        if len(node.axes) > 2:
            return _three_axes(rule)
        if isinstance(node, ForwardSubstitute) and any(tile in walked for tile in (node.args[0], *node.args[2:])):
            return f"a substitution solves for rows whose coefficients depend on the state (optimizer {rule.kinds['optimizer']})"
        if isinstance(node, ForwardSubstitute) and any(is_broadcast(tile) for tile in node.factors.values()):
            return "rows have weights per channel that are the same for all of them"
        if isinstance(node, Contract) and (len(node.over) != 1 or any(len(arg.axes) != 2 for arg in node.args)):
            return "a step of the rule is no product of two matrices"
        if isinstance(node, Mask) and node.low not in (0, 1):
            return f"a token is weighed against those at least {node.low} tokens back"
        if isinstance(node, Input) and len(node.axes) > 1 and node.axes[0] not in ("c", PAST):
            return f"the input {node.name} is no row per token"
        if tile < padded(tile) and needs_tokens(node):
            return f"{tile} tokens are padded to a power of two, and the padding would be divided by a sum of nothing"
    return ""


def why_walked(form: ParallelForm, prepared: Prepared) -> str:
    """The same, with the value that the dependency graph blames where the rule runs token by token."""
    return form.reason.removeprefix(BY_TOKEN) if form.kind == "token_by_token" else prepared.why_not


def is_broadcast(node: Node) -> bool:
    """True if a tile is another one, or a number, along more axes: no kernel stores it."""
    return isinstance(node, Map) and (not node.args or node.expr == placeholder(0))


def needs_tokens(node: Node) -> bool:
    """True if an expression has no value where all that it has of tokens is 0, as behind the last one."""
    if not isinstance(node, Map):
        return False
    nothing = {placeholder(i): sp.Integer(0) for i, arg in enumerate(node.args) if TOKEN_AXES & set(arg.axes)}
    return bool(node.expr.xreplace(nothing).has(sp.zoo, sp.nan, sp.oo))
