"""kernels.py, or starts.py: the schedule of a chunk program as Triton functions, and the operators around them."""

from __future__ import annotations

import re
import textwrap

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.printing.operator_text import ON_GPU, operator_call, operator_head
from miras_compiler.emit.printing.python_text import WIDTH, header, legend, quoted
from miras_compiler.emit.printing.template import fill
from miras_compiler.emit.triton.device_functions import device_imports
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.operation import Operation, letters
from miras_compiler.emit.triton.options import launch_options
from miras_compiler.emit.triton.staged import make_printers
from miras_compiler.ir.traverse import leaves_of
from miras_compiler.passes.separate import OWN_WEIGHTS, PAST_WEIGHTS
from miras_compiler.schedule import Schedule
from miras_compiler.schedule.tile import padded, tile_in_words, tile_length

PROGRAM = (
    "One program runs one head of one sequence over tiles of {}. Rows along the first axis, columns along the second; every width is padded"
    " to a power of two. `n` is the sequence, `h` the head, `i` the tile, `r` the row in it, `t` its token, `here` whether that exists."
)


def emit_kernels(rule: Rule, schedule: Schedule, interface: Interface) -> str:
    """Text of kernels.py, of a schedule that gives the outputs of tokens; of starts.py, of one that gives the states of chunks alone."""
    frame, is_whole = rule.frame, any("o" in kernel.results for kernel in schedule.forward)
    read = {leaf.name: leaf.axes for kernel in schedule.kernels for leaf in leaves_of(kernel.program)}
    takes_all = is_whole and not interface.derived and not rule.update.waits
    arguments = [argument for argument in interface.tokens if takes_all or argument.leaf in read]
    tokens = {argument.leaf: argument.axes.replace("R", "T").rstrip("W") for argument in arguments}  # a row is a token here
    derived = [name for name in interface.derived if name in read]
    tokens |= {name: f"BTH{letters(read[name][1:])}" for name in [*(argument.leaf for argument in arguments if derived), *derived]}
    if OWN_WEIGHTS in read:
        tokens = {name: axes for name, axes in tokens.items() if name in read} | dict.fromkeys((OWN_WEIGHTS, PAST_WEIGHTS), "BTHW")
    parameters = {each.name: each.axes for each in interface.parameters if takes_all or each.name in read}
    operation = Operation(schedule, tokens, parameters)
    printer = TritonPrinter(pads_rows=padded(tile_length(rule)) > tile_length(rule))
    variants = [make_printers(kernel, printer) for kernel in schedule.kernels]
    printed = [each for kernel in variants for each in kernel]
    functions = [each.text() for each in printed]
    functions = [*map(str.strip, printer.helpers.values()), *functions]
    return marked(fill("kernels.py", {
        "header": header(frame),
        "name": frame.name,
        "digest": frame.digest,
        "reason": schedule.reason,
        "is_whole": is_whole,
        "legend": legend(interface),
        "has_grid": rule.chunk.has_grid and not rule.update.waits,
        "waits": rule.update.waits,
        "tile": tile_length(rule),
        "program": textwrap.fill(PROGRAM.format(tile_in_words(rule)), WIDTH),
        "least": 64 if any(axis.startswith("n") for each in printed for axis in each.axes) else 16,
        "options": launch_options(rule, variants),
        "functions": functions,
        "imports": device_imports("\n".join(functions)),
        "launches": [operation.launch(kernel) for kernel in variants],
        "operators": operation.rows(),
        "carried": quoted(operation.carried),
        "starts": "{" + ", ".join(f'"{name}": "{axes}"' for name, axes in operation.starts.items()) + "}",
        "path": rule.chunk.path,
        "head": operator_head(f"triton_chunk_{frame.name}", interface, ON_GPU),
        "call": operator_call("_run", interface.groups, ON_GPU),
    }))  # fmt: skip


STATEMENT = re.compile(r"\s*(return |\w+ \+?= |store_\w+\()")


def marked(text: str) -> str:
    """Lines of one long formula say that they are meant to be."""
    return "".join(map(_marked, text.splitlines(keepends=True)))


def _marked(line: str) -> str:
    if len(line) <= WIDTH + 1:
        return line
    return line.rstrip("\n") + ("  # noqa: E501  # fmt: skip\n" if STATEMENT.match(line) else "  # noqa: E501\n")
