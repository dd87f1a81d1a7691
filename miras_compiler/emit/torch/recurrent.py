"""recurrent.py: the rule as a loop over tokens, and the trace."""

from __future__ import annotations

from miras_compiler.derive import UpdateRule
from miras_compiler.derive.chunk_end import waits_for_chunk_end
from miras_compiler.derive.leaves import gate_axes, steps_of, window_gates, window_of
from miras_compiler.derive.update_rule import SECTIONS
from miras_compiler.elements.memory import VectorMemory
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.python_text import header, helper_text, read_arguments, signature, step_signature
from miras_compiler.emit.template import fill
from miras_compiler.emit.torch.body import print_body
from miras_compiler.ir.nodes import Program
from miras_compiler.ir.traverse import leaves_of
from miras_compiler.spec import Spec

MEASURES = ("loss", "error", "surprise", "state")


def emit_recurrent(rule: UpdateRule, interface: Interface, chunked: bool) -> str:
    """Text of recurrent.py. `chunked`: the function has a grid of chunks."""
    spec = rule.spec
    entries = loop_entries(interface)
    parameters = [argument.name for argument in interface.parameters if argument.name != "feature_coefficients"]
    tokens = [argument.name for argument in interface.tokens if argument.name != "gamma" or window_of(spec) == 1]
    rows = row_arguments(spec, interface)
    leaves = [*tokens, *interface.derived, *rows, *parameters, *entries]
    next_state = [name for name in entries if not name.endswith("_start")]
    body = print_body(rule.step.trace, SECTIONS, leaves, ["o", *next_state, *MEASURES])
    finish, more = finish_text(rule.step.chunk_end, interface)
    variable = {name: loop_variable(spec, name) for name in entries}
    found = {leaf.name for leaf in leaves_of(rule.step.trace)} | {"q"}
    token = [f"{name}[:, t]" if name in found else f"_{name}[:, t]" for name in (*tokens, *interface.derived)]
    arguments = [*token, *rows.values(), *parameters, *variable.values()]
    return fill("recurrent.py", {
        "header": header(spec),
        "name": spec.name,
        "rule": rule.text(),
        "functional": body.uses_functional,
        "chunked": chunked,
        "steps": steps_of(spec),
        "read_row": read_row(spec),
        "linear_reads": spec.linear_reads and chunked,
        "signature": signature(interface),
            "read_arguments": read_arguments(interface),
        "unpack_tokens": unpacked(interface, {leaf.name for leaf in leaves_of(rule.step.trace)} | {"q"} | ({"gamma"} if rows else set())),
        "parameters": parameters,
        "contract_names": contract_names(spec, chunked, {"by_token", read_row(spec)}, "Call", "rows_at", "weights_at", "with_past"),
        **state_holes(spec, interface, variable),
        "step_targets": ", ".join(["o", *(variable[name] for name in next_state)]),
        "step_arguments": "\n".join(f"            {argument}," for argument in arguments),
        "step_signature": step_signature(body.parameters),
        "step_body": "\n".join(body.lines),
        "helpers": finish + helper_text({**body.helpers, **more}),
    })  # fmt: skip


def unpacked(interface: Interface, used: set[str]) -> str:
    """The names that the tokens of a call are given; an underscore before those that nothing reads."""
    names = [*(argument.name for argument in interface.tokens), *interface.derived]
    return ", ".join(name if name in used else f"_{name}" for name in names)


def loop_entries(interface: Interface) -> list[str]:
    """The entries of the state that a loop carries from token to token, or from tile to tile."""
    return [entry.name for entry in interface.state if entry.name != "position" and not entry.name.startswith("window_")]


def row_arguments(spec: Spec, interface: Interface) -> dict[str, str]:
    """Leaves of a token step that hold the rows of a window, and where the loop takes them from."""
    if window_of(spec) == 1:
        return {}
    rows = {f"{name}_rows": f'rows_at(past["{name}"], t)' for name in ("k", "v", *window_gates(spec))}
    if interface.derived:
        rows["k_rows_features"] = 'rows_at(past["k_features"], t)'
    return rows | {"gamma_rows": "weights_at(gamma, present, t)"}


def read_row(spec: Spec) -> str:
    """The function of contract.py that picks, of several rows per token, the one with the token's output."""
    return "by_token" if spec.chunk.read == "after_write" else "before_writes"


def contract_names(spec: Spec, chunked: bool, of_rows: set[str], *window_names: str) -> str:
    """What a module imports from contract.py; `of_rows` where a token writes several rows."""
    always, of_window = window_names[:1], window_names[1:]
    names = [*always, "read_call", *(["CHUNK"] if chunked else []), *(of_rows if steps_of(spec) > 1 else ())]
    names += ["WINDOW", *of_window] if window_of(spec) > 1 else []
    order = sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    return ", ".join(order)


def state_holes(spec: Spec, interface: Interface, variable: dict[str, str]) -> dict[str, object]:
    """How variables of a loop and entries of the state belong together."""
    starts = [(variable[f"{w.name}_start"], variable[w.name], f"{w.name}_start") for w in interface.weights] if spec.frozen_gradient else []
    return {
        **finish_holes(spec, interface, variable),
        "wide": "[:, None, None]" if isinstance(spec.memory, VectorMemory) else "[:, None, None, None]",
        "wide_beta": "[:, None, None]" if "alpha" in spec.gates and gate_axes(spec, "alpha") else "[:, None]",
        "window": window_of(spec),
        "window_names": ["k", "v", *window_gates(spec)] if window_of(spec) > 1 else [],
        "carried": [(variable[name], name) for name in variable],
        "starts": [(start, current) for start, current, _ in starts],
        "start_returns": starts,
        "returned": [(variable[name], name) for name in variable if not name.endswith("_start") and name != "log_beta"],
    }


def finish_holes(spec: Spec, interface: Interface, variable: dict[str, str]) -> dict[str, object]:
    """The call of `finish_chunk`, where a full chunk changes the state."""
    if not waits_for_chunk_end(spec):
        return {"finish_arguments": "", "finish_targets": "", "weight_variables": [], "pending": []}
    arguments = [variable[f"{w.name}{suffix}"] for w in interface.weights for suffix in ("", "_pending", "_start")]
    targets = [variable[f"{w.name}{suffix}"] for w in interface.weights for suffix in ("", "_momentum")]
    return {
        "finish_arguments": ", ".join(arguments),
        "finish_targets": ", ".join(targets),
        "weight_variables": [variable[w.name] for w in interface.weights],
        "pending": [variable[f"{w.name}_pending"] for w in interface.weights],
    }


def finish_text(program: Program | None, interface: Interface) -> tuple[str, dict[str, str]]:
    """The function `finish_chunk` and its helpers; nothing where nothing happens at a chunk's end."""
    if program is None:
        return "", {}
    leaves = [f"{w.name}{suffix}" for w in interface.weights for suffix in ("", "_pending", "_start")]
    outputs = [f"{w.name}{suffix}" for w in interface.weights for suffix in ("", "_momentum")]
    body = print_body(program, (("state", "the step of the chunk, orthogonalized"),), leaves, outputs)
    says = '"""The state behind a full chunk: what has waited becomes S, and its orthogonalized step is taken."""'
    head = ["def finish_chunk(", *(f"    {name}: Tensor," for name in body.parameters), ") -> tuple[Tensor, ...]:"]
    lines = [*head, f"    {says}", *body.lines]
    return "\n\n\n" + "\n".join(lines), dict(body.helpers)


def loop_variable(spec: Spec, entry: str) -> str:
    """What a loop calls an entry of the state: W1 or A1, S1, W1_start."""
    if entry in ("log_beta", "preconditioner"):
        return entry
    weight, _, suffix = entry.partition("_")
    number = weight[1:]
    if suffix == "pending":
        return f"S{number}_pending"
    if suffix == "momentum":
        return f"S{number}"
    letter = "W" if spec.retention.identity else "A"
    return f"{letter}{number}_{suffix}" if suffix else f"{letter}{number}"
