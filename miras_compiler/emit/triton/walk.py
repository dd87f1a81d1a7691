"""The walk over tokens as Triton kernels: loads, the phases of every token, stores; forward, and in reverse from checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from miras_compiler.derive.update_rule import SECTIONS
from miras_compiler.emit.printing.python_text import WIDTH
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.head import INDENT, wrapped
from miras_compiler.emit.triton.layout import block, place
from miras_compiler.emit.triton.memory import OF_SEQUENCE, load_call, store_call
from miras_compiler.emit.triton.phase import SHARED, PhasePrinter, counter
from miras_compiler.emit.triton.tile import width
from miras_compiler.ir.nodes import TOKEN_AXES, Axes
from miras_compiler.schedule.walk import Phase, Walk

ROWS = "ROWS"  # of a window
ENDED = "(position == 0) & (length > 0)"  # the last token filled its chunk; a sequence without tokens hands its state on as it is
SHARE = "at_share"  # the number of a token's row in the terms of this program
NOTHING: Mapping[str, str] = {}
SAYS = {
    "enter": "A chunk begins: what the state becomes.",
    "step": "One token: the output, and the state behind it.",
    "leave": "A chunk is full: what the state becomes.",
}


class WalkPrinter:
    """Prints the phases of a walk as functions, and the kernels that call them."""

    def __init__(self, walk: Walk, printer: TritonPrinter) -> None:
        self.walk = walk
        self.printer = printer
        self.phases = {phase.program.name: self.printed(phase) for phase in walk.phases}
        self.adjoints = {phase.program.name: self.printed_adjoint(phase) for phase in walk.phases}
        self.rows = {**walk.tokens, **walk.windows}
        axes = [*self.rows.values(), *walk.parameters.values(), *walk.states.values()]
        self.axes = sorted({axis for each in axes for axis in each})
        self.widths = list(dict.fromkeys(width(axis) for axis in self.axes if axis not in TOKEN_AXES))
        self.lines: list[str] = []

    def printed(self, phase: Phase) -> PhasePrinter:
        name = phase.program.name
        return PhasePrinter(name, SAYS[name], phase.program, self.printer, phase.changes, SECTIONS, self.walk.split)

    def printed_adjoint(self, phase: Phase) -> PhasePrinter:
        says = f"The reverse of {phase.program.name}: from the gradients of what it gives to those of what it takes."
        carried = [f"d_{name}" for name in self.walk.states]
        return PhasePrinter(phase.adjoint.name, says, phase.adjoint, self.printer, carried, split=self.walk.split)

    # arguments of the kernels

    @property
    def inputs(self) -> list[str]:
        """The tensors of the forward kernel that it reads."""
        return [*self.rows, *self.walk.parameters, *self.walk.states]

    def functions(self, adjoints: bool) -> list[str]:
        printed = [*self.phases.values(), *(self.adjoints.values() if adjoints else ())]
        return [each.text() for each in printed]

    def head(self, name: str, tensors: Iterable[str], flags: Sequence[str], says: str) -> None:
        pointers = [*(f"{tensor}_ptr" for tensor in tensors), "position_ptr", "cu_ptr", "T", "SEGMENT", "members"]
        sizes = [
            "H",
            "CHUNK",
            ROWS,
            *self.widths,
            *(f"B{letter}" for letter in self.widths),
            "BC",
            "DOT",
            *([SHARED] if self.walk.split else []),
            *flags,
        ]
        self.lines = [
            "@triton.jit(do_not_specialize=JUST_NUMBERS)",
            f"def {name}(",
            *(f"{INDENT}{line}" for line in wrapped(pointers)),
            *(f"{INDENT}{line}" for line in wrapped([f"{size}: tl.constexpr" for size in sizes])),
            "):  # fmt: skip",
            f'{INDENT}"""{says}"""',
        ]

    def emit(self, *lines: str, depth: int = 1) -> None:
        self.lines += [f"{INDENT * depth}{line}" if line else "" for line in lines]

    # pieces of a kernel

    @property
    def has_grid(self) -> bool:
        return self.walk.enter is not None

    def counters(self) -> None:
        self.emit(*(counter(axis, self.walk.split) for axis in self.axes))

    def locate(self, depth: int) -> None:
        """The place of a sequence, and of the first of its checkpoints."""
        self.emit(
            "first, length, slot = n * T, T, n * ((T + SEGMENT - 1) // SEGMENT)",
            "if PACKED:",
            f"{INDENT}first = tl.load(cu_ptr + n).to(tl.int64)",
            f"{INDENT}length = (tl.load(cu_ptr + n + 1).to(tl.int64) - first).to(tl.int32)",
            f"{INDENT}slot = first // SEGMENT + n",
            depth=depth,
        )

    def load_parameters(self, depth: int) -> None:
        for name, axes in self.walk.parameters.items():
            self.emit(f"{name} = {load_call(name, axes, 'h', widened=True)}", depth=depth)

    def load_rows(self, names: Sequence[str], depth: int) -> None:
        """The rows of token t."""
        self.emit("at = (first + t) * H + h", depth=depth)
        if self.walk.windows:
            self.emit(f"past = (first + n * ({ROWS} - 1) + t) * H + h", depth=depth)
        for name in names:
            self.emit(f"{name} = {self.load_row(name)}", depth=depth)

    def load_row(self, name: str) -> str:
        axes = self.rows[name]
        if name in self.walk.windows:
            return load_window(name, axes)
        if axes == ("j",):
            return f"load_row({name}_ptr, at, r, {ROWS})"
        return load_call(name, axes, "at", widened=True)

    def store_row(self, name: str, code: str) -> str:
        """Stores the gradient of a row; those of the rows of windows are sums over the tokens that measure them."""
        axes = self.rows[name]
        at = SHARE if self.is_shared(name) else "at"
        if name in self.walk.windows:
            return add_window(f"d_{name}", axes, code)
        if axes == ("j",):
            return f"store_row(d_{name}_ptr, {at}, r, {ROWS}, {code})"
        return store_call(f"d_{name}", axes, code, at)

    def is_shared(self, name: str) -> bool:
        """True if the gradient of a row is a sum over the programs that share out an axis."""
        return bool(self.walk.split) and self.walk.split not in self.rows[name]

    def call(self, phase: PhasePrinter, depth: int, gives: Mapping[str, str] = NOTHING, given: Mapping[str, str] = NOTHING) -> None:
        """The call of a phase; `gives` and `given` name the variables of outputs and leaves that are called otherwise."""
        targets = wrapped([gives.get(name, name) for name in phase.gives])
        arguments = [*(given.get(name, name) for name in phase.reads), *(ROWS if size == "C" else size for size in phase.sizes)]
        line = f"{' '.join(targets).removesuffix(',')} = {phase.name}({', '.join(arguments)})"
        if len(line) + 4 * depth <= WIDTH:
            self.emit(line, depth=depth)
            return
        several = len(targets) > 1 or len(targets[0]) > 80
        opened = ["(", *(f"{INDENT}{row}" for row in targets), f") = {phase.name}("] if several else [f"{targets[0][:-1]} = {phase.name}("]
        self.emit(*opened, *(f"{INDENT}{row}" for row in wrapped(arguments, 100)), ")  # fmt: skip", depth=depth)

    def enter(self, depth: int, begins: str = "position == 0") -> None:
        if self.has_grid:
            self.emit(f"if {begins}:", depth=depth)
            self.call(self.phases["enter"], depth + 1)

    def enter_adjoint(self, depth: int, begins: str = "position == 0") -> None:
        if self.has_grid:
            self.emit(f"if {begins}:", depth=depth)
            self.call(self.adjoints["enter"], depth + 1)

    def stored_states(self, names: Iterable[str], tensor: str, index: str, depth: int, variable: str = "{}") -> None:
        for name in names:
            self.emit(store_call(tensor.format(name), self.walk.states[name], variable.format(name), index), depth=depth)

    def loaded_states(self, names: Iterable[str], variable: str, tensor: str, index: str, depth: int) -> None:
        for name in names:
            code = load_call(tensor.format(name), self.walk.states[name], index, widened=True)
            self.emit(f"{variable.format(name)} = {code}", depth=depth)

    # the kernels

    def forward_tensors(self) -> list[str]:
        states = self.walk.states
        return [*self.inputs, "o", *(f"{name}_next" for name in states), *(f"{name}_checkpoint" for name in states)]

    def forward(self, name: str) -> str:
        """The kernel that walks from the first token to the last."""
        states = list(self.walk.states)
        says = "o and the next state, token after token; with SAVE also the state before every SEGMENT-th token."
        self.head(name, self.forward_tensors(), ["PACKED", "SAVE"], says)
        self.emit("n, h = (tl.program_id(0) // H).to(tl.int64), tl.program_id(0) % H")
        self.locate(1)
        self.counters()
        self.load_parameters(1)
        self.loaded_states(states, "{}", "{}", OF_SEQUENCE, 1)
        if self.has_grid:
            self.emit("position = tl.load(position_ptr + n)")
        self.emit("for t in range(length):")
        self.emit("if SAVE and t % SEGMENT == 0:", f"{INDENT}saved = (slot + t // SEGMENT) * H + h", depth=2)
        self.stored_states(states, "{}_checkpoint", "saved", 3)
        self.enter(2)
        read = [row for row in self.rows if row in self.phases["step"].reads]
        self.load_rows(read, 2)
        self.call(self.phases["step"], 2)
        self.emit(store_call("o", ("v",), "o", "at"), depth=2)
        self.leave(2)
        if self.has_grid:
            self.emit("position = tl.where(position == CHUNK - 1, 0, position + 1)", depth=2)
        self.enter(1, ENDED)
        self.stored_states(states, "{}_next", OF_SEQUENCE, 1)
        return "\n".join(self.lines)

    def leave(self, depth: int, position: str = "position", keeps: bool = False) -> None:
        if not self.walk.leave:
            return
        self.emit(f"if {position} == CHUNK - 1:", depth=depth)
        if keeps:
            self.stored_states(self.walk.read_back(self.walk.leave), "{}_full", "kept", depth + 1)
        self.call(self.phases["leave"], depth + 1)

    def backward_tensors(self) -> list[str]:
        states, parameters = self.walk.states, self.walk.parameters
        given = [*self.rows, *parameters, *(f"{name}_checkpoint" for name in states), "d_o", *(f"d_{name}_next" for name in states)]
        return [*given, *(f"d_{name}" for name in self.inputs), *self.walk.kept]

    def backward(self, name: str) -> str:
        """The kernel that walks back: each program does one head of one sequence after another, in memory of its own."""
        states, cotangents = list(self.walk.states), [f"d_{name}" for name in self.walk.states]
        says = "The gradients: segment after segment from the last, its states once more from its checkpoint, then back through its tokens."
        self.head(name, self.backward_tensors(), ["PACKED"], says)
        self.counters()
        self.emit("jobs = (members * H - tl.program_id(0) + tl.num_programs(0) - 1) // tl.num_programs(0)", "for number in range(jobs):")
        self.emit("job = tl.program_id(0) + number * tl.num_programs(0)", "n, h = (job // H).to(tl.int64), job % H", depth=2)
        self.locate(2)
        self.load_parameters(2)
        self.loaded_states(states, "d_{}", "d_{}_next", OF_SEQUENCE, 2)
        for parameter, axes in self.walk.parameters.items():
            self.emit(f"d_{parameter}_sum = tl.zeros([{', '.join(map(block, axes))}], tl.float32)", depth=2)
        if self.has_grid:
            self.emit("start = tl.load(position_ptr + n)", "position = (start + length) % CHUNK", depth=2)
        self.enter_adjoint(2, ENDED)
        self.emit("segments = (length + SEGMENT - 1) // SEGMENT", "for lane in range(segments):", depth=2)
        self.emit("begin = (segments - 1 - lane) * SEGMENT", "end = tl.minimum(begin + SEGMENT, length)", depth=3)
        self.emit("saved = (slot + segments - 1 - lane) * H + h", depth=3)
        self.again(states)
        self.emit("tl.debug_barrier()", depth=3)
        self.back(states, cotangents)
        self.emit("tl.debug_barrier()", depth=3)
        self.stored_states(states, "d_{}", OF_SEQUENCE, 2, "d_{}")
        for parameter, axes in self.walk.parameters.items():
            self.emit(store_call(f"d_{parameter}", axes, f"d_{parameter}_sum", OF_SEQUENCE), depth=2)
        return "\n".join(self.lines)

    def again(self, states: Sequence[str]) -> None:
        """The states of a segment, kept for the way back."""
        self.emit("", "# the states of the segment", depth=3)
        self.loaded_states(states, "{}", "{}_checkpoint", "saved", 3)
        if self.has_grid:
            self.emit("place = (start + begin) % CHUNK", depth=3)
        self.emit("for t in range(begin, end):", "    kept = tl.program_id(0).to(tl.int64) * SEGMENT + t - begin", depth=3)
        self.enter(4, "place == 0")
        self.stored_states(self.walk.read_back(self.walk.step), "{}_before", "kept", 4)
        step = self.phases["step"]
        self.load_rows([row for row in self.rows if row in step.reads], 4)
        self.call(step, 4, gives={"o": "_"})
        self.leave(4, "place", keeps=True)
        if self.has_grid:
            self.emit("place = tl.where(place == CHUNK - 1, 0, place + 1)", depth=4)

    def back(self, states: Sequence[str], cotangents: Sequence[str]) -> None:
        """The way back through the tokens of a segment."""
        self.emit("", "# back through its tokens", depth=3)
        self.emit("for behind in range(end - begin):", f"{INDENT}t = end - 1 - behind", depth=3)
        self.emit("kept = tl.program_id(0).to(tl.int64) * SEGMENT + t - begin", depth=4)
        if self.has_grid:
            self.emit("position = tl.where(position == 0, CHUNK - 1, position - 1)", depth=4)
        if self.walk.leave:
            self.emit("if position == CHUNK - 1:", depth=4)
            read = self.walk.read_back(self.walk.leave)
            self.loaded_states(read, "{}_full", "{}_full", "kept", 5)
            self.call(self.adjoints["leave"], 5, given={name: f"{name}_full" for name in read})
        step = self.adjoints["step"]
        self.loaded_states(self.walk.read_back(self.walk.step), "{}_before", "{}_before", "kept", 4)
        self.load_rows([row for row in self.rows if row in step.reads], 4)
        self.emit(f"d_o = {load_call('d_o', ('v',), 'at', widened=True)}", depth=4)
        self.call(step, 4, given={name: f"{name}_before" for name in states})
        self.store_gradients(4, "(T if PACKED else members * T)")
        self.enter_adjoint(4)

    def store_gradients(self, depth: int, tokens: str = "T") -> None:
        """Stores the gradients of a token's rows, and adds those of parameters; a tensor has so many `tokens`."""
        if any(map(self.is_shared, self.rows)):
            self.emit(f"{SHARE} = (tl.program_id(1).to(tl.int64) * {tokens} * H if {SHARED} else 0) + at", depth=depth)
        for row in self.rows:
            self.emit(self.store_row(row, f"d_{row}"), depth=depth)
        for parameter in self.walk.parameters:
            self.emit(f"d_{parameter}_sum += d_{parameter}", depth=depth)


def load_window(name: str, axes: Axes) -> str:
    """The rows of a window that end with the token's own."""
    if len(axes) == 1:
        return f"load_numbers({name}_ptr, past, r * H, r < {ROWS}).to(tl.float32)"
    return f"load_rows({name}_ptr, past, r * H, r < {ROWS}, {place(axes[1])}, {width(axes[1])}).to(tl.float32)"


def add_window(name: str, axes: Axes, code: str) -> str:
    if len(axes) == 1:
        return f"add_numbers({name}_ptr, past, r * H, r < {ROWS}, {code})"
    return f"add_rows({name}_ptr, past, r * H, r < {ROWS}, {place(axes[1])}, {width(axes[1])}, {code})"
