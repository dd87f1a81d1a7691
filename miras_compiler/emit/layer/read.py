"""`read` of a layer, for models that ask the memory without a write: the wiring `mac`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.layer.names import value_heads
from miras_compiler.emit.layer.owned import OwnedText
from miras_compiler.emit.layer.rows import RowText
from miras_compiler.emit.printing.python_text import bracketed, quoted


def read(rule: Rule, interface: Interface, rows: Sequence[RowText], parameters: Sequence[OwnedText], output: str) -> list[str]:
    """The lines of the method; none where no model needs it. `output` is the expression that is projected."""
    if rule.frame.model.wiring != "mac":
        return []
    query = next(row for row in rows if row.name == "q")
    sizes = ["CONTRACT.tokens", "q", f"value_dim=self.o_proj.in_features // self.{value_heads(rule.frame.layer)}"]
    if rule.update.writes > 1:
        sizes.append(f"steps={rule.update.writes}")
    if rule.surprise.weighed:
        sizes.append(f"window={rule.surprise.window}")
    lines = ["q = self.q_proj(x)"] if rule.frame.layer.conv else []
    lines += [
        f"q = {query.made}",
        bracketed("tokens = idle(", sizes, ")", 8),
        f"operator = fused_recurrent_{rule.frame.name} if x.shape[1] == 1 else chunk_{rule.frame.name}",
    ]
    owned = [f"{owned.name}=self.{owned.name}" for owned in parameters]
    lines += [bracketed("o, read = operator(", ["q", "**tokens", *owned, "initial_state=state", "output_final_state=True"], ")", 8)]
    weights = quoted([entry.name for entry in interface.weights])
    lines += [f"o = {output}", f"return self.o_proj(o.to(x.dtype)), {{name: (read or {{}})[name] for name in {weights}}}"]
    return [
        "def read(self, x: Tensor, state: dict[str, Tensor] | None) -> tuple[Tensor, dict[str, Tensor]]:",
        '    """What the memory holds of x [N, T, hidden], and its weights, which no token changes; None is the start.',
        "",
        "    Queries are not convolved: their neighbours belong to another stream of tokens.",
        '    """',
        *(textwrap.indent(line, "    ") for line in lines),
    ]
