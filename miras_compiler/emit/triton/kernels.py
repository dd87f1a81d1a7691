"""kernels.py: the schedules of a chunk program as Triton functions, and the operators around them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.printing.python_text import WIDTH, header, legend, mapping, quoted, signature
from miras_compiler.emit.printing.template import fill
from miras_compiler.emit.triton.device_functions import device_imports
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.operation import Operation
from miras_compiler.emit.triton.options import launch_options
from miras_compiler.emit.triton.staged import make_printers
from miras_compiler.passes.enter import START
from miras_compiler.schedule import Schedule
from miras_compiler.schedule.tile import BLOCK, tile_length
from miras_compiler.spec import digest


def emit_kernels(rule: Rule, schedules: Mapping[str, Schedule], interface: Interface) -> str:
    """Text of kernels.py."""
    spec = rule.spec
    names = {argument.leaf: argument.axes for argument in interface.tokens}, {each.name: each.axes for each in interface.parameters}
    operations = [Operation(schedule, *names, prefix) for prefix, schedule in schedules.items()]
    printer = TritonPrinter()
    variants = [(each, make_printers(kernel, printer)) for each in operations for kernel in each.schedule.kernels]
    printed = [each for _, kernel in variants for each in kernel]
    functions = [each.text() for each in printed]
    functions = [*map(str.strip, printer.helpers.values()), *functions]
    main = operations[0]
    return marked(fill("kernels.py", {
        "header": header(spec),
        "name": spec.name,
        "digest": digest(spec),
        "reason": main.schedule.reason,
        "legend": legend(interface),
        "frozen": rule.chunk.frozen,
        "tile": tile_length(rule),
        "least": 64 if any(axis.startswith("n") for each in printed for axis in each.axes) else 16,
        "block": BLOCK,
        "options": launch_options(rule, [kernel for _, kernel in variants]),
        "functions": functions,
        "imports": device_imports("\n".join(functions)),
        "launches": [operation.launch(kernel) for operation, kernel in variants],
        "operators": [operation.rows() for operation in operations],
        "carried": quoted(main.carried),
        "starts": quoted([f"{name}{START}" for name in main.last]),
        "signature": signature(interface),
        "tokens_dict": mapping([argument.name for argument in interface.tokens], 8),
        "parameters_dict": mapping([argument.name for argument in interface.parameters], 8),
    }))  # fmt: skip


STATEMENT = re.compile(r"\s*(return|\w+ \+?=) ")


def marked(text: str) -> str:
    """Lines of one long formula say that they are meant to be."""
    return "".join(map(_marked, text.splitlines(keepends=True)))


def _marked(line: str) -> str:
    if len(line) <= WIDTH + 1:
        return line
    return line.rstrip("\n") + ("  # noqa: E501  # fmt: skip\n" if STATEMENT.match(line) else "  # noqa: E501\n")
