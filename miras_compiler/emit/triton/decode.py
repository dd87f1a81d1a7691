"""decode.py: the token step as one Triton kernel, for a few tokens at a time and no gradients."""

from __future__ import annotations

from collections.abc import Sequence

from miras_compiler.derive import UpdateRule
from miras_compiler.derive.update_rule import SECTIONS
from miras_compiler.emit.interface import Argument, Interface
from miras_compiler.emit.python_text import header, indented, legend, mapping, signature
from miras_compiler.emit.template import fill
from miras_compiler.emit.triton.body import BodyPrinter
from miras_compiler.emit.triton.device_functions import device_imports
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.head import INDENT, function_head
from miras_compiler.emit.triton.kernel import RESERVED, masked
from miras_compiler.emit.triton.kernels import keys, marked
from miras_compiler.emit.triton.memory import OF_SEQUENCE, load_call, store_call
from miras_compiler.emit.triton.operation import braced, call, tupled
from miras_compiler.emit.triton.tile import block, place, width
from miras_compiler.ir.build import ordered, placeholder
from miras_compiler.ir.nodes import Contract, Leaf, Map, Node, Program, Reduce, Rename
from miras_compiler.ir.traverse import labels_in_use, leaves_of, nodes_of, rewrite
from miras_compiler.passes import run_passes
from miras_compiler.schedule.entered import START

PRINTED = (Leaf, Map, Contract, Rename, Reduce)


def can_decode(rule: UpdateRule, interface: Interface) -> bool:
    """Whether the token step is vectors and matrices, and the state weights, their momentum and start, and a preconditioner at most."""
    weights = [entry.name for entry in interface.weights]
    known = {f"{name}{suffix}" for name in weights for suffix in ("", "_momentum", START)} | {"preconditioner", "position"}
    nodes = nodes_of(rule.step.program)
    return {entry.name for entry in interface.state} <= known and all(isinstance(n, PRINTED) and len(n.axes) <= 2 for n in nodes)


def emit_decode(rule: UpdateRule, interface: Interface) -> str:
    """Text of decode.py."""
    spec = rule.spec
    printed = TokenKernel(rule, interface)
    text = printed.text()
    functions = [*map(str.strip, printed.printer.helpers.values()), text]
    tokens, parameters = ([argument.name for argument in each] for each in (interface.tokens, interface.parameters))
    return marked(fill("decode.py", {
        "header": header(spec),
        "name": spec.name,
        "legend": legend(interface),
        "frozen": spec.frozen_gradient,
        "warps": 8 if spec.memory.deep else 4,  # the registers of 4 do not hold two matrices, their momentum and their start
        "functions": functions,
        "imports": device_imports("\n".join(functions)),
        "operator": printed.operator(),
        "signature": signature(interface),
        "tokens_dict": mapping(tokens, 8),
        "parameters_dict": mapping(parameters, 8),
        "entries": keys(printed.entries),
        "inputs": indented("inputs=(", [f'"{argument.name}"' for argument in printed.given], "),"),
    }))  # fmt: skip


class TokenKernel:
    """The kernel: one program walks the tokens of one head of one sequence, with the whole state in registers."""

    def __init__(self, rule: UpdateRule, interface: Interface) -> None:
        self.interface = interface
        self.frozen = rule.spec.frozen_gradient
        step = only_states(rule.step.program, interface)
        self.program = without_products(run_passes(step))
        self.found = {leaf.name: leaf for leaf in leaves_of(self.program)}
        self.axes = sorted({axis for node in nodes_of(self.program) for axis in node.axes})
        taken = RESERVED | {f(axis) for axis in self.axes for f in (place, width, block)} | {"position", "begins", "length"}
        self.printer = TritonPrinter()
        self.body = BodyPrinter(self.program, self.printer, self.load_row, lambda leaf: False, taken)
        self.lines: list[str] = []

    @property
    def entries(self) -> list[str]:
        """Entries of the state that are tensors of a head."""
        return [entry.name for entry in self.interface.state if entry.name != "position"]

    @property
    def given(self) -> list[Argument]:
        """Tokens and parameters that the step reads."""
        return [argument for argument in self.interface.inputs if argument.leaf in self.found]

    @property
    def inputs(self) -> list[str]:
        """What the kernel calls them."""
        return [argument.leaf for argument in self.given]

    @property
    def tensors(self) -> list[str]:
        """The arguments of the kernel."""
        return [*self.inputs, *self.entries, "o", *(f"{name}_next" for name in self.entries)]

    @property
    def widths(self) -> list[str]:
        return list(dict.fromkeys(width(axis) for axis in self.axes))

    def letters(self, entry: str) -> str:
        return "".join(width(axis) for axis in self.leaf_of(entry).axes)

    def leaf_of(self, entry: str) -> Leaf:
        """The leaf of an entry; one that the step does not read has the shape of its weight."""
        return self.found.get(entry) or self.found[entry.removesuffix(START).removesuffix("_momentum")]

    def operator(self) -> str:
        """The launch of the kernel, and its operator."""
        axes = {argument.leaf: argument.axes for argument in self.given} | dict(self.interface.state)
        makes = ['"o": Buffer("rows", "V")', *(f'"{name}_next": Buffer("sequences", "{self.letters(name)}")' for name in self.entries)]
        widths = "".join(self.widths)
        launch = call("_launch = Launch(", f'TABLE, token_steps, "token_steps", walks=True, widths="{widths}"', {"makes": braced(makes)})
        return f"{launch}\n" + call("_operator = Operator(", 'TABLE, "token_steps"', {
            "inputs": braced([f'"{name}": "{axes[name]}"' for name in (*self.inputs, *self.entries)]),
            "results": tupled([f'"{name}"' for name in ("o", *(f"{entry}_next" for entry in self.entries))]),
            "launches": ["(", "_launch", ")"],
        })  # fmt: skip

    def load_row(self, leaf: Leaf) -> str:
        """How a token's own tiles are loaded; "" for what is loaded before the first token."""
        if leaf.name not in [argument.leaf for argument in self.interface.tokens]:
            return ""
        return load_call(leaf.name, leaf.axes, "at_row", widened=True)

    def emit(self, *lines: str, depth: int = 0) -> None:
        self.lines += [f"{INDENT * depth}{line}" if line else "" for line in lines]

    def text(self) -> str:
        """The function."""
        head = function_head("token_steps", self.tensors, self.widths)
        self.before()
        self.token()
        self.after()
        return "\n".join([*head, *(f"{INDENT}{line}" if line else "" for line in self.lines)])

    def before(self) -> None:
        """Where the sequence lies, and what is loaded once."""
        self.emit(
            '"""o and the next state, token after token."""',
            "n, h = (tl.program_id(0) // H).to(tl.int64), tl.program_id(0) % H",
            "first, length = n * T, T",
            "if PACKED:",
            f"{INDENT}first = tl.load(cu_ptr + n).to(tl.int64)",
            f"{INDENT}length = (tl.load(cu_ptr + n + 1).to(tl.int64) - first).to(tl.int32)",
            *(f"{place(axis)} = tl.arange(0, {block(axis)})" for axis in self.axes),
        )
        for name in [argument.name for argument in self.interface.parameters if argument.name in self.found]:
            self.emit(f"{self.variable(name)} = {load_call(name, self.found[name].axes, 'h', widened=True)}")
        for name in self.entries:
            self.emit(f"{self.variable(name)} = {load_call(name, self.leaf_of(name).axes, OF_SEQUENCE, widened=True)}")
        if self.frozen:
            self.emit("position = tl.load(position_ptr + n)")

    def variable(self, name: str) -> str:
        """The variable of a parameter or of an entry of the state."""
        if name not in self.found:
            return f"{name}_prev"
        leaf = self.found[name]
        return self.body.names[leaf, leaf.axes] if (leaf, leaf.axes) in self.body.names else self.body.leaf(leaf, leaf.axes).text

    def token(self) -> None:
        """The statements of a token, in the order of the rule's sections."""
        self.emit("for i in range(length):", f"{INDENT}at_row = (first + i) * H + h")
        for start in self.starts():
            if start == self.starts()[0]:
                self.emit("begins = position == 0  # a chunk begins: its surprises are taken at this state", depth=1)
            weight = self.variable(start.removesuffix(START))
            self.emit(f"{self.variable(start)} = tl.where(begins, {weight}, {self.variable(start)})", depth=1)
        titles = dict(SECTIONS)
        rank = list(SECTIONS)
        named = [
            (node, label.section) for node, label in self.program.labels.items() if label.section in titles and not isinstance(node, Leaf)
        ]
        told = ""
        for node, section in sorted(named, key=lambda pair: rank.index(pair[1])):
            self.body.operand(node, node.axes)
            if self.body.statements and titles[section] != told:
                told = titles[section]
                self.emit("", f"# {told}", depth=1)
            self.flush()
        nexts = {}
        for name, node in self.program.outputs.items():
            code = self.body.named_result(node, name if name == "o" else f"{name}_next")
            self.flush()
            if name == "o":
                self.emit(store_call("o", node.axes, code, "at_row"), depth=1)
            else:
                nexts[name] = masked(self.body, node, code)
        self.emit("")
        for name, code in nexts.items():
            self.emit(f"{self.variable(name)} = {code}", depth=1)
        if self.frozen:
            self.emit("position = tl.where(position + 1 == C, 0, position + 1)", depth=1)

    def starts(self) -> list[str]:
        return [name for name in self.entries if name.endswith(START)]

    def flush(self) -> None:
        for statement in self.body.statements:
            self.emit(*statement.text, depth=1)
        self.body.statements.clear()

    def after(self) -> None:
        """The state behind the last token."""
        self.emit("")
        for name in self.entries:
            code = self.variable(name)
            if name.endswith(START):
                code = f"tl.where(position == 0, {self.variable(name.removesuffix(START))}, {code})"
            self.emit(store_call(f"{name}_next", self.leaf_of(name).axes, code, OF_SEQUENCE))


def only_states(program: Program, interface: Interface) -> Program:
    """The program without outputs that are no entries of the state."""
    wanted = {"o", *(entry.name for entry in interface.state)}
    outputs = {name: node for name, node in program.outputs.items() if name in wanted}
    return Program("token_steps", outputs, labels_in_use(outputs, program.labels))


def without_products(program: Program) -> Program:
    """The program with products as sums: a vector times a matrix is nothing for tensor cores."""

    def rule(node: Node, args: Sequence[Node]) -> Node:
        if not isinstance(node, Contract):
            return type(node)(node.axes, tuple(args), node.fields)
        (axis,) = node.over
        axes = ordered((*args[0].axes, *args[1].axes))
        both = Map(axes, tuple(args), (placeholder(0) * placeholder(1),))
        return Reduce(node.axes, (both,), ("sum", axis))

    return rewrite(program, rule)
