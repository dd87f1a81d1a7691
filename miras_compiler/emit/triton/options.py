"""How kernels are launched: the table that measurements on a GPU filled, keyed by the memory's shape, the kernel and the largest width.

A row is (width up to which it holds, warps, stages, block of the split width, registers). Every row was checked against float64 on an
H100 (Triton 3.6) before it entered. Some that look as good die with an illegal access or give wrong results there: 32 columns of a
split value axis with 4 warps, and 8 warps on 64×32 results.
"""

from __future__ import annotations

from miras_compiler.ir.traverse import nodes_of
from miras_compiler.schedule.kernel import Kernel

Row = tuple[int, int, int, int, int]
ANY = 1 << 30
FULL = 255
DEFAULT: tuple[Row, ...] = ((64, 4, 1, 64, FULL), (ANY, 8, 1, 64, FULL))
H100: dict[tuple[str, str], tuple[Row, ...]] = {
    ("matrix", "prep"): ((64, 4, 1, 64, 168), (ANY, 8, 1, 64, FULL)),
    ("matrix", "main"): ((64, 4, 2, 64, FULL), (ANY, 8, 1, 64, FULL)),
    ("matrix", "seq"): ((64, 4, 2, 64, FULL), (ANY, 8, 1, 64, FULL)),
    ("deep", "read"): ((64, 4, 1, 64, FULL), (ANY, 8, 1, 64, FULL)),
    ("deep", "seq"): ((ANY, 8, 1, 64, FULL),),
}


def launch_options(kernel: Kernel) -> tuple[Row, ...]:
    """The rows of a kernel, narrow widths first."""
    deep = any(axis.startswith("n") for node in nodes_of(kernel.program) for axis in node.axes)
    return H100.get(("deep" if deep else "matrix", kernel.name.removeprefix("resume_")), DEFAULT)
