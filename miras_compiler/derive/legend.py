"""The legend of a page: notation, times, and the functions that it calls by name."""

from __future__ import annotations

import re

from miras_compiler.derive.dialects import LATEX
from miras_compiler.derive.equations import equations_of
from miras_compiler.derive.statements import bias_statements, retention_statements
from miras_compiler.derive.update_rule import UpdateRule
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of

NOTATION = (
    "Rows multiply from the left. $a\\, b$ is a product of matrices (a row $a$ or $b^\\top$ is one) or has a number in front,"
    " $a \\odot b$ is entrywise, a row running along the columns of a matrix and a column along its rows, $a^\\top \\otimes b$ is an outer"
    " product, and $[\\ldots]$ is 1 where a condition holds and 0 elsewhere. Functions and powers are entrywise; a sum without an index, a"
    " norm and a maximum of one argument run over all entries.",
    "In the rule of one token a value without a time belongs to the token $t$, $[t-1]$ to the one before, $[\\mathrm{start}]$ to the state"
    " that entered the chunk of gradients; $[q]$ marks the memory at the query. Over a tile, tokens are indices $t$ and $j$, $[0]$ is the"
    " state that entered the tile and $[C]$ the one behind it; $\\Lambda$ holds decays between tokens, $[\\mathrm{before}]$ and"
    " $[\\mathrm{decayed}]$ say that a token sees the state before its own write, in the latter case with its own decay.",
)
FUNCTIONS = {
    r"_\{[KNV]": "Capitals behind a function, a norm or a sum name the axes ($K$ keys, $N$ hidden, $V$ values) that it runs over where it"
    " leaves others.",
    r"softmax": "$\\operatorname{softmax}(x)$ is $\\exp(x)$ over its sum.",
    r"\\tau": "$\\tau_1$, $\\tau_2$, … are values that are used more than once and have no name.",
    r"operatorname\{soft\}": "$\\operatorname{soft}(x, g)$ is the soft threshold: $x$ moved by $g$ towards 0, which it does not cross.",
    r"operatorname\{mean\}": "$\\operatorname{mean}$ is the mean over the channels of a row.",
    r"valid": "$\\mathrm{valid}$ is 1 for a token that is there and 0 for one that fills a tile up.",
    r"owner": "$\\mathrm{owner}_{js}$ is 1 where the row $s$ of a window is there for the token $j$.",
    r"earlier": "$\\mathrm{earlier}_{tj}$ is 1 where the row $j$ is one of an earlier token than the row $t$.",
}


def legend_lines(rule: UpdateRule, program: Program) -> list[str]:
    """Markdown; of functions and marks those that the page has."""
    statements = [*bias_statements(rule, LATEX), *retention_statements(rule, LATEX)]
    written = [*(each.right for each in statements), *(each.right for each in rule.equations(LATEX))]
    written += [each.right for each in equations_of(program, {label.section: "" for label in program.labels.values()}, LATEX)]
    text = "\n".join(written)
    found = [*NOTATION, *(line for mark, line in FUNCTIONS.items() if re.search(mark, text))]
    if rule.surprise.window > 1:
        rows = "$s$ over a tile" if any(leaf.name == "gamma_rows" for leaf in leaves_of(program)) else "over a tile $t$ and $j$ count them"
        found.append(f"A surprise measures the rows of a window: $j$ in the rule of one token, {rows}.")
    if rule.update.orthogonal is not None:
        triples = dict.fromkeys(rule.update.orthogonal.triples)
        values = "; ".join(f"$({a}, {b}, {c})$" for a, b, c in triples)
        found.append(
            "$\\operatorname{NS}_5(X)$ divides $X$ by $\\|X\\| + 10^{-7}$ and takes five Newton–Schulz steps"
            f" $X \\leftarrow a X + (b P + c P^2) X$, $P = X X^\\top$, with $(a, b, c)$ {'=' if len(triples) == 1 else 'in turn'} {values}."
        )
    return [f"- {line}" for line in found]
