"""chunked.py: the parallel form, a tile of tokens at a time."""

from __future__ import annotations

import textwrap

from miras_compiler.analysis import ParallelForm
from miras_compiler.analysis.parallel_form import EXPLANATION
from miras_compiler.derive import UpdateRule
from miras_compiler.derive.leaves import gate_axes, steps_of, window_gates, window_of
from miras_compiler.elements.memory import VectorMemory
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.python_text import header, helper_text, pass_on, read_arguments, signature, step_signature
from miras_compiler.emit.template import fill
from miras_compiler.emit.torch.body import print_body
from miras_compiler.emit.torch.recurrent import contract_names, finish_text, loop_entries, loop_variable, read_row, state_holes, unpacked
from miras_compiler.ir.nodes import Program
from miras_compiler.ir.traverse import leaves_of
from miras_compiler.spec import Spec

SECTIONS = (
    ("decay", "decays, and the weights of surprises"),
    ("surprise", "the surprises of all tokens"),
    ("memory", "the surprises of all tokens"),
    ("read", "the memory at the queries"),
    ("output", "the memory at the queries"),
    ("end", "the state behind the tile"),
)
SMALL_TILE = 16  # where something exists for every token, or every pair of them, and every channel
TILE = 64


def emit_chunked(rule: UpdateRule, form: ParallelForm, program: Program, interface: Interface, chunked: bool) -> str:
    """Text of chunked.py; where no parallel form is exact, a word why, and the token loop."""
    spec = rule.spec
    common = {"header": header(spec), "name": spec.name, "reason": sentence(form.reason), "signature": signature(interface)}
    if form.kind == "token_by_token":
        suggestion = sentence(f"here {form.suggestion}")
        return fill("chunked_by_token.py", common | {"suggestion": suggestion, "tile": TILE, "pass_on": pass_on(interface)})
    used = {leaf.name for leaf in leaves_of(program)}
    entries = loop_entries(interface)
    valid = ["valid"] if "valid" in used else []
    parameters = [argument.name for argument in interface.parameters if argument.name != "feature_coefficients"]
    own_rows = "owner" in used
    rows = row_arguments(spec, interface, own_rows)
    leaves = [*(argument.name for argument in interface.tokens), *interface.derived, *rows, *valid, *parameters, *entries]
    leaves = [name for name in leaves if name in used]
    next_state = [name for name in entries if not name.endswith("_start")]
    body = print_body(program, SECTIONS, leaves, ["o", *next_state])
    finish, more = finish_text(rule.step.chunk_end, interface)
    variable = {name: loop_variable(spec, name) for name in entries}
    tokens = [*(argument.name for argument in interface.tokens), *interface.derived, *valid]
    arguments = [f"{name}[:, :, at]" if name in tokens else {**variable, **rows}.get(name, name) for name in leaves]
    return fill("chunked.py", common | {
        "form": sentence(EXPLANATION[form.kind]),
        "functional": body.uses_functional,
        "chunked": chunked,
        "steps": steps_of(spec),
        "read_row": read_row(spec),
        "callable": any("Callable" in helper for helper in body.helpers.values()),
        "linear_reads": spec.linear_reads and chunked,
        "tile": default_tile(spec, form, chunked, own_rows),
        "read_arguments": read_arguments(interface),
        "unpack_tokens": unpacked(interface, used | ({"gamma"} if rows else set()) | ({"q"} if valid or own_rows else set())),
        "parameters": parameters,
        "valid": bool(valid),
        "degree": spec.feature_map.kind == "polynomial",
        "contract_names": contract_names(spec, chunked, {read_row(spec)}, "Grid", *row_functions(interface, own_rows)),
        **state_holes(spec, interface, variable),
        "step_targets": ", ".join(["o", *(variable[name] for name in next_state)]),
        "step_arguments": "\n".join(f"            {argument}," for argument in arguments),
        "step_signature": step_signature(body.parameters),
        "step_body": "\n".join(body.lines),
        "helpers": finish + helper_text({**body.helpers, **more}),
    })  # fmt: skip


def row_arguments(spec: Spec, interface: Interface, own_rows: bool) -> dict[str, str]:
    """Leaves of a tile program that hold the rows of windows, and where the loop takes them from."""
    if window_of(spec) == 1:
        return {}
    names = [*(f"{name}_rows" for name in ("k", "v", *window_gates(spec))), *(["k_rows_features"] if interface.derived else [])]
    if not own_rows:
        return {name: f"{name}[:, :, rows]" for name in names} | {"gamma_rows": "weight_matrix(gamma[:, :, at], present[:, rows])"}
    windows = {name: f"in_windows({name}[:, :, rows])" for name in names}
    return windows | {"gamma_rows": "row_weights(gamma[:, :, at], present[:, rows])", "owner": "owners(q[:, :, at])"}


def row_functions(interface: Interface, own_rows: bool) -> list[str]:
    """The functions of the contract that make the rows of windows."""
    return [*(["in_windows", "owners", "row_weights"] if own_rows else ["weight_matrix"]), *(["polynomial"] if interface.derived else [])]


def default_tile(spec: Spec, form: ParallelForm, chunked: bool, own_rows: bool) -> int:
    """Tokens that are computed at once; where each has rows of its own, as many as have so many rows."""
    by_channel = any(gate_axes(spec, gate) for gate in ("alpha", "alpha_value")) or isinstance(spec.memory, VectorMemory)
    tile = SMALL_TILE if form.kind == "dual_per_token" or by_channel else TILE
    tile = max(tile // window_of(spec), 1) if own_rows else tile
    return min(tile, spec.chunk.size) if chunked else tile


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop, in lines that fit."""
    text = f"{text[0].upper()}{text[1:]}."
    return "\n".join(textwrap.wrap(text, 136, break_long_words=False, break_on_hyphens=False))
