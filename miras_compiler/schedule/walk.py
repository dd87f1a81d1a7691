"""`build_walk`: a rule as a walk over tokens, forward and in reverse: the schedule that every rule has.

    for every token:   if a chunk begins: enter     step     if the chunk is full: leave
    behind the last:   if its chunk is full: enter

Each of the three maps the state to the state; `step` reads the token's rows and gives its output. The reverse mode walks back over
states that are computed again from checkpoints, with the adjoint of each of the three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from miras_compiler.derive import UpdateRule
from miras_compiler.derive.chunk_end import leaving
from miras_compiler.ir.build import add, input_tile, state_tile
from miras_compiler.ir.differentiate import gradient_names, pull_back
from miras_compiler.ir.nodes import Axes, Leaf, Node
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import labels_in_use, leaves_of
from miras_compiler.passes import PASSES, run_passes
from miras_compiler.passes.products import choose_products
from miras_compiler.passes.spell import spell
from miras_compiler.schedule.separable import is_separable

PHASE = (choose_products, *PASSES, spell)
PARAMETERS = ("ln_bias", "ln_weight")  # which all tokens share


@dataclass(frozen=True)
class Phase:
    """A map of the state, and its adjoint, in which a leaf `x` has the cotangent `d_x`.

    Of the state, `program` gives the entries that change, `adjoint` the cotangents that do.
    """

    program: Program
    adjoint: Program

    @property
    def changes(self) -> tuple[str, ...]:
        return tuple(name for name in self.program.outputs if name != "o")


@dataclass(frozen=True)
class Walk:
    """`states` are the entries that are carried from token to token, with the axes of each.

    Of a token there is a row of each of `tokens`, and, where a surprise measures the tokens of a window, the rows of `windows` that end
    with its own; `parameters` are rows that all tokens share. `chunk` is 1 where there is no grid of chunks.
    """

    states: Mapping[str, Axes]
    tokens: Mapping[str, Axes]
    windows: Mapping[str, Axes]
    parameters: Mapping[str, Axes]
    step: Phase
    enter: Phase | None
    leave: Phase | None
    chunk: int
    window: int

    @property
    def phases(self) -> tuple[Phase, ...]:
        return tuple(phase for phase in (self.enter, self.step, self.leave) if phase is not None)

    @property
    def split(self) -> str:
        """The value axis, where programs may share it out: nothing is summed over it, and all that changes has it. Else "".

        A gradient that lacks it is a sum of terms then, one for each share, since the cotangents that it is linear in have the axis.
        """
        has_axis = all("v" in axes for axes in self.states.values())
        return "v" if has_axis and not self.windows and all(is_separable(phase.program, "v") for phase in self.phases) else ""

    @property
    def kept(self) -> dict[str, Axes]:
        """The states that the reverse mode keeps of every token of a segment, as `step` and as `leave` find them."""
        found = {f"{name}_before": self.states[name] for name in self.read_back(self.step)}
        return found | ({f"{name}_full": self.states[name] for name in self.read_back(self.leave)} if self.leave else {})

    def read_back(self, phase: Phase) -> tuple[str, ...]:
        """The entries of the state whose values the adjoint of a phase reads."""
        read = {leaf.name for leaf in leaves_of(phase.adjoint)}
        return tuple(name for name in self.states if name in read)


def build_walk(rule: UpdateRule) -> Walk:
    """The walk of a rule."""
    step, enter = rule.step, rule.chunk.enter()
    states = {entry.name: entry.tile for entry in rule.carried}  # weights first
    phase = build_phase(step.program, states)
    rows = {leaf.name: leaf.axes for leaf in leaves_of(phase.program) if leaf.name not in states}
    windows = {name: axes for name, axes in rows.items() if name != "gamma_rows" and "j" in axes}
    shared = {name: axes for name, axes in rows.items() if name in PARAMETERS}
    return Walk(
        states,
        {name: axes for name, axes in rows.items() if name not in windows and name not in shared},
        windows,
        shared,
        phase,
        build_phase(enter, states) if enter else None,
        build_phase(leaving(rule, step.chunk_end), states) if step.chunk_end else None,
        rule.chunk.size,
        rule.surprise.window,
    )


def build_phase(program: Program, states: Mapping[str, Axes]) -> Phase:
    """A map of the state as it is printed, and its reverse mode."""
    wanted = {"o": program.outputs["o"]} if "o" in program.outputs else {}
    changed = {name: program.outputs[name] for name in states if name in program.outputs}
    changed = {name: node for name, node in changed.items() if node is not state_tile(name, states[name])}
    outputs = {**wanted, **changed}
    prepared = run_passes(Program(program.name, outputs, labels_in_use(outputs, program.labels)), PHASE)
    return Phase(prepared, run_passes(adjoint_of(prepared, states), [*PHASE[:-1], partial(spell, earlier=prepared.labels)]))


def adjoint_of(program: Program, states: Mapping[str, Axes]) -> Program:
    """From the cotangents of the output and of the state behind to those of all that the program reads and of the state before.

    An entry that the program leaves as it is keeps its cotangent, and gains that of the values that the program computes from it.
    """
    after = {name: program.outputs.get(name, state_tile(name, axes)) for name, axes in states.items()}
    seeds: dict[Node, Node] = {}
    carried = {f"d_{name}": state_tile(f"d_{name}", axes) for name, axes in states.items()}
    if "o" in program.outputs:
        seeds[program.outputs["o"]] = input_tile("d_o", program.outputs["o"].axes)
    for name, node in after.items():
        own = carried[f"d_{name}"]
        seeds[node] = add(seeds[node], own) if node in seeds else own
    rows = [leaf for leaf in leaves_of(program) if leaf.name not in states]
    leaves: list[Leaf] = [*rows, *(_state(name, axes) for name, axes in states.items())]
    pulled = pull_back(seeds, leaves, list(carried.values()))
    outputs = {f"d_{leaf.name}": pulled.wanted[leaf] for leaf in leaves}
    changed = {name: node for name, node in outputs.items() if node is not carried.get(name)}
    return Program(f"{program.name}_adjoint", changed, program.labels, gradient_names(pulled, program))


def _state(name: str, axes: Axes) -> Leaf:
    leaf = state_tile(name, axes)
    assert isinstance(leaf, Leaf)
    return leaf
