"""A user's formula as Python's own syntax tree, in which two logarithms that a float has, but their arguments leave, have names."""

from __future__ import annotations

import ast
from functools import cache


@cache
def formula_tree(text: str) -> ast.expr:
    tree: ast.expr = _Logarithms().visit(ast.parse(text.strip(), mode="eval").body)
    return tree


class _Logarithms(ast.NodeTransformer):
    """log(cosh(x)) and log(1 + exp(x)) are about |x| and x: numbers where cosh(x) and exp(x) are too large to be some."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id="log"), args=[ast.Call(func=ast.Name(id="cosh"), args=[x])]):
                return _call("log_cosh", x)
            case ast.Call(
                func=ast.Name(id="log"),
                args=[
                    ast.BinOp(left=ast.Constant(value=1), op=ast.Add(), right=ast.Call(func=ast.Name(id="exp"), args=[x]))
                    | ast.BinOp(left=ast.Call(func=ast.Name(id="exp"), args=[x]), op=ast.Add(), right=ast.Constant(value=1))
                ],
            ):
                return _call("softplus", x)
        return node


def _call(name: str, x: ast.expr) -> ast.Call:
    return ast.Call(func=ast.Name(id=name), args=[x], keywords=[])
