"""Texts that a formula refuses, quickly."""

from __future__ import annotations

from typing import Any

HOSTILE: dict[str, Any] = {
    "import": "__import__('os').system('touch pwned')",
    "attribute": "u.__class__",
    "item": "u[0]",
    "lambda": "(lambda: 1)()",
    "long": "u+" * 5_000_000 + "u",
    "parentheses": "(" * 10_000 + "u" + ")" * 10_000,
    "brackets": "[" * 10_000,
    "signs": "-" * 900 + "u",
    "many": "+".join(["u"] * 2000),
    "tower": "9**9**9",
    "tower of a name": "((((u**64)**64)**64)**64)**64",
    "large factor": "(1e18*u)**64",
    "large product": "u" + "*1e30" * 400,
    "large quotient": "u" + "/1e30" * 400,
    "exponentials": "exp(exp(exp(99)))",
    "powers by logarithms": "exp(3*log(" * 15 + "u" + "))" * 15,
    "deep functions": "norm(" * 60 + "u" + "+v)" * 60,
    "long number": "9" * 200_000,
}
