"""An entry of the state that a rule carries from call to call."""

from __future__ import annotations

from typing import Literal, NamedTuple

from miras_compiler.elements.memory import Weight
from miras_compiler.ir.nodes import Axes
from miras_compiler.spec import Spec


class Entry(NamedTuple):
    """A tensor of the state. `axes` are the letters that users see, `tile` the axes of one head in a program.

    `B` sequences, `H` heads, `K` keys, `F` features of keys, `N` (`N1`, …) hidden, `V` values, `L` the tokens of a window before the last.
    An entry goes from token to token, or only from call to call: positions, and the tokens of a window.
    """

    name: str
    axes: str
    tile: Axes = ()
    goes: Literal["by token", "by call"] = "by token"
    integer: bool = False  # int64; all others are float32, or float64 in a computation in float64
    of: str = ""  # the weight that an entry is a copy of where a state does not have it; all others are 0 then


def per_weight(spec: Spec, suffix: str, *, goes: Literal["by token", "by call"] = "by token", copies: bool = False) -> list[Entry]:
    """An entry like each weight of the memory, named after it; `copies`: without one it is the weight."""
    return [
        Entry(f"{weight.name}{suffix}", f"BH{_letters(spec, weight)}", weight.axes, goes, of=weight.name if copies else "")
        for weight in spec.memory.weights()
    ]


def row_letter(spec: Spec) -> str:
    """The letter of the rows of a first weight: features where they are wider than keys."""
    return "K" if spec.feature_dim == spec.key_dim else "F"


def _letters(spec: Spec, weight: Weight) -> str:
    return "".join(row_letter(spec) if axis == "k" else axis[0].upper() for axis in weight.axes)
