"""The rows of kernels.py, or starts.py, for one schedule: the launches of its kernels, and the arguments and results of its operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from miras_compiler.emit.printing.python_text import WIDTH
from miras_compiler.emit.triton.blocks import operands_of
from miras_compiler.emit.triton.head import INDENT, wrapped
from miras_compiler.emit.triton.kernel import KernelPrinter
from miras_compiler.emit.triton.memory import WEIGHTS, last_name, result_name
from miras_compiler.emit.triton.rows import brackets_of, rows_name
from miras_compiler.emit.triton.tile import width
from miras_compiler.ir.nodes import PAST, TOKEN_AXES, Axes
from miras_compiler.ir.traverse import leaves_of
from miras_compiler.passes.enter import START
from miras_compiler.passes.separate import BEHIND
from miras_compiler.schedule.kernel import Kernel, Schedule, starts_of
from miras_compiler.schedule.roles import AT, READ


@dataclass(frozen=True)
class Operation:
    """`tokens` and `parameters` are the inputs of the contract in their order, with the letters of their axes."""

    schedule: Schedule
    tokens: Mapping[str, str]
    parameters: Mapping[str, str]

    @property
    def like(self) -> str:
        """The input whose type and shape are those of the tokens."""
        return next(name for name in ("q", "k", "v") if name in self.tokens)

    @property
    def typed(self) -> list[str]:
        """The tokens that may have types of their own."""
        return [name for name in self.tokens if name not in ("q", "k", "v")]

    @property
    def carried(self) -> tuple[str, ...]:
        return tuple(name for kernel in self.schedule.forward for name in kernel.outputs("carried"))

    @property
    def held(self) -> tuple[str, ...]:
        """The states that no tile changes."""
        return tuple(sorted({name for kernel in self.schedule.forward for name in kernel.leaves("held")}))

    @property
    def last(self) -> tuple[str, ...]:
        return tuple(name for kernel in self.schedule.forward for name in kernel.last)

    @property
    def starts(self) -> dict[str, str]:
        """The values that entered a chunk that goes on, with the letters of their axes: the states in the order of `last`, then other
        entries.
        """
        found = {node.name: f"BH{letters(node.axes)}" for kernel in self.schedule.kernels for node in starts_of(kernel.program)}
        states = [f"{name}{START}" for name in self.last]
        return {name: found[name] for name in (*states, *sorted(found.keys() - {*states}))}

    @property
    def past(self) -> dict[str, str]:
        """The rows of tokens before each tile, with the letters of their axes."""
        found = {leaf.name: leaf.axes for kernel in self.schedule.kernels for leaf in leaves_of(kernel.program) if leaf.axes[:1] == (PAST,)}
        given = {name: axes for name, axes in found.items() if name.endswith(BEHIND) and name.removesuffix(BEHIND) in self.tokens}
        return {name: f"SH{letters(axes)}" for name, axes in sorted(given.items())}

    @property
    def inputs(self) -> dict[str, str]:
        """Inputs of the forward operator with their axes: tokens, rows before tiles, parameters, carried states."""
        leaves = {leaf.name: leaf.axes for kernel in self.schedule.forward for leaf in leaves_of(kernel.program)}
        states = {name: f"BH{letters(leaves[name])}" for name in (*self.held, *self.carried)}
        return {**self.tokens, **self.past, **self.parameters, **states}

    @property
    def visible(self) -> dict[str, str]:
        """The results that the caller sees, with their axes: outputs and next states, or next states and those that every tile finds."""
        inputs = self.inputs
        states = {f"{name}_next": inputs[name] for name in self.carried} | {last_name(name): inputs[name] for name in self.last}
        if any("o" in kernel.results for kernel in self.schedule.forward):
            return {"o": self.tokens["v"], **states}
        return {**states, **{f"{name}{AT}": f"S{inputs[name].removeprefix('B')}" for name in self.carried}}

    @property
    def hidden(self) -> dict[str, str]:
        """Buffers of the forward kernels that the backward ones read, with their axes."""
        wanted = {name for kernel in self.schedule.backward for name, role in kernel.roles.items() if role == "saved"}
        found: dict[str, str] = {}
        for kernel in self.schedule.forward:
            leaves = {leaf.name: leaf.axes for leaf in leaves_of(kernel.program)}
            axes = {name: kernel.program.outputs[name].axes for name in kernel.outputs("saved")}
            axes |= {buffer: leaves[name] for name, buffer in kernel.entries.items()}
            found |= {name: f"SH{letters(each)}" for name, each in axes.items() if name in wanted}
        return {name: axes for name, axes in found.items() if name not in self.visible}

    @property
    def kept(self) -> dict[str, str]:
        """Inputs and buffers that the backward kernels read, and inputs whose gradient takes their dtype."""
        read = {name for kernel in self.schedule.backward for name in kernel.roles}
        read |= {self.like, *self.typed, *self.past, *self.parameters}
        found = {**self.inputs, **{name: axes for name, axes in self.visible.items() if name.endswith(AT)}}
        return {name: axes for name, axes in found.items() if name in read} | self.hidden

    @property
    def cotangents(self) -> dict[str, str]:
        names = {name: f"{name.removesuffix(AT)}{READ}" if name.endswith(AT) else name.removesuffix("_next") for name in self.visible}
        return {f"d_{names[name]}": axes for name, axes in self.visible.items()}

    @property
    def gradients(self) -> tuple[str, ...]:
        """Results of the backward operator, one per input."""
        summed = {name for kernel in self.schedule.backward for name in kernel.outputs("carried")}
        names = [name for name in self.inputs if not (self.held and name in self.carried)]  # sums begin at 0 there
        return tuple(f"d_{name}_next" if f"d_{name}" in summed else f"d_{name}" for name in names)

    def makes(self, kernel: Kernel) -> dict[str, str]:
        """The buffers that a kernel writes, as code."""
        leaves = {leaf.name: leaf.axes for leaf in leaves_of(kernel.program)}
        made = {result_name(name, kernel): self.buffer(name, kernel) for name in kernel.results}
        made |= {buffer: saved_buffer(buffer, leaves[name], kernel) for name, buffer in kernel.entries.items()}
        made |= {rows_name(node, kernel): f'Buffer("sequences", "{letters(node.axes)}")' for node in brackets_of(kernel)}
        if kernel.walk == "forward":
            made |= {last_name(name): f'Buffer("sequences", "{letters(leaves[name])}")' for name in kernel.last}
        return made

    def buffer(self, name: str, kernel: Kernel) -> str:
        """The tensor of one result."""
        axes, result = kernel.program.outputs[name].axes, kernel.results[name]
        if result == "token":
            like = name.removeprefix("d_")
            if axes[-1] in WEIGHTS:
                return f'Buffer("rows", "W", like="{like}", partly=True)'
            typed = f', like="{like if like in self.typed else self.like}"' if like in self.typed or self.like != "q" else ""
            return f'Buffer("rows", "{letters(tuple(axis for axis in axes if axis not in TOKEN_AXES))}"{typed})'
        if result == "saved":
            return saved_buffer(name, axes, kernel)
        kinds = {"carried": "sequences", "start": "starts", "past": "shares", "total": "shares" if kernel.walk == "each" else "totals"}
        return f'Buffer("{kinds[result]}", "{letters(axes)}")'

    def launch(self, variants: Sequence[KernelPrinter]) -> str:
        """The launch of a kernel, of which there may be a variant for wide memories."""
        printed, kernel = variants[0], variants[0].kernel
        options = f', split="{width(printed.split)}"' if printed.split else ""
        options += f', blocked="{width(variants[-1].blocked)}"' if variants[-1].blocked else ""
        options += f", wide={kernel.name}{variants[-1].suffix}" if len(variants) > 1 else ""
        head = f'TABLE, {kernel.name}, "{kernel.name}", walks={printed.walks}, widths="{"".join(printed.widths)}"{options}'
        makes = [f'"{name}": {buffer}' for name, buffer in self.makes(kernel).items()]
        pairs = [f'("{a}", "{b}")' for a, b in operands_of(kernel)]
        operands = {"operands": tupled(pairs)} if pairs else {}
        return call(f"launch_{kernel.name} = Launcher(", head, {**operands, "makes": braced(makes)})

    def rows(self) -> str:
        """Both operators, and the pair of them."""
        forward, backward = self.schedule.forward, self.schedule.backward
        kept = {**self.kept, **self.cotangents}
        first = self.operator("forward", self.inputs, (*self.visible, *self.hidden), forward)
        second = self.operator("backward", kept, self.gradients, backward, self.held or self.carried)
        return "\n".join([first, second, "operator = Differentiable(forward, backward)"])

    def operator(
        self, name: str, inputs: Mapping[str, str], results: Sequence[str], kernels: Sequence[Kernel], carried: Sequence[str] = ()
    ) -> str:
        """The row of one operator."""
        quoted = [f'"{each}"' for each in carried]
        return call(f"{name} = Operator(", f'TABLE, "{name}"', {
            "inputs": braced([f'"{each}": "{axes}"' for each, axes in inputs.items()]),
            "results": tupled([f'"{each}"' for each in results]),
            "launches": tupled([f"launch_{kernel.name}" for kernel in kernels]),
            **({"carried": tupled(quoted)} if carried else {}),
            **({"like": [f'"{self.like}"', ""]} if self.like != "q" else {}),
        })  # fmt: skip


def call(before: str, head: str, arguments: Mapping[str, Sequence[str]]) -> str:
    """A call with an argument a line; those that are long stand over several."""
    lines = [f"{INDENT}{head},"]
    for name, (opened, *items, closed) in arguments.items():
        line = f"{INDENT}{name}={opened}{', '.join(items)}{',' if opened == '(' and len(items) == 1 else ''}{closed},"
        lines += [line] if len(line) <= WIDTH - 20 else [f"{INDENT}{name}={opened}", *_indented(items), f"{INDENT}{closed},"]
    return "\n".join([before, *lines, ")  # fmt: skip"])


def _indented(items: Sequence[str]) -> list[str]:
    return [f"{INDENT * 2}{line}" for line in wrapped(items)]


def braced(items: Sequence[str]) -> list[str]:
    return ["{", *items, "}"]


def tupled(items: Sequence[str]) -> list[str]:
    return ["(", *items, ")"]


def letters(axes: Axes) -> str:
    """The widths of a tile."""
    return "".join(width(axis) for axis in axes)


def saved_buffer(name: str, axes: Axes, kernel: Kernel) -> str:
    """The tensor of a tile that another kernel reads, as code."""
    return f'Buffer("slots", "{letters(axes)}"{", narrow=True" if name in kernel.narrow else ""})'
