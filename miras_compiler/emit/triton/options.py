"""How the kernels of a package are launched: the rows of the launch table, as code."""

from __future__ import annotations

from collections.abc import Sequence

from miras_compiler.gpus.launch_table import forms_of, launches
from miras_compiler.schedule.kernel import Kernel
from miras_compiler.schedule.tile import tile_length
from miras_compiler.spec import Spec


def launch_options(spec: Spec, kernels: Sequence[Kernel]) -> str:
    """Per kernel: largest width, warps, stages, block and registers, narrow widths first."""
    found = {kernel.name: launches(kernel.name.removeprefix("resume_"), forms_of(spec), tile_length(spec)) for kernel in kernels}
    rows = {name: tuple((width, *launch) for width, launch in each.items()) for name, each in found.items()}
    return "{\n" + "\n".join(f'    "{name}": {row},' for name, row in rows.items()) + "\n}"
