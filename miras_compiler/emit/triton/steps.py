"""The order in which the tiles of a kernel are asked for, and the headings that their statements stand under."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from miras_compiler.emit.triton.statement import Statement
from miras_compiler.ir.nodes import Leaf, Node, Start
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import nodes_of

SECTIONS = (
    ("decay", "decays, and the weights of surprises"),
    ("surprise", "the surprises of all tokens"),
    ("memory", "the surprises of all tokens"),
    ("read", "the memory at the queries"),
    ("output", "the memory at the queries"),
    ("end", "the state behind the tile"),
)

TITLES = dict(SECTIONS) | {f"d_{section}": f"back through {title}" for section, title in SECTIONS}
RUN = 3  # statements of a section in a row, for fewer of which there is no heading

Step = tuple[Node | None, str]
"""The tile that a statement computes, or the output that it stores."""


def ordered(program: Program, by_section: bool) -> list[Step]:
    """Labelled tiles and outputs in the order of their statements."""
    if not by_section:
        return [(None, name) for name in program.outputs]
    rank = {section: index for index, (section, _) in enumerate(SECTIONS)}
    nodes = [node for node in nodes_of(program) if node in program.labels and not isinstance(node, Leaf | Start)]
    nodes.sort(key=lambda node: rank.get(program.labels[node].section, 0))
    steps: list[Step] = []
    waiting: dict[Node, list[str]] = {}
    for name, node in program.outputs.items():
        waiting.setdefault(node, []).append(name)
    for node in nodes:
        steps += [(node, ""), *((None, name) for name in waiting.pop(node, []))]
    return [*steps, *((None, name) for names in waiting.values() for name in names)]


def with_headings(statements: Sequence[Statement]) -> Iterator[tuple[str, Statement]]:
    """Every statement behind the heading of its section; "" where that is no new one, or the section is left again at once."""
    titles = [TITLES.get(statement.section, "") for statement in statements]
    seen = ""
    for index, (title, statement) in enumerate(zip(titles, statements, strict=True)):
        following = [each for each in titles[index:] if each][:RUN]
        is_new = title not in ("", seen) and following == [title] * RUN
        seen = title if is_new else seen
        yield (title if is_new else ""), statement
