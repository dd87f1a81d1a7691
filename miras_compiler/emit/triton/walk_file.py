"""The file of a walk: kernels.py where a rule has no other kernels, decode.py beside others."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from miras_compiler.derive import UpdateRule
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.printing.operator_text import ON_GPU, operator_call, operator_head
from miras_compiler.emit.printing.python_text import WIDTH, header, import_line, indented, legend, quoted
from miras_compiler.emit.printing.template import fill
from miras_compiler.emit.triton.chunk_walk import ChunkWalkPrinter
from miras_compiler.emit.triton.device_functions import device_imports
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.kernels import marked
from miras_compiler.emit.triton.operation import braced, call, letters, tupled
from miras_compiler.emit.triton.options import rows_text
from miras_compiler.emit.triton.walk import WalkPrinter
from miras_compiler.gpus.launch_table import ANY, FULL, Launch, launches
from miras_compiler.ir.nodes import Axes
from miras_compiler.schedule.forms import forms_of
from miras_compiler.schedule.tile import tile_length
from miras_compiler.schedule.walk import Walk

WIDTHS = (16, 32, 64, 128)
FEW, SOME = 8192, 16384  # numbers that the registers of 4 warps hold, and of 8
AT_ONCE = (
    " But starts.py gives the state at the start of every chunk, and from there the chunks walk at once; sequences that go on within a"
    " chunk walk as a whole."
)
SEGMENT = 64  # tokens between two checkpoints: the root of a usual length, so that both kinds of memory are about as much


def emit_walk(rule: UpdateRule, walk: Walk, interface: Interface, why_no_tiles: str | None, starts: bool = False) -> str:
    """Text of the file.

    `why_no_tiles` says why there are no kernels over tiles; None where there are, and no reverse mode is needed. `starts`: whether there
    are some for the states that chunks begin with.
    """
    frame, printer, adjoints = rule.frame, TritonPrinter(), why_no_tiles is not None
    printed = ChunkWalkPrinter(walk, printer)
    functions = printed.functions(adjoints)
    kernels = [printed.forward("walk_forward"), *([printed.backward("walk_backward")] if adjoints else ())]
    kernels += [printed.chunk_forward("chunk_forward"), printed.chunk_backward("chunk_backward")] if starts else []
    functions = [*(code.strip() for code in printer.helpers.values()), *functions, *kernels]
    operators = "\n".join([*operator_rows(printed, rule.chunk.has_grid, adjoints), *(chunk_rows(printed) if starts else ())])
    copies = {"walk_forward": 1} | ({"walk_backward": 2} if adjoints else {})
    copies |= {"chunk_forward": 1, "chunk_backward": 2} if starts else {}
    options = {kernel: launch_rows(rule, walk, kernel, count) for kernel, count in copies.items()}
    used = [name for name in ("Kept", "Shares", "Sums") if f"{name}(" in operators]
    runner = "ChunkWalkKernels" if starts else "WalkKernels"
    imports = [
        import_line(".contract", ["CONTRACT"]),
        *([] if adjoints else [import_line(".kernels", ["TABLE"])]),
        *([import_line(".runtime_chunk_walk", ["ChunkWalkKernels"])] if starts else []),
        device_imports("\n".join(functions)),
        import_line(
            ".runtime_launch",
            [*(["ANY"] if "ANY" in "".join(options.values()) else []), "Buffer", "LaunchRow", *(["LaunchTable"] if adjoints else [])],
        ),
        *([import_line(".runtime_operator", ["Differentiable"])] if adjoints else []),
        import_line(".runtime_state", ["State"]),
        import_line(".runtime_walk", ["JUST_NUMBERS", *used, *(["WalkKernels"] if not starts else []), "WalkLauncher", "WalkOperator"]),
        *([import_line(".starts", ["operator as starts"])] if starts else []),
    ]
    return marked(fill("walk.py", {
        "header": header(frame),
        "name": frame.name,
        "digest": frame.digest,
        "says": "Triton kernels, forward and backward." if adjoints else "a Triton kernel for a few tokens at a time, for inference.",
        "reason": textwrap.fill(
            f"There are none over tiles of tokens, because {why_no_tiles}.{AT_ONCE if starts else ''}"
            if adjoints
            else "Kernels over tiles do the rest.",
            WIDTH,
        ),
        "imports": "\n".join(imports),
        "legend": legend(interface),
        "adjoints": adjoints,
        "tile": SEGMENT,
        "options": options,
        "runner": runner,
        "starts": starts,
        "functions": functions,
        "operators": operators,
        "entries": indented("entries=(", [f'"{name}"' for name in walk.states], ",)," if len(walk.states) == 1 else "),"),
        "arguments": indented("arguments=(", [f'"{name}"' for name in printed.inputs], "),"),
        "head": operator_head(f"triton_{'chunk' if adjoints else 'recurrent'}_{frame.name}", interface, ON_GPU),
        "call": operator_call("_run", interface.groups, ON_GPU),
    }))  # fmt: skip


def launch_rows(rule: UpdateRule, walk: Walk, kernel: str, copies: int) -> str:
    """The rows of the launch table; where nothing was measured, as many warps as hold so many copies of the state in registers."""
    numbers = {width: copies * sum(width ** len(axes) for axes in walk.states.values()) for width in WIDTHS}
    warps = {width: 4 if number <= FEW else 8 if number <= SOME else 16 for width, number in numbers.items()}
    default = {width: Launch(count, 1, 64, FULL) for width, count in warps.items()}
    found = launches(kernel, forms_of(rule), tile_length(rule), default=default | {ANY: Launch(16, 1, 64, FULL)})
    wider = [*list(found.values())[1:], None]
    return rows_text({width: launch for (width, launch), next_launch in zip(found.items(), wider, strict=True) if launch != next_launch})


def operator_rows(printed: WalkPrinter, has_grid: bool, adjoints: bool) -> list[str]:
    """The launches of the kernels, and their operators."""
    walk = printed.walk
    states, like = walk.states, like_tokens(walk)
    inputs, gradients = tensors(printed, walk.windows, states)
    makes = {"o": f'Buffer("rows", "V", like="{like}")'}
    makes |= {f"{name}_next": f'Buffer("sequences", "{letters(axes)}")' for name, axes in states.items()}
    checkpoints = {f"{name}_checkpoint": axes for name, axes in states.items()}
    saved = {name: f'Buffer("slots", "{letters(axes)}")' for name, axes in checkpoints.items()}
    sizes = sizes_text(printed, has_grid)
    rows = [
        launch("walk_forward", sizes, {**makes, **saved}),
        operator("forward", inputs, [*makes, *saved], "walk_forward", like),
    ]
    if not adjoints:
        return rows
    kept = {name: f'Kept("kept", "{letters(axes)}")' for name, axes in walk.kept.items()}
    given = {name: axes for name, axes in inputs.items() if name not in states}
    given |= {name: f"SH{letters(axes)}" for name, axes in checkpoints.items()}
    given |= {"d_o": "BTHV"} | {f"d_{name}_next": f"BH{letters(axes)}" for name, axes in states.items()}
    return [
        *rows,
        launch("walk_backward", sizes, {**gradients, **kept}),
        operator("backward", given, list(gradients), "walk_backward", like),
    ]


def chunk_rows(printed: ChunkWalkPrinter) -> list[str]:
    """The launches of the kernels for chunks, and their operators."""
    like = like_tokens(printed.walk)
    inputs, gradients = tensors(printed, {}, printed.given)
    kept = {name: f'Kept("kept", "{letters(axes)}")' for name, axes in printed.kept.items()}
    sizes = sizes_text(printed, has_grid=True)
    return [
        launch("chunk_forward", sizes, {"o": f'Buffer("rows", "V", like="{like}")'}),
        operator("of_chunks", inputs, ["o"], "chunk_forward", like, "CONTRACT.chunk"),
        launch("chunk_backward", sizes, {**gradients, **kept}),
        operator("of_chunks_backward", {**inputs, "d_o": "BTHV"}, list(gradients), "chunk_backward", like, "CONTRACT.chunk"),
    ]


def like_tokens(walk: Walk) -> str:
    """The input whose shape and type are those of the tokens."""
    return "q" if "q" in walk.tokens else "q_features"


def tensors(printed: WalkPrinter, windows: Mapping[str, Axes], states: Mapping[str, Axes]) -> tuple[dict[str, str], dict[str, str]]:
    """The layouts of the tensors that a walk reads, and the buffers of their gradients: tokens, `windows`, parameters and `states`."""
    tokens, parameters = printed.walk.tokens, printed.walk.parameters
    inputs = {
        **{name: f"BTH{row_letters(axes)}" for name, axes in tokens.items()},
        **{name: f"PH{letters(axes[1:])}" for name, axes in windows.items()},
        **{name: f"H{letters(axes)}" for name, axes in parameters.items()},
        **{name: f"BH{letters(axes)}" for name, axes in states.items()},
    }
    kinds = {name: "Shares" if printed.is_shared(name) else "Buffer" for name in tokens}
    gradients = {
        **{name: f'{kinds[name]}("rows", "{row_letters(axes)}", like="{name}")' for name, axes in tokens.items()},
        **{name: f'Sums("sums", "{letters(axes[1:])}", like="{name}")' for name, axes in windows.items()},
        **{name: f'Buffer("sequences", "{letters(axes)}")' for name, axes in {**parameters, **states}.items()},
    }
    return inputs, {f"d_{name}": buffer for name, buffer in gradients.items()}


def sizes_text(printed: WalkPrinter, has_grid: bool) -> str:
    """The arguments of a launch that say how long the axes are, and how a state fits."""
    walk = printed.walk
    sizes = f'walks=True, widths="{"".join(printed.widths)}"'
    sizes += ", chunk=CONTRACT.chunk" if has_grid else ""
    sizes += f", window={walk.window}" if walk.window > 1 else ""
    sizes += f', split="{letters((walk.split,))}"' if walk.split else ""
    return f"{sizes}, states={quoted(list(map(letters, walk.states.values())))}"


def launch(kernel: str, sizes: str, makes: dict[str, str]) -> str:
    items = [f'"{name}": {buffer}' for name, buffer in makes.items()]
    return call(f"launch_{kernel} = WalkLauncher(", f'TABLE, {kernel}, "{kernel}", {sizes}', {"makes": braced(items)})


def operator(name: str, inputs: dict[str, str], results: list[str], kernel: str, like: str, segment: str = "") -> str:
    return call(f"{name} = WalkOperator(", f'TABLE, "{kernel}"', {
        "inputs": braced([f'"{each}": "{axes}"' for each, axes in inputs.items()]),
        "results": tupled([f'"{each}"' for each in results]),
        "launches": tupled([f"launch_{kernel}"]),
        **({"segment": [segment, ""]} if segment else {}),
        **({} if like == "q" else {"like": [f'"{like}"', ""]}),
    })  # fmt: skip


def row_letters(axes: Axes) -> str:
    """The widths of a token's row; W for the rows of its window."""
    return "".join("W" if axis == "j" else letters((axis,)) for axis in axes)
