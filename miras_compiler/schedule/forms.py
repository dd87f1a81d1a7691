"""The forms that rows of the launch table are keyed by."""

from __future__ import annotations

from miras_compiler.derive.rule import Rule


def forms_of(rule: Rule) -> tuple[str, str]:
    """The rule in words, and the kind of its memory. Decays per channel make kernels of their own."""
    kinds = rule.kinds
    words = " ".join(kinds[key] for key in ("memory", "attentional_bias", "retention", "optimizer"))
    if any(gate.channel and gate.decay for gate in rule.gates.values()):
        return f"{words} by channel", f"{kinds['memory']} by channel"
    return words, "deep" if rule.memory.deep else "matrix"
