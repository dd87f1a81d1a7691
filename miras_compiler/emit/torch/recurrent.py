"""recurrent.py: the rule as a loop over tokens, and the trace."""

from __future__ import annotations

from miras_compiler.derive import UpdateRule
from miras_compiler.derive.rule import Rule
from miras_compiler.derive.update_rule import SECTIONS
from miras_compiler.emit.interface import Interface, remark_paragraph
from miras_compiler.emit.printing.operator_text import operator_call, operator_head
from miras_compiler.emit.printing.python_text import bracketed, header, helper_text, import_line, step_signature, torch_imports
from miras_compiler.emit.printing.template import fill
from miras_compiler.emit.torch.body import print_body
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of

MEASURES = ("loss", "error", "surprise", "state")


def emit_recurrent(rule: UpdateRule, interface: Interface) -> str:
    """Text of recurrent.py."""
    frame = rule.frame
    used = {leaf.name for leaf in leaves_of(rule.step.trace)}
    takes = [name for name in leaf_order(rule, interface) if name in used]
    gives = [name for name in carried(interface) if not name.endswith("_start")]
    body = print_body(rule.step.trace, tuple(SECTIONS.items()), takes, ["o", *gives, *MEASURES])
    finish, more = finish_text(rule.step.chunk_end, interface)
    helpers = finish + helper_text({**body.helpers, **more})
    return fill("recurrent.py", {
        "header": header(frame),
        "name": frame.name,
        "rule": rule.trace_text(),
        "state_remark": remark_paragraph(rule),
        "imports": imports("\n".join(body.lines) + helpers, ".runtime_recurrent", ["TokenForm", "Trace"]),
        "head": operator_head(f"naive_recurrent_{frame.name}", interface),
        "call": operator_call("_FORM", interface.groups),
        "trace_head": operator_head(f"trace_{frame.name}", interface, returns="Trace"),
        "trace_call": operator_call("_FORM.trace", interface.groups, ["initial_state", "cu_seqlens"]),
        "step_signature": step_signature(body.parameters),
        "step_body": "\n".join(body.lines),
        "helpers": helpers,
        "form": form_text("TokenForm", "step", takes, gives, bool(finish)),
    })  # fmt: skip


def leaf_order(rule: Rule, interface: Interface) -> list[str]:
    """The values that a token step or a tile may read, in order: tokens, the rows of a window, parameters, and the carried state."""
    windowed, measured = rule.surprise.window > 1, [gate.code for gate in rule.gates.values() if gate.measured]
    tokens = [argument.leaf for argument in interface.tokens]
    rows = [f"{name}_rows" for name in ("k", "v", *measured)] if windowed else []
    rows += (["k_rows_features"] if interface.derived else []) + ["gamma_rows", "owner", "earlier"] if rows else []
    parameters = [argument.name for argument in interface.parameters if argument.name != "feature_coefficients"]
    return [*tokens, *interface.derived, *rows, "valid", *parameters, *carried(interface)]


def carried(interface: Interface) -> list[str]:
    """The entries of the state that go from token to token."""
    return [entry.name for entry in interface.state if entry.goes == "by token"]


def imports(code: str, runtime: str, names: list[str]) -> str:
    """The imports of a form."""
    forms = sorted([import_line(runtime, names), "from .runtime_state import State"])
    return "\n".join([*torch_imports(code), "", "from .contract import CONTRACT", *forms])


def form_text(form: str, function: str, takes: list[str], gives: list[str], finishes: bool) -> str:
    """The loop of the runtime around the function, which it gives its arguments and takes its results from by these names."""
    fields = ["CONTRACT", function, *(names_field(field, names) for field, names in (("takes", takes), ("gives", gives)))]
    return bracketed(f"_FORM = {form}(", [*fields, *(["finish=finish_chunk"] if finishes else [])], ")", 0)


def names_field(field: str, names: list[str]) -> str:
    return bracketed(f"{field}=(", [f'"{name}"' for name in names], ",)" if len(names) == 1 else ")", 4)


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
