"""One tile as one PyTorch expression. Tiles lie behind the dimensions of batch and head: an axis is a negative dimension."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from miras_compiler.derive.patterns import is_segment
from miras_compiler.emit.printing.expression import ATOM, PRODUCT, UNARY, Code
from miras_compiler.emit.torch.expression import TorchPrinter
from miras_compiler.errors import InternalError
from miras_compiler.ir.build import ZETA, ordered, placeholder
from miras_compiler.ir.nodes import (
    AXIS_ORDER,
    Axes,
    Contract,
    Cumulate,
    ForwardSubstitute,
    Map,
    Mask,
    Node,
    Reduce,
    Rename,
    Root,
    TriangularSolve,
)
from miras_compiler.ir.program import Program

LETTERS = "abdefghlmoqtuwxyz"  # for axes of more than one letter, in einsum


ROOT = '''
def {name}({parameters}) -> Tensor:
    """The number zeta per row for which the row sums to its total: bisection, then one Newton step, through which derivatives flow."""
    with torch.no_grad():
        zeta = torch.zeros_like(({sum_of}).sum({dims}, keepdim=True))
        low, high = zeta - 40.0, zeta + 40.0
        for _ in range(64):
            middle = (low + high) / 2
            zeta = torch.sinh(middle)
            below = ({value}).sum({dims}, keepdim=True) < {total}
            low, high = torch.where(below, low, middle), torch.where(below, middle, high)
        zeta = torch.sinh((low + high) / 2)
    excess = ({value}).sum({dims}, keepdim=True) - {total}
    return zeta - excess / ({slope}).sum({dims}, keepdim=True)
'''


class TorchTilePrinter:
    """`operand` gives the code of an argument, `define_row_map` the name of a function that is printed from a program of one row;
    `lengths` collects the axes whose lengths the code names; `anchor` is a tensor of so many `axes`, for batch, dtype and device.
    """

    def __init__(
        self, printer: TorchPrinter, operand: Callable[[Node], Code], define_row_map: Callable[[Program], str], anchor: str, axes: int
    ) -> None:
        self.printer = printer
        self.anchor = anchor
        self.batch = f"*{anchor}.shape[:-{axes}]" if axes else f"*{anchor}.shape"
        self.define_row_map = define_row_map
        self.operand = operand
        self.lengths: set[str] = set()

    def code(self, node: Node) -> Code:
        size = len(node.axes)
        match node:
            case Map():
                return self.map(node)
            case Contract(args=(a, b)):
                return self.contract(a, b, node.axes)
            case Reduce(args=(inside,)):
                return self.reduce(node, inside)
            case Cumulate(args=(inside,)):
                return Code(self.cumulate(node, inside), ATOM, size)
            case Mask(args=(inside,)):
                if node.axes[:2] != (node.row, node.column):
                    raise InternalError(f"a mask over {node.row}, {node.column} of a tile over {node.axes}")
                triangle = f".tril({-node.low or ''})"
                text = triangle if size == 2 else f".movedim(-1, -3){triangle}.movedim(-3, -1)"
                return Code(f"{self.full(inside).at_least(ATOM)}{text}", ATOM, size)
            case TriangularSolve(args=(lower, right)):
                return Code(self.solve(node, lower, right), ATOM, size)
            case Root():
                return Code(self.root(node), ATOM, size)
            case ForwardSubstitute(args=(lower, right, *rows)) if not node.transposed:
                return Code(self.substitute(node, lower, right, rows), ATOM, size)
        raise InternalError(f"no PyTorch for {node!r}")

    def map(self, node: Map) -> Code:
        if not node.args:
            return self.constant(node)
        bound = {placeholder(i): self.aligned(arg, node.axes) for i, arg in enumerate(node.args)}
        code = self.printer.expression(node.expr, bound)
        return Code(code.text, code.strength, len(node.axes))

    def constant(self, node: Map) -> Code:
        value = self.printer.expression(node.expr, {})
        if not node.axes:
            return value
        self.lengths |= set(node.axes)
        shape = ", ".join(f"dim_{axis}" for axis in node.axes)
        return Code(f"{self.anchor}.new_full(({shape}{',' if len(node.axes) == 1 else ''}), {value.text})", ATOM, len(node.axes))

    def full(self, node: Node) -> Code:
        """A tile with all its entries, where a broadcast would do in an entrywise expression."""
        if written_axes(node) == set(node.axes):
            return self.operand(node)
        self.lengths |= set(node.axes)
        shape = ", ".join(f"dim_{axis}" for axis in node.axes)
        bare = isinstance(node, Map) and node.expr == placeholder(0)
        code = self.aligned(node.args[0], node.axes) if bare else self.operand(node)
        return Code(f"{code.at_least(ATOM)}.expand({self.batch}, {shape})", ATOM, len(node.axes))

    def aligned(self, arg: Node, axes: Axes) -> Code:
        """An argument with a dimension of length 1 for every axis of the result that it lacks."""
        while isinstance(arg, Map) and arg.expr == placeholder(0):
            (arg,) = arg.args
        code = self.operand(arg)
        if sorted(arg.axes, key=axes.index) != list(arg.axes):
            code = Code(f"{code.at_least(ATOM)}.mT", ATOM, code.size)
        if len(arg.axes) == len(axes) or (not arg.axes and not axes):
            return Code(code.text, code.strength, len(arg.axes))
        index = [":" if axis in arg.axes else "None" for axis in axes]
        while index and index[0] == ":":
            index.pop(0)
        return Code(f"{code.at_least(ATOM)}[..., {', '.join(index)}]", ATOM, len(arg.axes))

    def contract(self, a: Node, b: Node, axes: Axes) -> Code:
        (shared,) = {*a.axes} & {*b.axes}
        if len(a.axes) == len(b.axes) == 2:
            left, right = self.full(a), self.full(b)
            left_text = left.at_least(PRODUCT) if a.axes[1] == shared else f"{left.at_least(ATOM)}.mT"
            right_text = right.at_least(UNARY) if b.axes[0] == shared else f"{right.at_least(ATOM)}.mT"
            return Code(f"{left_text} @ {right_text}", PRODUCT, 2)
        return self.einsum(a, b, axes)

    def einsum(self, a: Node, b: Node, axes: Axes) -> Code:
        names = dict(zip((x for x in AXIS_ORDER if len(x) > 1), LETTERS, strict=False))
        terms = ["..." + "".join(names.get(axis, axis) for axis in each) for each in (a.axes, b.axes, axes)]
        return Code(f'torch.einsum("{terms[0]},{terms[1]}->{terms[2]}", {self.full(a).text}, {self.full(b).text})', ATOM, len(axes))

    def reduce(self, node: Reduce, inside: Node) -> Code:
        dim = inside.axes.index(node.axis) - len(inside.axes)
        if node.kind == "max":
            return Code(f"{self.full(inside).at_least(ATOM)}.amax({dim})", ATOM, len(node.axes))
        product = isinstance(inside, Map) and inside.expr == placeholder(0) * placeholder(1)
        if product and self.operand(inside).text == self.map(inside).text and inside.args[0].axes != inside.args[1].axes:  # type: ignore[arg-type]
            a, b = inside.args
            return self.einsum(a, b, node.axes)
        return Code(f"{self.full(inside).at_least(ATOM)}.sum({dim})", ATOM, len(node.axes))

    def cumulate(self, node: Cumulate, inside: Node) -> str:
        dim = node.axes.index(node.axis) - len(node.axes)
        if is_segment(inside) and not node.reverse:
            name = self.printer.need("segment_sums_before" if node.exclusive else "segment_sums")
            log = self.operand(inside.args[0].args[0])
            return f"{name}({log.text})" if len(node.axes) == 2 else f"{name}({log.at_least(ATOM)}.mT).movedim(-3, -1)"
        code = self.full(inside)
        if node.exclusive:
            return f"{self.printer.need('sum_after' if node.reverse else 'sum_before')}({code.text}, {dim})"
        flip = f".flip({dim})" if node.reverse else ""
        return f"{code.at_least(ATOM)}{flip}.cumsum({dim}){flip}"

    def root(self, node: Root) -> str:
        """A call of a helper that finds ζ by bisection."""
        over = ordered((*node.axes, *node.over))
        names = [f"x{i}" for i in range(len(node.args))]
        code = {placeholder(i): Code(name) for i, name in enumerate(names)}
        value = self.printer.expression(node.expr, code).text
        slope = self.printer.expression(sp.diff(node.expr, ZETA), code).text
        dims = tuple(sorted(over.index(axis) - len(over) for axis in node.over))
        helper = f"multiplier{len(self.printer.helpers)}"
        parameters = ", ".join(f"{name}: Tensor" for name in names)
        total = self.printer.expression(node.total, {}).text
        self.printer.helpers[helper] = ROOT.format(
            name=helper, parameters=parameters, sum_of=" + ".join(names), value=value, slope=slope, dims=dims, total=total
        )
        arguments = ", ".join(self.aligned(arg, over).text for arg in node.args)
        index = ", ".join("0" if axis in node.over else ":" for axis in over)
        return f"{helper}({arguments})[..., {index}]"

    def substitute(self, node: ForwardSubstitute, lower: Node, right: Node, rows: list[Node]) -> str:
        """A call of the row loop; φ is a function of its own, which gets its rows by token."""
        substitution = self.printer.need("forward_substitute_by_channel" if node.by_channel else "forward_substitute")
        name = self.define_row_map(node.phi)
        row_axis = lower.axes[0]
        arguments = []
        for argument, tile in zip(node.names, rows, strict=True):
            index = ["t" if axis == row_axis else ":" for axis in tile.axes] if row_axis in tile.axes else ["None", *[":"] * len(tile.axes)]
            arguments.append(f"{argument}={self.operand(tile).at_least(ATOM)}[..., {', '.join(index)}]")
        call = f"lambda z, t: {name}({', '.join(['z', *arguments])})"
        return f"{substitution}({self.operand(lower).text}, {self.full(right).text}, {call}, {node.together})"

    def solve(self, node: TriangularSolve, lower: Node, right: Node) -> str:
        if node.batch:
            return self.solve_by_channel(node, lower, right)
        shared = lower.axes[1] if node.transposed else lower.axes[0]
        system = f"{self.operand(lower).at_least(ATOM)}.mT" if node.transposed else self.operand(lower).text
        rows = self.full(right)
        turned = right.axes[0] != shared
        rows_text = f"{rows.at_least(ATOM)}.mT" if turned else rows.text
        call = f"torch.linalg.solve_triangular({system}, {rows_text}, upper={node.transposed}, unitriangular=True)"
        return f"{call}.mT" if turned else call

    def solve_by_channel(self, node: TriangularSolve, lower: Node, right: Node) -> str:
        """One system per value channel: the channels go where batch and heads are."""
        if node.transposed:
            raise InternalError("a transposed system per channel")
        system = f"{self.operand(lower).at_least(ATOM)}.movedim(-1, -3)"
        rows = f"{self.full(right).at_least(ATOM)}.mT[..., None]"
        return f"torch.linalg.solve_triangular({system}, {rows}, upper=False, unitriangular=True)[..., 0].mT"


def written_axes(node: Node) -> set[str]:
    """The axes along which the code of a tile has all entries; along the others it has one, which is broadcast."""
    if isinstance(node, Map) and node.args:
        return set().union(*map(written_axes, node.args))
    if isinstance(node, Rename):
        return {node.new if axis == node.old else axis for axis in written_axes(node.args[0])}
    return set(node.axes)
