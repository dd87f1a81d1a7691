"""kernels.py: the schedules of a chunk program as Triton functions, and the operators around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from miras_compiler.emit.interface import Interface
from miras_compiler.emit.python_text import WIDTH, header, legend, mapping, signature
from miras_compiler.emit.template import fill
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.kernel import KernelPrinter
from miras_compiler.emit.triton.memory import last_name
from miras_compiler.emit.triton.operation import Operation
from miras_compiler.emit.triton.options import launch_options
from miras_compiler.emit.triton.staged import make_printers
from miras_compiler.emit.triton.tile import width
from miras_compiler.schedule import Schedule
from miras_compiler.schedule.entered import START
from miras_compiler.schedule.tile import BLOCK, tile_length
from miras_compiler.spec import Spec


def emit_kernels(spec: Spec, schedules: Mapping[str, Schedule], interface: Interface) -> str:
    """Text of kernels.py."""
    frozen = spec.frozen_gradient
    names = tuple(argument.name for argument in interface.tokens), tuple(argument.name for argument in interface.parameters)
    operations = [Operation(schedule, *names, prefix) for prefix, schedule in schedules.items()]
    printer = TritonPrinter()
    variants = [make_printers(kernel, printer) for operation in operations for kernel in operation.schedule.kernels]
    printed = [each for kernel in variants for each in kernel]
    texts = [each.text() for each in printed]
    main = operations[0]
    last = set(main.last)
    text = fill("kernels.py", {
        "header": header(spec),
        "name": spec.name,
        "reason": main.schedule.reason,
        "legend": legend(interface),
        "frozen": frozen,
        "tile": tile_length(spec),
        "least": 64 if any(axis.startswith("n") for each in printed for axis in each.axes) else 16,
        "block": BLOCK,
        "blocked": any(each.blocked for each in printed),
        "options": launch_options(spec, variants),
        "kernels": texts,
        "launches": [launch(kernel) for kernel in variants],
        "helpers": "".join(f"\n\n\n{helper.strip()}" for helper in printer.helpers.values()),
        "ops": [operation.holes() for operation in operations],
        "signature": signature(interface),
        "tokens_dict": mapping(names[0], 13),
        "parameters_dict": mapping(names[1], 17),
        "carried": ", ".join(main.carried),
        "carried_target": target(main.carried),
        "carried_keys": keys(main.carried),
        "carried_count": len(main.carried),
        "starts": ", ".join(f"{name}{START}" for name in main.last),
        "starts_target": target([f"{name}{START}" for name in main.last]),
        "start_keys": keys([f"{name}{START}" for name in main.last]),
        "returned_states": ", ".join(main.visible[1:]),
        "returned_count": len(main.visible) - 1,
        "state_dict": "{" + ", ".join(f'"{name}": {name}_next' for name in main.carried) + "}",
        "of_sequence": ", ".join((":", *["None"] * (1 + main.carried_axes))),
        "frozen_state": [(n, f"{n}_next", f"{n}{START}" if n in last else "", last_name(n) if n in last else "") for n in main.carried],
    })  # fmt: skip
    return marked(text)


def marked(text: str) -> str:
    """Lines of one long formula say that they are meant to be."""
    return "".join(map(_marked, text.splitlines(keepends=True)))


def _marked(line: str) -> str:
    if len(line) <= WIDTH + 1:
        return line
    return line.rstrip("\n") + ("  # noqa: E501  # fmt: skip\n" if line.lstrip().startswith("return ") else "  # noqa: E501\n")


def launch(variants: Sequence[KernelPrinter]) -> str:
    """The launch of a kernel, of which there may be a variant for wide memories."""
    printed, kernel = variants[0], variants[0].kernel
    options = f', split="{width(printed.split)}"' if printed.split else ""
    options += f', blocked="{width(variants[-1].blocked)}"' if variants[-1].blocked else ""
    options += f", wide={kernel.name}{variants[-1].suffix}" if len(variants) > 1 else ""
    return (
        f'launch_{kernel.name} = Launch({kernel.name}, "{kernel.name}", walks={printed.walks}, widths="{"".join(printed.widths)}"{options})'
    )


def target(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) > 1 else f"({''.join(names)},)"


def keys(names: Sequence[str]) -> str:
    return "(" + ", ".join(f'"{name}"' for name in names) + ("," if len(names) == 1 else "") + ")"
