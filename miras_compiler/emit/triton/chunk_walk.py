"""The walk over the tokens of one chunk as Triton kernels, from the state that the chunk begins with: all chunks at once."""

from __future__ import annotations

from miras_compiler.emit.triton.head import INDENT
from miras_compiler.emit.triton.layout import block
from miras_compiler.emit.triton.memory import OF_SEQUENCE, load_call, store_call
from miras_compiler.emit.triton.walk import WalkPrinter
from miras_compiler.ir.nodes import Axes


class ChunkWalkPrinter(WalkPrinter):
    """Prints kernels whose sequences are chunks: they begin with a state, and nobody asks for the one behind them."""

    @property
    def entered(self) -> tuple[str, ...]:
        """The entries of the state that its other entries give where a chunk begins."""
        assert self.walk.enter is not None
        return self.walk.enter.changes

    @property
    def given(self) -> dict[str, Axes]:
        """The entries of the state that a chunk begins with."""
        return {name: axes for name, axes in self.walk.states.items() if name not in self.entered}

    @property
    def kept(self) -> dict[str, Axes]:
        """The states that the reverse mode keeps of every token of a chunk."""
        return {f"{name}_before": axes for name, axes in self.given.items() if name in self.walk.read_back(self.walk.step)}

    @property
    def begun(self) -> list[str]:
        """The tensors of the forward kernel that it reads."""
        return [*self.rows, *self.walk.parameters, *self.given]

    def find_chunk(self, depth: int) -> None:
        self.emit("first, length = tl.load(cu_ptr + n).to(tl.int64), tl.load(position_ptr + n).to(tl.int32)", depth=depth)
        self.load_parameters(depth)
        self.loaded_states(list(self.given), "{}", "{}", OF_SEQUENCE, depth)
        self.call(self.phases["enter"], depth)

    def chunk_forward(self, name: str) -> str:
        """The kernel that walks from the first token of every chunk to its last."""
        self.head(name, [*self.begun, "o"], [], "o, token after token of a chunk.")
        self.emit("n, h = (tl.program_id(0) // H).to(tl.int64), tl.program_id(0) % H")
        self.counters()
        self.find_chunk(1)
        self.emit("for t in range(length):")
        step = self.phases["step"]
        self.load_rows([row for row in self.rows if row in step.reads], 2)
        self.call(step, 2)
        self.emit(store_call("o", ("v",), "o", "at"), depth=2)
        return "\n".join(self.lines)

    def chunk_backward(self, name: str) -> str:
        """The kernel that walks back: each program does one chunk after another, in memory of its own."""
        tensors = [*self.begun, "d_o", *(f"d_{each}" for each in self.begun), *self.kept]
        self.head(name, tensors, [], "The gradients: the states of a chunk once more, then back through its tokens.")
        self.counters()
        self.emit("jobs = (members * H - tl.program_id(0) + tl.num_programs(0) - 1) // tl.num_programs(0)", "for number in range(jobs):")
        self.emit("job = tl.program_id(0) + number * tl.num_programs(0)", "n, h = (job // H).to(tl.int64), job % H", depth=2)
        self.find_chunk(2)
        self.emit("for t in range(length):", f"{INDENT}kept = tl.program_id(0).to(tl.int64) * SEGMENT + t", depth=2)
        before = [each.removesuffix("_before") for each in self.kept]
        self.stored_states(before, "{}_before", "kept", 3)
        step = self.phases["step"]
        self.load_rows([row for row in self.rows if row in step.reads], 3)
        self.call(step, 3, gives={"o": "_"})
        self.emit("tl.debug_barrier()", depth=2)
        self.back_through_chunk(before)
        self.stored_states(self.given, "d_{}", OF_SEQUENCE, 2, "d_{}")
        for parameter, axes in self.walk.parameters.items():
            self.emit(store_call(f"d_{parameter}", axes, f"d_{parameter}_sum", OF_SEQUENCE), depth=2)
        return "\n".join(self.lines)

    def back_through_chunk(self, before: list[str]) -> None:
        self.emit("", "# back through its tokens", depth=2)
        for state, axes in self.walk.states.items():
            self.emit(f"d_{state} = tl.zeros([{', '.join(map(block, axes))}], tl.float32)", depth=2)
        for parameter, axes in self.walk.parameters.items():
            self.emit(f"d_{parameter}_sum = tl.zeros([{', '.join(map(block, axes))}], tl.float32)", depth=2)
        self.emit("for behind in range(length):", f"{INDENT}t = length - 1 - behind", depth=2)
        self.emit("kept = tl.program_id(0).to(tl.int64) * SEGMENT + t", depth=3)
        self.loaded_states(before, "{}_before", "{}_before", "kept", 3)
        step = self.adjoints["step"]
        self.load_rows([row for row in self.rows if row in step.reads], 3)
        self.emit(f"d_o = {load_call('d_o', ('v',), 'at', widened=True)}", depth=3)
        self.call(step, 3, given={name: f"{name}_before" for name in before})
        self.store_gradients(3)
        self.call(self.adjoints["enter"], 2)
        self.emit("tl.debug_barrier()", depth=2)
