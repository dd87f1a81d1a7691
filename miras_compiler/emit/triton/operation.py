"""The torch.library operator around the kernels of one schedule: what it takes, allocates, launches, keeps and returns, as code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from miras_compiler.emit.triton.head import INDENT, wrapped
from miras_compiler.emit.triton.kernel import KernelPrinter
from miras_compiler.emit.triton.memory import last_name, result_name
from miras_compiler.emit.triton.tile import width
from miras_compiler.ir.nodes import TOKEN_AXES, Axes
from miras_compiler.ir.traverse import leaves_of
from miras_compiler.schedule.kernel import Kernel, Schedule

WIDTH = 140


@dataclass(frozen=True)
class Operation:
    """`tokens` and `parameters` are the inputs of the contract in their order; `printers` the printed kernels by name."""

    schedule: Schedule
    tokens: tuple[str, ...]
    parameters: tuple[str, ...]
    prefix: str = ""

    @property
    def states(self) -> tuple[str, ...]:
        """Carried states, then fixed ones."""
        roles = {name: role for kernel in self.schedule.forward for name, role in kernel.roles.items()}
        return (*(n for n in self.carried), *(name for name, role in roles.items() if role == "fixed"))

    @property
    def carried(self) -> tuple[str, ...]:
        return tuple(name for kernel in self.schedule.forward for name in kernel.outputs("carried"))

    @property
    def carried_axes(self) -> int:
        """How many axes a carried state has beside sequences and heads: of a vector memory one."""
        forward = self.schedule.forward
        return max(len(kernel.program.outputs[name].axes) for kernel in forward for name in kernel.outputs("carried"))

    @property
    def inputs(self) -> tuple[str, ...]:
        return (*self.tokens, *self.parameters, *self.states)

    @property
    def last(self) -> tuple[str, ...]:
        return tuple(name for kernel in self.schedule.forward for name in kernel.last)

    @property
    def visible(self) -> tuple[str, ...]:
        """What the caller sees of the results."""
        return ("o", *(f"{name}_next" for name in self.carried), *map(last_name, self.last))

    @property
    def hidden(self) -> tuple[str, ...]:
        """Buffers of the forward kernels that the backward ones read."""
        wanted = {name for kernel in self.schedule.backward for name, role in kernel.roles.items() if role == "saved"}
        return tuple(name for name in self.made(self.schedule.forward) if name in wanted)

    @property
    def cotangents(self) -> tuple[str, ...]:
        return tuple(f"d_{name.removesuffix('_next')}" for name in self.visible)

    @property
    def kept(self) -> tuple[str, ...]:
        """Inputs and buffers that the backward kernels read, and inputs whose gradient takes their dtype."""
        read = {name for kernel in self.schedule.backward for name in kernel.roles} | {*self.tokens[3:], *self.parameters}
        named = [*(name for name in self.inputs if name in read), *self.hidden]
        return tuple(named if "q" in named else ["q", *named])

    @property
    def gradients(self) -> tuple[str, ...]:
        """Results of the backward operator, one per input."""
        return tuple(f"d_{name}_next" if name in self.carried else f"d_{name}" for name in self.inputs)

    def made(self, kernels: Sequence[Kernel], sizes: str = "sizes") -> dict[str, str]:
        """How each tensor that the kernels write is allocated."""
        made: dict[str, str] = {}
        for kernel in kernels:
            leaves = {leaf.name: leaf.axes for leaf in leaves_of(kernel.program)}
            for name, result in kernel.results.items():
                axes = kernel.program.outputs[name].axes
                made[result_name(name, kernel)] = f"{sizes}.{self.allocation(name, result, axes, kernel)}"
            for name, buffer in kernel.entries.items():
                made[buffer] = f'{sizes}.per_slot("{letters(leaves[name])}", narrow=True)'
            if kernel.walk == "forward":
                for name in kernel.last:
                    made[last_name(name)] = f'{sizes}.per_sequence("{letters(leaves[name])}")'
        return made

    def allocation(self, name: str, result: str, axes: Axes, kernel: Kernel) -> str:
        if result == "token":
            like = name.removeprefix("d_")
            dtype = f", {like}.dtype" if like in self.tokens[3:] else ""
            return f'rows("{letters(tuple(a for a in axes if a not in TOKEN_AXES))}"{dtype})'
        if result == "saved":
            return f'per_slot("{letters(axes)}", narrow={name in kernel.narrow})'
        if result == "carried":
            return f'per_sequence("{letters(axes)}")'
        return f'{"totals" if kernel.walk != "each" else "shares"}("{letters(axes)}")'

    def lengths(self, available: Sequence[str]) -> str:
        """{"K": …} from the shapes of those tensors that are at hand."""
        leaves = {leaf.name: leaf for kernel in self.schedule.kernels for leaf in leaves_of(kernel.program)}
        found: dict[str, str] = {}
        for name in available:
            axes = leaves[name].axes if name in leaves else ()
            for position, axis in enumerate(axes):
                if axis not in TOKEN_AXES:
                    found.setdefault(width(axis), f"{name}.shape[{position - len(axes)}]")
        return "{" + ", ".join(f'"{name}": {code}' for name, code in sorted(found.items())) + "}"

    def steps(self, kernels: Sequence[Kernel], given: Collection[str], sizes: str = "sizes") -> list[str]:
        """Kernel by kernel what it writes to, its launch, and what nothing reads any more, whose memory the next ones take.

        Tensors that are `given` are there before and stay.
        """
        arguments = [KernelPrinter.arguments_of(kernel) for kernel in kernels]
        lines: list[str] = []
        made: set[str] = set()
        for number, kernel in enumerate(kernels):
            new = {name: code for name, code in self.made([kernel], sizes).items() if name not in made and name not in given}
            made |= new.keys()
            lines += [f"{name} = {code}" for name, code in new.items()]
            lines += [f"launch_{kernel.name}({sizes}, (", *(f"{INDENT}{line}" for line in wrapped(arguments[number])), "))  # fmt: skip"]
            needed = {name for names in arguments[number + 1 :] for name in names}
            done = [name for name in arguments[number] if name in made and name not in needed]
            lines += [f"del {line.rstrip(',')}" for line in wrapped(done) if done]
        return lines

    def forward_steps(self) -> str:
        results = {name: code for name, code in self.made(self.schedule.forward).items() if name in (*self.visible, *self.hidden)}
        lines = [*(f"{name} = {code}" for name, code in results.items()), *self.steps(self.schedule.forward, results)]
        return "\n".join(f"{INDENT}{line}" for line in lines)

    def backward_steps(self) -> str:
        """The kernels for one part of the tiles after another; what they carry goes on from one to the next."""
        kernels = self.schedule.backward
        own = {name for kernel in kernels for name in kernel.own}
        given = {name: code for name, code in self.made(kernels).items() if name not in own}
        tiles = ", ".join(f'"{widths}": {count}' for widths, count in sorted(self.own_tiles().items()))
        lines = [
            *(f"{name} = {code}" for name, code in given.items()),
            f"for part in sizes.parts({{{tiles}}}):",
            *(f"{INDENT}{line}" for line in self.steps(kernels, given, "part")),
            *(f"{INDENT}d_{name} = d_{name}_next" for name in self.carried),
        ]
        return "\n".join(f"{INDENT}{line}" for line in lines)

    def own_tiles(self) -> Counter[str]:
        """How many tiles the backward kernels keep of every tile of tokens, by their widths; a number where they keep rows alone."""
        axes: dict[str, Axes] = {}
        for kernel in self.schedule.backward:
            leaves = {leaf.name: leaf.axes for leaf in leaves_of(kernel.program)}
            axes |= {name: node.axes for name, node in kernel.program.outputs.items() if name in kernel.own}
            axes |= {buffer: leaves[name] for name, buffer in kernel.entries.items()}
        return Counter(letters(each) for each in axes.values() if len(each) == 2) or Counter({"": 1})

    def returned(self) -> str:
        """Gradients as autograd wants them: in the dtype of the input, summed where each program has its own share."""
        lines = []
        for name, gradient in zip(self.inputs, self.gradients, strict=True):
            shared = name in self.parameters
            lines.append(f"{INDENT * 2}{gradient}.sum(0).to({name}.dtype)," if shared else f"{INDENT * 2}{gradient},")
        return "\n".join([*lines, *[f"{INDENT * 2}None,"] * 4])

    def holes(self) -> dict[str, object]:
        """Everything that the template asks for."""
        forward, backward = self.made(self.schedule.forward), self.made(self.schedule.backward)
        results = (*self.visible, *self.hidden)
        arguments = (*self.kept, *self.cotangents)
        return {
            "forward": f"{self.prefix}forward",
            "visible": len(self.visible),
            "backward": f"{self.prefix}backward",
            "inputs": typed(self.inputs),
            "read_inputs": assigned_from(
                [*(name if name in self.kept else f"_{name}" for name in self.inputs), "position", "cu_seqlens", "grid", "_save"], "inputs"
            ),
            "read_results": assigned_from([name if name in self.kept else f"_{name}" for name in results], "output"),
            "keep": called("ctx.save_for_backward", [*self.kept, "position", "cu_seqlens"]),
            "read_kept": assigned_from([*self.kept, "position", "cu_seqlens"], "ctx.saved_tensors"),
            "results": returned(results),
            "results_type": tuple_type(len(results)),
            "save": "save" if len(self.schedule.forward) == 1 else "True",
            "lengths": self.lengths(self.inputs),
            "backward_lengths": self.lengths(arguments),
            "fakes": assigned({name: forward[name] for name in results}),
            "steps": self.forward_steps(),
            "backward_inputs": typed(arguments),
            "backward_call": called(f"gradients_of = {self.prefix}backward_op", [*arguments, "position", "cu_seqlens", "ctx.grid"]),
            "read_backward": assigned_from(self.gradients, "gradients_of"),
            "gradients": returned(self.gradients),
            "gradients_type": tuple_type(len(self.gradients)),
            "backward_fakes": assigned({name: backward[name] for name in self.gradients}),
            "backward_steps": self.backward_steps(),
            "read_cotangents": assigned_from(self.cotangents, "cotangents(ctx, gradients)"),
            "returned": self.returned(),
        }


def bracketed(before: str, names: Sequence[str], after: str) -> str:
    """A statement around a list of names, on one line where it fits."""
    line = f"{INDENT}{before}{', '.join(names)}{after}"
    if len(line) <= WIDTH:
        return line
    opened = before if before.endswith("(") else f"{before}("
    closed = after if after.startswith(")") else f"){after}"
    return "\n".join([f"{INDENT}{opened}", *(f"{INDENT * 2}{row}" for row in wrapped(names)), f"{INDENT}{closed}  # fmt: skip"])


def returned(names: Sequence[str]) -> str:
    return bracketed("return ", names, "")


def assigned_from(names: Sequence[str], source: str) -> str:
    return bracketed("", names, f" = {source}")


def called(function: str, names: Sequence[str]) -> str:
    return bracketed(f"{function}(", names, ")")


def letters(axes: Axes) -> str:
    return "".join(width(axis) for axis in axes)


def typed(names: Sequence[str]) -> str:
    return "\n".join(f"{INDENT}{name}: Tensor," for name in names)


def tuple_type(number: int) -> str:
    text = f"tuple[{', '.join(['Tensor'] * number)}]"
    return text if len(text) < 100 else f"tuple[(Tensor,) * {number}]"


def assigned(codes: dict[str, str]) -> str:
    return "\n".join(f"{INDENT}{name} = {code}" for name, code in codes.items())
