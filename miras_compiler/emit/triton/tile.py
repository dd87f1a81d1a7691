"""One tile as one Triton expression, in a given orientation: rows along the first axis of `order`, columns along the second.

The tensor cores want the left operand of a product in exactly one orientation; the right one may be transposed for free. A product
that is wanted the other way round as a left operand is computed a second time with its operands exchanged: Triton 3.4 to 3.7.0 gets
a transposed product in that place wrong on Hopper.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from miras_compiler.emit.printing.expression import ATOM, PRODUCT, Code
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.layout import _axes, _behind, block, is_broadcast, is_product, origin, place, spans
from miras_compiler.emit.triton.padding import Padding
from miras_compiler.emit.triton.root import define_root
from miras_compiler.emit.triton.statement import Recorder
from miras_compiler.errors import InternalError
from miras_compiler.ir.build import length, ordered, placeholder
from miras_compiler.ir.nodes import (
    AXIS_ORDER,
    TOKEN_AXES,
    Axes,
    Contract,
    Cumulate,
    Decayed,
    Leaf,
    Map,
    Mask,
    Node,
    Reduce,
    Root,
)
from miras_compiler.passes.invert import TriangularInverse
from miras_compiler.schedule.segments import gathered_of, segments_of
from miras_compiler.schedule.tile import letter_of as width

WITHIN = 4 * 64 * 64 * 3  # bytes of tiles that live while the levels of a product under decays are gone through

Operand = Callable[[Node, Axes], Code]


class TilePrinter:
    """`operand` gives a tile in the orientation asked for; `oriented` the orientations in which a tile is at hand."""

    def __init__(
        self,
        printer: TritonPrinter,
        operand: Operand,
        held: Callable[[Node], Axes | None],
        exact: Callable[[Contract], bool],
        narrow: Callable[[Leaf], bool],
        is_inverse: Callable[[Node], bool],
        is_inline: Callable[[Node], bool],
        recorder: Recorder,
    ) -> None:
        self.printer = printer
        self.recorder = recorder
        self.counted: set[str] = set()  # axes along which the code counts
        self.operand = operand
        self.held = held
        self.exact = exact  # products whose operands keep float32
        self.is_inverse = is_inverse  # tiles that hold one
        self.is_inline = is_inline  # tiles that get no name of their own
        self.narrow = narrow  # leaves that may be loaded in less than float32
        self.padding = Padding(printer.pads_rows)
        self.apart: Collection[Node] = ()  # products that share nothing with others, as far as the compiler sees

    def code(self, node: Node, order: Axes) -> Code:
        match node:
            case Map():
                return self.map(node, order)
            case Contract():
                return self.product(node, order)
            case Reduce(args=(inside,)):
                return self.reduce(node, inside)
            case Cumulate(args=(inside,)):
                return Code(self.cumulate(node, inside, order), ATOM, len(order))
            case Mask(args=(inside,)):
                return Code(f"tl.where({self.mask(node, order)}, {self.aligned(inside, order).text}, 0.0)", ATOM, len(order))
            case TriangularInverse(args=(lower,)):
                if order != node.axes:
                    return Code(f"tl.trans({self.code(node, node.axes).text})", ATOM, 2)
                return Code(f"{self.printer.need('inverse')}({self.operand(lower, lower.axes).text}, r, LEVELS, DOT)", ATOM, 2)
            case Root():
                return self.root(node)
            case Decayed():
                return self.decayed(node, node.part)
        raise InternalError(f"no Triton for {node!r}")

    def map(self, node: Map, order: Axes) -> Code:
        bound = {length(axis): Code(block(axis) if axis in TOKEN_AXES else width(axis)) for axis in AXIS_ORDER}
        bound |= {placeholder(i): self.aligned(arg, order) for i, arg in enumerate(node.args)}
        code = self.printer.expression(node.expr, bound)
        undefined = [axis for axis in node.axes if self.padding.is_undefined(node, axis)]
        if undefined:
            tests = " & ".join(self.here(axis, order) for axis in undefined)
            return Code(f"tl.where({tests}, {code.text}, 0.0)", ATOM, len(order))
        return Code(code.text, code.strength, len(order))

    def aligned(self, arg: Node, order: Axes) -> Code:
        """An argument as it is broadcast over the axes of `order`."""
        while is_broadcast(arg):
            (arg,) = arg.args
        if (constant := self.constant(arg)) is not None:
            return constant
        code = self.operand(arg, tuple(axis for axis in order if axis in arg.axes))
        leaf = _behind(arg)
        if isinstance(leaf, Leaf) and self.narrow(leaf):
            self.recorder.top.widened.add(self.operand(leaf, leaf.axes).text)
            code = Code(f"{code.at_least(ATOM)}.to(tl.float32)", ATOM, 2)
        if len(order) < 2 or len(arg.axes) != 1 or not spans(arg):
            return Code(code.text, code.strength, len(arg.axes))
        return Code(f"{code.at_least(ATOM)}[{':, None' if arg.axes[0] == order[0] else 'None, :'}]", ATOM, 1)

    def constant(self, node: Node) -> Code | None:
        """A tile of one number that the code knows, None for any other."""
        while is_broadcast(node):
            (node,) = node.args
        return self.map(node, ()) if isinstance(node, Map) and not node.args else None

    def full(self, node: Node, order: Axes) -> Code:
        """All entries of a tile, where a broadcast, or for a constant a number, would do in an entrywise expression."""
        if (constant := self.constant(node)) is not None:
            return Code(f"tl.full([{', '.join(map(block, order))}], {constant.text}, tl.float32)", ATOM, len(order))
        if not spans(node):
            return Code(f"tl.broadcast_to({self.aligned(node, order).text}, ({', '.join(map(block, order))}))", ATOM, len(order))
        return self.aligned(node, order)

    def inside(self, node: Node, axis: str, order: Axes, filler: str = "0.0") -> Code:
        """A tile with the filler in the padding of `axis`."""
        code = self.full(node, order)
        if filler == "0.0" and self.padding.is_zero(node, axis):
            return code
        counted = origin(node, axis)
        self.counted.add(counted)
        here = f"{place(counted)} < {width(counted)}"
        if len(order) == 2:
            here = f"({here})[{':, None' if axis == order[0] else 'None, :'}]"
        return Code(f"tl.where({here}, {code.text}, {filler})", ATOM, len(order))

    def product(self, node: Contract, order: Axes) -> Code:
        a, b = node.args
        (shared,) = node.over
        self.recorder.top.multiplies = True
        left, right = (a, b) if order[0] in a.axes else (b, a)
        masked = not (self.padding.is_zero(left, shared) or self.padding.is_zero(right, shared))
        left_order, right_order = (order[0], shared), (shared, order[1])
        turns_left = self.is_turned(left, left_order, exact=True)
        turns_right = self.is_turned(right, right_order, exact=False)
        left_code = self.dot_operand(left, left_order[::-1] if turns_left else left_order)
        if masked:
            right_code = self.inside(right, shared, right_order[::-1] if turns_right else right_order)
        else:
            right_code = self.dot_operand(right, right_order[::-1] if turns_right else right_order)
        if self.exact(node):
            left_text = f"tl.trans({left_code.text})" if turns_left else left_code.text
            right_text = f"tl.trans({right_code.text})" if turns_right else right_code.text
            rows = TOKEN_AXES & {axis for arg in node.args for axis in arg.axes}
            whole = "solve_dot" if self.is_inverse(left) else "exact_dot"
            name = self.printer.need(("window_dot" if rows else "state_dot") if node in self.apart else whole)
            return Code(f"{name}({left_text}, {right_text}, DOT)", ATOM, 2)
        turns = {(False, False): "", (True, False): "_tn", (False, True): "_nt", (True, True): "_tt"}[turns_left, turns_right]
        apart = node in self.apart and not turns_left
        name = f"dot_apart{turns}" if apart else f"dot{turns}"
        if name != "dot":
            self.printer.need(name)
        return Code(f"{name}({left_code.text}, {right_code.text}, DOT{', T' if apart else ''})", ATOM, 2)

    def dot_operand(self, node: Node, order: Axes) -> Code:
        return self.operand(node, order) if spans(node) else self.full(node, order)

    def is_turned(self, node: Node, order: Axes, exact: bool) -> bool:
        """True if an operand is to be had the other way round and transposed on the way into the product."""
        held = self.held(node)
        natural = _axes(node, order)
        if exact and is_product(node):
            return False
        return (held if held is not None else natural) != order

    def decayed(self, node: Decayed, part: str) -> Code:
        """The call of a device function: for one derivative of a product under decays, or for all `derivatives`."""
        self.recorder.top.multiplies = True
        self.recorder.top.within = WITHIN
        codes = {name: self.dot_operand(arg, arg.axes) for name, arg in node.factors.items()}
        channel = node.factors["logs"].axes[1]
        if part == "scores" and not any(self.padding.is_zero(node.factors[name], channel) for name in ("rows", "columns")):
            codes["columns"] = self.inside(node.factors["columns"], channel, node.factors["columns"].axes)
        factors = ", ".join(code.text for code in codes.values())
        return Code(f"{self.printer.need(f'decayed_{part}')}({factors}, r, LEVELS, {node.low == 1}, {node.exclusive}, DOT)", ATOM, 2)

    def reduce(self, node: Reduce, inside: Node) -> Code:
        gathered = gathered_of(node)
        if gathered is not None:
            code = self.full(gathered.args[0], (node.axes[0], node.axis))
            name = self.printer.need("segment_gradient_before" if gathered.exclusive else "segment_gradient")
            return Code(f"{name}({code.text}, strict, DOT)", ATOM, 1)
        if node.kind == "sum" and isinstance(inside, Reduce) and inside.kind == "sum" and self.is_inline(inside):
            (tile,) = inside.args
            code = self.inside(tile, inside.axis, tile.axes)
            if len(tile.axes) == 2 and self.padding.is_zero(tile, node.axis):
                return Code(f"tl.sum({code.text})", ATOM, 0)
        order = self.held(inside) or inside.axes
        filler = 'float("-inf")' if node.kind == "max" else "0.0"
        code = self.inside(inside, node.axis, order, filler)
        return Code(f"tl.{node.kind}({code.text}, {order.index(node.axis)})", ATOM, len(node.axes))

    def root(self, node: Root) -> Code:
        """A call of a function that finds ζ by bisection."""
        order = ordered((*node.axes, *node.over))
        arguments = [self.aligned(arg, order).text for arg in node.args]
        tests = [self.here(axis, order) for axis in order]
        return Code(f"{define_root(node, order, self.printer)}({', '.join([*arguments, ' & '.join(tests)])})", ATOM, len(node.axes))

    def here(self, axis: str, order: Axes) -> str:
        """The test whether an entry is no padding along an axis, broadcast over the axes of `order`."""
        self.counted.add(axis)
        test = f"({place(axis)} < {width(axis)})"
        return f"{test}[{':, None' if axis == order[0] else 'None, :'}]" if len(order) == 2 else test

    def cumulate(self, node: Cumulate, inside: Node, order: Axes) -> str:
        x = segments_of(node)
        if x is not None and order == node.axes:
            name = self.printer.need("segment_sums_before" if node.exclusive else "segment_sums")
            return f"{name}({self.full(x, x.axes).text}, strict)"
        code, dim = self.full(inside, order), order.index(node.axis)
        if not node.exclusive:
            return f"tl.cumsum({code.text}, {dim}{', reverse=True' if node.reverse else ''})"
        if len(order) == 1:
            return f"{self.printer.need('sum_after' if node.reverse else 'sum_before')}({code.text}, r, DOT)"
        if dim != 0:
            return f"tl.trans({self.cumulate(node, inside, order[::-1])})"
        return f"{self.printer.need('sums_after' if node.reverse else 'sums_before')}({code.text}, r, DOT)"

    def mask(self, node: Mask, order: Axes) -> str:
        """The test `low` ≤ row − column, by the name that the kernel gives it."""
        name = "causal" if node.low == 0 else "strict"
        if node.low not in (0, 1):
            raise InternalError(f"no Triton for a mask from {node.low}")
        return name if order.index(node.row) == 0 else f"tl.trans({name})"


__all__ = ["PRODUCT", "TilePrinter", "block", "is_broadcast", "is_product", "place", "spans", "width"]
