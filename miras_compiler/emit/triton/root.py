"""The multiplier that gives a row its total, as a device function: bisection, then one Newton step."""

from __future__ import annotations

import sympy as sp

from miras_compiler.emit.printing.expression import Code, number
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.ir.build import ZETA, placeholder
from miras_compiler.ir.nodes import Axes, Root

FUNCTION = '''
@triton.jit
def {name}({parameters}, here):
    """The number zeta for which the entries that are `here` sum to {total}: bisection on sinh of the real line, then one Newton step."""
    high = {high}
    low = -high
    for _ in range(40):
        middle = 0.5 * (low + high)
        zeta = sinh(middle)
        below = {value} < {total}
        low = tl.where(below, low, middle)
        high = tl.where(below, middle, high)
    zeta = sinh(0.5 * (low + high))
    slope = {slope}
    zeta -= tl.where(slope < 0, ({value} - {total}) / slope, 0.0)
    return {squeezed}
'''


def define_root(node: Root, order: Axes, printer: TritonPrinter) -> str:
    """The name of the function, which takes the arguments of the node broadcast over `order`, and the mask of their entries."""
    printer.need("sinh")
    names = [f"x{i}" for i in range(len(node.args))]
    bound = {placeholder(i): Code(name, size=len(order)) for i, name in enumerate(names)} | {ZETA: Code("zeta", size=len(order))}
    dims = [order.index(axis) for axis in node.over]

    def summed(text: str) -> str:
        code = f"tl.where(here, {text}, 0.0)"
        for dim in dims:
            code = f"tl.sum({code}, {dim}, keep_dims=True)"
        return code

    squeezed = "zeta"
    for dim in sorted(dims, reverse=True):
        squeezed = f"tl.sum({squeezed}, {dim})"
    text = FUNCTION.format(
        name="{name}", parameters=", ".join(names), total=number(sp.Float(node.total)).text, high=f"40.0 + 0.0 * {summed('0.0')}",
        value=summed(printer.expression(node.expr, bound).text), slope=summed(printer.expression(sp.diff(node.expr, ZETA), bound).text),
        squeezed=squeezed,
    )  # fmt: skip
    for name, helper in printer.helpers.items():
        if helper == text.replace("{name}", name):
            return name
    name = f"multiplier{sum(each.startswith('multiplier') for each in printer.helpers) or ''}"
    printer.helpers[name] = text.replace("{name}", name)
    return name
