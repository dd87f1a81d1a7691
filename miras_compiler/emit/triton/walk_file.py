"""The file of a walk: kernels.py where a rule has no other kernels, decode.py beside others."""

from __future__ import annotations

import re
from collections.abc import Mapping

from miras_compiler.derive import UpdateRule
from miras_compiler.derive.leaves import steps_of, window_gates, window_of
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.layer import import_line
from miras_compiler.emit.python_text import header, legend, mapping, signature
from miras_compiler.emit.template import fill
from miras_compiler.emit.torch.recurrent import read_row
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.kernels import keys, marked
from miras_compiler.emit.triton.memory import LOADERS, STORERS
from miras_compiler.emit.triton.tile import width
from miras_compiler.emit.triton.walk import WalkPrinter
from miras_compiler.ir.nodes import Axes
from miras_compiler.schedule.walk import Walk

MEMORY = (*LOADERS, *STORERS, "load_rows", "store_rows", "load_numbers", "store_numbers")
SUMMED = ("add_rows", "add_numbers")
TRIAL = 16  # tokens of a trial, where there is no grid of chunks


def emit_walk(rule: UpdateRule, walk: Walk, interface: Interface, operator: str, reason: str, adjoints: bool) -> str:
    """Text of the file, with the function `operator`; with `adjoints` also the reverse mode. `reason` says why it is walked."""
    spec, printer = rule.spec, TritonPrinter()
    printed = WalkPrinter(walk, printer)
    functions = printed.functions(adjoints)
    kernels = [printed.forward("walk_forward"), *([printed.backward("walk_backward")] if adjoints else ())]
    helpers = [code.strip() for code in printer.helpers.values()]
    text = "\n".join([*helpers, *functions, *kernels])
    tokens, parameters = ([argument.name for argument in each] for each in (interface.tokens, interface.parameters))
    frozen, window, steps, degree = spec.frozen_gradient, window_of(spec), steps_of(spec), bool(interface.derived)
    names = ["read_lengths", "read_state", *(["CHUNK"] if frozen else []), *(["WINDOW"] if window > 1 else [])]
    names += ["STEPS", "in_rows", read_row(spec)] if steps > 1 else []
    names += ["polynomial"] if degree else []
    words = set(re.findall(r"\w+", text))
    of_window = ["last_rows", "row_weights", "with_past", *sorted(words & set(SUMMED))] if window > 1 else []
    imports = [
        import_line(".contract", sorted(names, key=lambda name: (not name.isupper(), name))),
        import_line(".runtime_device_memory", sorted(words & set(MEMORY))),
        import_line(".runtime_walk", ["JUST_NUMBERS", "Walk", *sorted(of_window)]),
    ]
    if "PTX" in words:
        helpers.insert(0, "PTX = tl.constexpr(torch.version.hip is None and not triton.knobs.runtime.interpret)  # NVIDIA's instructions?")
    return marked(fill("walk.py", {
        "header": header(spec),
        "name": spec.name,
        "says": "Triton kernels, forward and backward." if adjoints else "a Triton kernel for a few tokens at a time, for inference.",
        "reason": reason,
        "imports": "\n".join(imports),
        "legend": legend(interface),
        "adjoints": adjoints,
        "frozen": frozen,
        "tile": "CHUNK" if frozen else TRIAL,
        "helpers": helpers,
        "functions": [*functions, *kernels],
        "tokens": table(walk.tokens),
        "windows": table({name: axes[1:] for name, axes in walk.windows.items()}),
        "parameters": table(walk.parameters),
        "states": table(walk.states),
        "kept": table(printed.kept) if adjoints else "{}",
        "window": window,
        "operator": operator,
        "signature": signature(interface),
        "tokens_dict": mapping(tokens, 13),
        "parameters_dict": mapping(parameters, 17),
        "weighs_itself": spec.attentional_bias.window == 1,
        "degree": degree,
        "features": keys([name.removesuffix("_features") for name in interface.derived if name in walk.tokens]),
        "steps": steps,
        "read_row": read_row(spec),
        "past": keys(["k", "v", *window_gates(spec)]),
    }))  # fmt: skip


def table(tensors: Mapping[str, Axes]) -> str:
    """{"q": "K", …}: the widths of tensors, as letters; W for the rows of a window."""
    rows = [f'"{name}": "{"".join("W" if axis == "j" else width(axis) for axis in axes)}"' for name, axes in tensors.items()]
    line = "{" + ", ".join(rows) + "}"
    return line if len(line) < 110 else "{" + "".join(f"\n        {row}," for row in rows) + "\n    }"
