"""recurrent.py: the rule as a loop over tokens, and the trace."""

from __future__ import annotations

from miras_compiler.derive import UpdateRule
from miras_compiler.derive.leaves import steps_of
from miras_compiler.derive.update_rule import SECTIONS
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.python_text import header, helper_text, read_arguments, signature, step_signature
from miras_compiler.emit.template import fill
from miras_compiler.emit.torch.body import print_body
from miras_compiler.spec import Spec

MEASURES = ("loss", "error", "surprise", "state")


def emit_recurrent(rule: UpdateRule, interface: Interface, chunked: bool) -> str:
    """Text of recurrent.py. `chunked`: the function has a grid of chunks."""
    spec = rule.spec
    entries = [entry.name for entry in interface.state if entry.name != "position"]
    parameters = [argument.name for argument in interface.parameters if argument.name != "feature_coefficients"]
    leaves = [*(argument.name for argument in interface.tokens), *interface.derived, *parameters, *entries]
    next_state = [name for name in entries if not name.endswith("_start")]
    body = print_body(rule.step.trace, SECTIONS, leaves, ["o", *next_state, *MEASURES])
    variable = {name: loop_variable(spec, name) for name in entries}
    token = [f"{name}[:, t]" for name in (*(argument.name for argument in interface.tokens), *interface.derived)]
    arguments = [*token, *parameters, *variable.values()]
    return fill("recurrent.py", {
        "header": header(spec),
        "name": spec.name,
        "rule": rule.text(),
        "functional": body.uses_functional,
        "chunked": chunked,
        "steps": steps_of(spec),
        "linear_reads": spec.linear_reads and chunked,
        "signature": signature(interface),
            "read_arguments": read_arguments(interface),
        "unpack_tokens": ", ".join([*(argument.name for argument in interface.tokens), *interface.derived]),
        "parameters": parameters,
        **state_holes(spec, interface, variable),
        "step_targets": ", ".join(["o", *(variable[name] for name in next_state)]),
        "step_arguments": "\n".join(f"            {argument}," for argument in arguments),
        "step_signature": step_signature(body.parameters),
        "step_body": "\n".join(body.lines),
        "helpers": helper_text(body.helpers),
    })  # fmt: skip


def state_holes(spec: Spec, interface: Interface, variable: dict[str, str]) -> dict[str, object]:
    """How variables of a loop and entries of the state belong together."""
    starts = [(variable[f"{w.name}_start"], variable[w.name], f"{w.name}_start") for w in interface.weights] if spec.frozen_gradient else []
    return {
        "carried": [(variable[name], name) for name in variable],
        "starts": [(start, current) for start, current, _ in starts],
        "start_returns": starts,
        "returned": [(variable[name], name) for name in variable if not name.endswith("_start") and name != "log_beta"],
    }


def loop_variable(spec: Spec, entry: str) -> str:
    """What a loop calls an entry of the state: W1 or A1, S1, W1_start."""
    if entry in ("log_beta", "preconditioner"):
        return entry
    weight, _, suffix = entry.partition("_")
    number = weight[1:]
    if suffix == "momentum":
        return f"S{number}"
    letter = "W" if spec.retention.identity else "A"
    return f"{letter}{number}_{suffix}" if suffix else f"{letter}{number}"
