"""chunked.py: the parallel form, a tile of tokens at a time."""

from __future__ import annotations

import textwrap

from miras_compiler.analysis import ParallelForm
from miras_compiler.analysis.parallel_form import EXPLANATION
from miras_compiler.analysis.tile import TILE, default_tile, has_own_rows
from miras_compiler.derive import UpdateRule
from miras_compiler.emit.interface import Interface, remark_paragraph
from miras_compiler.emit.printing.operator_text import OPTIONS, keyword_call, operator_call, operator_head
from miras_compiler.emit.printing.python_text import header, helper_text, step_signature
from miras_compiler.emit.printing.template import fill
from miras_compiler.emit.torch.body import print_body
from miras_compiler.emit.torch.recurrent import carried, finish_text, form_text, imports, leaf_order
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of

SECTIONS = (
    ("decay", "decays, and the weights of surprises"),
    ("surprise", "the surprises of all tokens"),
    ("memory", "the surprises of all tokens"),
    ("read", "the memory at the queries"),
    ("output", "the memory at the queries"),
    ("end", "the state behind the tile"),
)


def emit_chunked(rule: UpdateRule, form: ParallelForm, program: Program, interface: Interface) -> str:
    """Text of chunked.py; where no parallel form is exact, a word why, and the token loop."""
    frame, operator = rule.frame, f"torch_chunk_{rule.frame.name}"
    common: dict[str, object] = {
        "header": header(frame), "name": frame.name, "reason": sentence(form.reason), "state_remark": remark_paragraph(rule),
    }  # fmt: skip
    if form.kind == "token_by_token":
        return fill("chunked_by_token.py", common | {
            "suggestion": sentence(f"here {form.suggestion}"),
            "head": operator_head(operator, interface, more=f"tile: int = {TILE}"),
            "call": keyword_call(f"naive_recurrent_{frame.name}", interface),
        })  # fmt: skip
    used = {leaf.name for leaf in leaves_of(program)}
    takes = [name for name in leaf_order(rule, interface) if name in used]
    gives = [name for name in carried(interface) if not name.endswith("_start")]
    body = print_body(program, SECTIONS, takes, ["o", *gives])
    finish, more = finish_text(rule.step.chunk_end, interface)
    helpers = finish + helper_text({**body.helpers, **more})
    return fill("chunked.py", common | {
        "form_of_rule": sentence(EXPLANATION[form.kind]),
        "head": operator_head(operator, interface, more=f"tile: int = {default_tile(rule, form.kind, has_own_rows(program))}"),
        "imports": imports("\n".join(body.lines) + helpers, ".runtime_tiles", ["TileForm"]),
        "call": operator_call("_FORM", interface.groups, [*OPTIONS, "tile"]),
        "step_signature": step_signature(body.parameters),
        "step_body": "\n".join(body.lines),
        "helpers": helpers,
        "form": form_text("TileForm", "chunk", takes, gives, bool(finish)),
    })  # fmt: skip


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop, in lines that fit."""
    text = f"{text[0].upper()}{text[1:]}."
    return "\n".join(textwrap.wrap(text, 136, break_long_words=False, break_on_hyphens=False))
