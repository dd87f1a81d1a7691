"""Loads and stores of a kernel, as code: where each of its leaves comes from and each of its outputs goes."""

from __future__ import annotations

from miras_compiler.emit.triton.layout import block, place
from miras_compiler.emit.triton.tile import width
from miras_compiler.ir.nodes import PAST, TOKEN_AXES, Axes, Leaf, Node, Start
from miras_compiler.schedule.kernel import Kernel

OF_SEQUENCE, OF_TILE, OF_OWN = "n * H + h", "index * H + h", "own * H + h"
ZERO = "zero"  # an opaque 0, added to the rows of a tile: otherwise its addresses, less the number of the tile, are kept in registers
WEIGHTS = {"s": "band", PAST: "past"}  # of the windows of tokens, by the axis of the rows that are weighed
LOADERS = ("load_number", "load_row", "load_tile")  # by the number of axes
STORERS = ("store_number", "store_row", "store_tile")


class TileMemory:
    """The tensors of a kernel. Those `in_place` are carried tiles that stay in the tensor of the result."""

    def __init__(self, kernel: Kernel, in_place: frozenset[str] = frozenset()) -> None:
        self.kernel = kernel
        self.in_place = in_place
        self.moved = False  # whether code adds ZERO to the rows of a tile

    def at_tile(self, name: str) -> str:
        """The number of a tile in a buffer with one for each tile of tokens."""
        return OF_OWN if name in self.kernel.own else OF_TILE

    def is_narrow(self, leaf: Leaf) -> bool:
        """True if a leaf is loaded as it is stored: rows of tokens, and tiles that were saved."""
        return len(leaf.axes) == 2 and self.kernel.roles[leaf.name] in ("token", "saved", "held")

    def load_leaf(self, leaf: Leaf | Start) -> str:
        """The load of a leaf, for every role."""
        if isinstance(leaf, Start):
            return load_call(leaf.name, leaf.axes, OF_SEQUENCE, widened=False)
        role = self.kernel.roles[leaf.name]
        if role == "token":
            return self.load_token(leaf.name, leaf)
        if role == "mask":
            return self.mask(leaf.name)
        name = result_name(leaf.name, self.kernel) if leaf.name in self.in_place else leaf.name
        return self.load(name, leaf, {"saved": self.at_tile(name), "parameter": "h"}.get(role, OF_SEQUENCE))

    def mask(self, name: str) -> str:
        """The test of which tokens are there, or of which rows belong to earlier tokens, as numbers."""
        window = self.kernel.window
        if name == "earlier":
            return f"tl.where((r // {window})[:, None] > (r // {window})[None, :], 1.0, 0.0)"
        last = f" & (r % {window} == {window - 1})" if window > 1 else ""
        return f"tl.where(here{last}, 1.0, 0.0)"

    def load_token(self, name: str, leaf: Leaf) -> str:
        if len(leaf.axes) == 1:
            return f"load_numbers({name}_ptr, at_row, row, here)"
        axis = leaf.axes[1]
        if axis in WEIGHTS:
            return f"load_{WEIGHTS[axis]}({name}_ptr, at_row, row, here, {weights_of(axis)})"
        return f"load_rows({name}_ptr, at_row, row, here, {place(axis)}, {width(axis)})"

    def store_token(self, name: str, node: Node, code: str) -> str:
        pointer = f"{result_name(name, self.kernel)}_ptr"
        if len(node.axes) == 1:
            return f"store_numbers({pointer}, at_row, row, here, {code})"
        axis = node.axes[1]
        if axis in WEIGHTS:
            return f"store_{WEIGHTS[axis]}({pointer}, at_row, row, here, {weights_of(axis)}, {code})"
        return f"store_rows({pointer}, at_row, row, here, {place(axis)}, {width(axis)}, {code})"

    def load(self, name: str, leaf: Node, index: str) -> str:
        widened = self.kernel.roles.get(name) not in ("saved", "held")
        return load_call(name, leaf.axes, index, widened=widened, moved=self.moves(index, leaf.axes))

    def store(self, name: str, axes: Axes, code: str, index: str) -> str:
        return store_call(name, axes, code, index, moved=self.moves(index, axes))

    def moves(self, index: str, axes: Axes) -> bool:
        """True if a walk is at another tile of two axes every time, and its code so adds ZERO."""
        moved = self.kernel.walk != "each" and index in (OF_TILE, OF_OWN) and len(axes) == 2
        self.moved = self.moved or moved
        return moved

    def store_output(self, name: str, output: Node, code: str) -> str:
        """The call that stores an output."""
        result = self.kernel.results[name]
        if result == "token":
            return self.store_token(name, output, code)
        index = {"carried": OF_SEQUENCE, "start": OF_SEQUENCE, "total": OF_TILE}.get(result, self.at_tile(name))
        return self.store(result_name(name, self.kernel), output.axes, code, index)


def weights_of(axis: str) -> str:
    """The rows of the weights of windows: the tile's own, or those before its first token here; and the number of the latter."""
    return f"{place(axis)}, {width(PAST)}" if axis in TOKEN_AXES else f"r, first - t, {place(axis)}, {width(axis)}"


def last_name(name: str) -> str:
    """The argument for a state as the last tile finds it."""
    return f"{name}_last"


def result_name(name: str, kernel: Kernel) -> str:
    """The name of an output among the arguments: a leaf may have its name already."""
    return f"{name}_next" if name in kernel.roles else name


def load_call(name: str, axes: Axes, index: str, *, widened: bool, moved: bool = False) -> str:
    """The code that loads tile number `index` of a tensor; a tile of two axes in its own type, or `widened` to float32."""
    code = f"{LOADERS[len(axes)]}({name}_ptr, {index}{places(axes, moved)})"
    return f"{code}.to(tl.float32)" if widened and len(axes) == 2 else code


def store_call(name: str, axes: Axes, code: str, index: str, *, moved: bool = False) -> str:
    return f"{STORERS[len(axes)]}({name}_ptr, {index}{places(axes, moved)}, {code})"


def places(axes: Axes, moved: bool = False) -> str:
    """The counters and lengths of one or two axes."""
    rows = f" + {ZERO}" if moved else ""
    return "".join(f", {place(axis)}{rows if axis == axes[0] else ''}" for axis in axes) + "".join(f", {width(axis)}" for axis in axes)


def shape(axes: Axes) -> str:
    return f"[{', '.join(map(block, axes))}]"
