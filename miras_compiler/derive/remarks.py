"""The letters of a printed rule that no equation of the page defines."""

from __future__ import annotations

from miras_compiler.derive.prediction import subscripted
from miras_compiler.derive.rule import Rule


def token_remarks(rule: Rule) -> list[str]:
    """Sentences on the rule of one token."""
    found = []
    if (writes := rule.update.writes) > 1:
        read = "behind the last of them" if rule.chunk.read == "after_write" else "before the first of them"
        found.append(f"a token writes {writes} rows, one after the other: α is 1 but at the first, and the query reads {read}")
    found += rule.surprise.remarks
    if rule.update.erases:
        found.append("the operator's erase_key is κ; its erase_write_key, or k where none is given, is b")
    return [*found, *rule.chunk.remarks]


def chunk_remarks(rule: Rule) -> list[str]:
    """Sentences on the closed form of a chunk."""
    names = [subscripted(rule.dual_name(weight.name)) for weight in rule.weights]
    found = []
    if names != ["A"]:
        found.append(f"A is {', '.join(names[:-1])} and {names[-1]} in turn" if names[1:] else f"A is {names[0]}")
    found.append("[0] marks what entered the chunk")
    collected = "Z" if rule.update.waits else "S" if rule.momentum else "A"
    step = "η̃" if rule.update.own_step_size else "η"
    sized = f", divided by its {step}," if rule.update.sized else ""
    found.append(f"what the token j takes off {collected}{sized} is g_j")
    if (writes := rule.update.writes) > 1:
        found.append(f"the indices t, j and l count writes, {writes} of a token: α_l is 1 but at the first of them")
    return found
