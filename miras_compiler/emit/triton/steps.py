"""The order in which the tiles of a kernel are asked for, and the headings that they stand under."""

from __future__ import annotations

from miras_compiler.ir.nodes import Leaf, Node, Program
from miras_compiler.ir.traverse import nodes_of

SECTIONS = (
    ("decay", "decays, and the weights of surprises"),
    ("surprise", "the surprises of all tokens"),
    ("memory", "the surprises of all tokens"),
    ("read", "the memory at the queries"),
    ("output", "the memory at the queries"),
    ("end", "the state behind the tile"),
)

Step = tuple[str, Node | None, str]
"""The heading that a statement stands under ("" if that is no new one), the tile it computes, the output that it stores."""


def ordered(program: Program, by_section: bool) -> list[Step]:
    """Labelled tiles and outputs in the order of their statements."""
    titles = dict(SECTIONS)
    rank = {section: index for index, (section, _) in enumerate(SECTIONS)}
    steps: list[Step] = []
    if by_section:
        nodes = [node for node in nodes_of(program) if node in program.labels and not isinstance(node, Leaf)]
        nodes.sort(key=lambda node: rank.get(program.labels[node].section, 0))
        waiting: dict[Node, list[str]] = {}
        for name, node in program.outputs.items():
            waiting.setdefault(node, []).append(name)
        for node in nodes:
            steps.append((titles.get(program.labels[node].section, ""), node, ""))
            steps += [("", None, name) for name in waiting.pop(node, [])]
        steps += [("", None, name) for names in waiting.values() for name in names]
    else:
        steps = [(f"the gradient of {name.removeprefix('d_')}" if name.startswith("d_") else name, None, name) for name in program.outputs]
    seen, result = "", []
    for heading, tile, output in steps:
        result.append((heading if heading != seen else "", tile, output))
        seen = heading or seen
    return result
