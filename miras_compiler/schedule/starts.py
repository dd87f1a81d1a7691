"""`build_starts`: the states that chunks begin with, by kernels over tiles, for rules of which every token reads weights of its own.

Where all surprises of a chunk are taken at the state that entered it, only that state goes from chunk to chunk. Its tokens add a sum to
it, of tiles with two axes; and the tokens of all chunks walk at once, each chunk as a sequence of its own.
"""

from __future__ import annotations

from dataclasses import replace

from miras_compiler.derive.rule import Rule
from miras_compiler.ir.build import add, input_tile
from miras_compiler.ir.differentiate import differentiate
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import carried_leaves, labels_in_use
from miras_compiler.passes import PASSES, run_passes
from miras_compiler.passes.decays import contract_decays
from miras_compiler.passes.enter import begin_chunk
from miras_compiler.schedule.build import Prepared, prepare_program, wide_axis
from miras_compiler.schedule.cut import build_cut
from miras_compiler.schedule.kernel import Schedule
from miras_compiler.schedule.roles import READ
from miras_compiler.schedule.tile import tile_lengths

REASON = "They give the state at the start of every chunk, which is all that goes from chunk to chunk; then the tokens of all chunks walk."


def states_alone(rule: Rule, prepared: Prepared) -> Prepared | None:
    """The part of a chunk program that gives the state behind the tile, where kernels over tiles can do this part alone; else None."""
    if rule.chunk.size == 1 or rule.surprise.weighed or not prepared.why_not:
        return None
    program = prepared.given
    outputs = {name: node for name, node in program.outputs.items() if name != "o"}
    states = prepare_program(rule, Program(f"{program.name}_starts", outputs, labels_in_use(outputs, program.labels)))
    return None if states.why_not else states


def build_starts(rule: Rule, prepared: Prepared) -> Schedule | None:
    """The kernels for the states behind all tiles and at the start of each; None where there are none for this part alone."""
    states = states_alone(rule, prepared)
    if states is None:
        return None
    begun = run_passes(states.given, [contract_decays, begin_chunk, *PASSES])
    adjoint = with_reads(differentiate(begun), begun)
    return build_cut(begun, adjoint, REASON, lengths=tile_lengths(rule), full_states=True, wide=wide_axis(rule))


def with_reads(adjoint: Program, program: Program) -> Program:
    """The adjoint with the gradient of the state that each tile finds, `d_<state>_read`, which the tile's own tokens give."""
    read = {f"d_{leaf.name}": input_tile(f"d_{leaf.name}{READ}", leaf.axes) for leaf in carried_leaves(program)}
    return replace(adjoint, outputs={name: add(read[name], node) if name in read else node for name, node in adjoint.outputs.items()})
