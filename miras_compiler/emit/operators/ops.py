"""ops.py of a package: its operators, and which form of them runs where."""

from __future__ import annotations

import textwrap

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface, state_remark
from miras_compiler.emit.printing.operator_text import operator_call, operator_head
from miras_compiler.emit.printing.python_text import bracketed, header, indented
from miras_compiler.emit.printing.template import fill


def emit_ops(rule: Rule, interface: Interface, decodes: bool) -> str:
    """Text of ops.py. `decodes`: whether the package has decode.py."""
    described = [f"{a.name} [{', '.join(a.axes)}]: {a.role}, {a.domain}" for a in interface.inputs]
    state = ", ".join(f"{entry.name} [{', '.join(entry.axes)}]" for entry in interface.state)
    state_lines = textwrap.wrap(f"State: {state}.", 130)
    remark = textwrap.wrap(state_remark(rule), 130)
    docs = "\n".join([*described, *state_lines, *remark, "Returns the outputs [B, T, H, V] and, if asked for, the final state."])
    names = [argument.name for argument in interface.inputs]
    return fill("ops.py", {
        "header": header(rule.frame), "name": rule.frame.name, "docs": docs, "dispatch": "\n".join(dispatch(rule, decodes)),
        "chunk_head": operator_head(f"chunk_{rule.frame.name}", interface),
        "chunk_call": operator_call("_OPERATORS.chunk", [names]),
        "recurrent_head": operator_head(f"fused_recurrent_{rule.frame.name}", interface),
        "recurrent_call": operator_call("_OPERATORS.recurrent", [names]),
    })  # fmt: skip


def dispatch(rule: Rule, decodes: bool) -> list[str]:
    """The imports of the runtime and of the kernels, and the table of forms."""
    name = rule.frame.name
    forms = [f'"{name}"', "CONTRACT", f"torch_chunk_{name}", f"naive_recurrent_{name}"]
    loop = [f"triton_recurrent_{name}"] if decodes else []
    return [
        "from .runtime_dispatch import Dispatch, Kernels",
        "from .runtime_state import State",
        "from .runtime_triton import HAS_TRITON, WHY_NO_TRITON",
        "",
        bracketed("_OPERATORS = Dispatch(", [*forms, "WHY_NO_TRITON"], ")", 0),
        "if HAS_TRITON:",
        *([f"    from .decode import triton_recurrent_{name}"] if decodes else []),
        f"    from .kernels import TILE, triton_chunk_{name}",
        "",
        indented("_OPERATORS.kernels = Kernels(", [f"triton_chunk_{name}", "TILE", *loop], ")"),
    ]
