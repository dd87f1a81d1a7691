"""ops.py of a package: its operators, and which form of them runs where."""

from __future__ import annotations

import textwrap

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface, state_remark
from miras_compiler.emit.printing.python_text import arguments, bracketed, header, indented, signature
from miras_compiler.emit.printing.template import fill


def emit_ops(rule: Rule, interface: Interface, decodes: bool) -> str:
    """Text of ops.py. `decodes`: whether the package has decode.py."""
    described = [f"{a.name} [{', '.join(a.axes)}]: {a.role}, {a.domain}" for a in interface.inputs]
    state = ", ".join(f"{entry.name} [{', '.join(entry.axes)}]" for entry in interface.state)
    state_lines = textwrap.wrap(f"State: {state}.", 130)
    remark = textwrap.wrap(state_remark(rule), 130)
    docs = "\n".join([*described, *state_lines, *remark, "Returns the outputs [B, T, H, V] and, if asked for, the final state."])
    options = ["initial_state", "output_final_state", "cu_seqlens", "backend"]
    return fill("ops.py", {
        "header": header(rule.spec), "name": rule.spec.name, "signature": signature(interface), "docs": docs,
        "dispatch": "\n".join(dispatch(rule, decodes)),
        "chunk_call": indented("return _OPERATORS.chunk(", arguments(interface, options), ")"),
        "recurrent_call": indented("return _OPERATORS.recurrent(", arguments(interface, options), ")"),
    })  # fmt: skip


def dispatch(rule: Rule, decodes: bool) -> list[str]:
    """The imports of the runtime and of the kernels, and the table of forms."""
    name = rule.spec.name
    forms = [f'"{name}"', "CONTRACT", f"torch_chunk_{name}", f"naive_recurrent_{name}"]
    loop = [f"triton_recurrent_{name}"] if decodes else []
    return [
        "from .runtime_dispatch import Dispatch, Kernels",
        "from .runtime_triton import HAS_TRITON, WHY_NO_TRITON",
        "",
        "_KERNELS = None",
        "if HAS_TRITON:",
        *([f"    from .decode import triton_recurrent_{name}"] if decodes else []),
        f"    from .kernels import TILE, triton_chunk_{name}",
        "",
        indented("_KERNELS = Kernels(", [f"triton_chunk_{name}", "TILE", *loop], ")"),
        bracketed("_OPERATORS = Dispatch(", [*forms, "_KERNELS", "WHY_NO_TRITON"], ")", 0),
    ]
