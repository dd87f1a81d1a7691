"""A compiled spec in words: the rule, the parallel form with its reason, the kernels, the stability; and the page that a notebook shows."""

from __future__ import annotations

import html
from collections.abc import Sequence

from miras_compiler.analysis import CostLine, ParallelForm, separable_axes
from miras_compiler.analysis.cost import axis_lengths
from miras_compiler.derive import UpdateRule
from miras_compiler.derive.statements import bias_statements, retention_statements, statement_lines
from miras_compiler.emit.triton.blocks import blocks_of, refused
from miras_compiler.schedule import (
    KernelFacts,
    Prepared,
    Schedule,
    Walk,
    chunk_walks,
    describe_chunk_walks,
    describe_schedule,
    describe_walk,
    kernel_facts,
    states_alone,
    tile_in_words,
    tile_lengths,
    why_too_large,
    why_walked,
)

REFUSED = "; they are refused at these widths, and PyTorch runs: {}"


def explain_rule(rule: UpdateRule, form: ParallelForm, stability: Sequence[str], kernels: str) -> str:
    """Plain text; `stability` are sentences, `kernels` is the text of `explain_kernels` or `kernels_in_short`."""
    separable = separable_axes(rule)
    split = f"separable: the axis {', '.join(separable).upper()} of the state can be split over programs" if separable else ""
    stated = {"attentional bias": bias_statements(rule), "retention": retention_statements(rule)}
    parts = [
        f"{rule.frame.name}" + (f" — {rule.frame.paper}" if rule.frame.paper else ""),
        "\n\n".join("\n".join([title, *statement_lines(statements)]) for title, statements in stated.items()),
        rule.text(),
        "over a chunk\n" + "\n".join(f"  {line}" for line in rule.unrolled_text()),
        "\n  ".join([f"parallel form: {form.kind.replace('_', ' ')}", form.reason, *filter(None, (form.suggestion, split))]),
        "\n  ".join(["stability, at the gates as the layer starts them", *stability]),
        kernels,
    ]
    return "\n\n".join(parts)


def facts_of_kernels(rule: UpdateRule, schedule: Schedule | None) -> list[KernelFacts]:
    """Facts about each kernel of the schedule at the spec's own dimensions."""
    return kernel_facts(schedule, tile_lengths(rule), blocks_of) if schedule else []


def explain_kernels(
    rule: UpdateRule, form: ParallelForm, prepared: Prepared, schedule: Schedule | None, starts: Schedule | None, walk: Walk
) -> str:
    """Every kernel: its loads, its stores, the tiles that it computes again, its registers and memory; without kernels over tiles, the
    reason.
    """
    if schedule:
        large = refused(schedule.kernels, tile_lengths(rule))
        told = [f"{REFUSED.format(large).removeprefix('; ')}"] if large else []
        return "\n".join([*told, describe_schedule(schedule, facts_of_kernels(rule, schedule), tile_in_words(rule))])
    reason = why_walked(form, prepared)
    walked = describe_walk(walk, reason, tile_lengths(rule))
    if starts is None:
        return walked
    return describe_chunk_walks(describe_schedule(starts, facts_of_kernels(rule, starts), tile_in_words(rule)), walked, reason)


def tiles_instead(form: ParallelForm, walked: Sequence[CostLine], tiled: Sequence[CostLine]) -> str:
    """The operations of a walk beside those of tiles, which the change that `form` suggests would have."""
    products, others = _forward(walked, "matrix products", "triangular solves"), _forward(walked, "everything else")
    wide, rest = _forward(tiled, "matrix products", "triangular solves"), _forward(tiled, "everything else")
    change = form.suggestion.split(" would ")[0]
    return (
        f"a token takes {products:,} FLOP of products and {others:,} others a head, one token after another; "
        f"with {change} tiles would take {wide:,} and {rest:,}, all tokens of a tile at once"
    )


def _forward(cost: Sequence[CostLine], *names: str) -> int:
    return round(sum(line.value for line in cost if line.what in [f"{name}, forward" for name in names]))


def kernels_in_short(rule: UpdateRule, form: ParallelForm, prepared: Prepared, walk: Walk, schedule: Schedule | None = None) -> str:
    """One line: over tiles, or token by token and why, all chunks at once where that can be; widths at which they are refused.

    A `schedule` that holds no features whole is refused at none.
    """
    reason = why_walked(form, prepared)
    if reason:
        large = why_too_large(walk.states, axis_lengths(rule.frame, 1), walk.split)
        told = REFUSED.format(f"a state with {large}") if large else ""
        way = chunk_walks(reason) if states_alone(rule, prepared) else f"token by token, because {reason}"
        return f"Triton kernels, {way}{told}"
    large = refused(schedule.kernels, tile_lengths(rule)) if schedule else ""
    return f"Triton kernels, over tiles of {tile_in_words(rule)}{REFUSED.format(large) if large else ''}"


def notebook_page(rule: UpdateRule, form: ParallelForm, picture: str) -> str:
    """HTML: the rule, the form with its reason, and `picture`, the dependency graph as SVG."""
    title = rule.frame.name + (f" — {rule.frame.paper}" if rule.frame.paper else "")
    return (
        f"<h4>{html.escape(title)}</h4>\n<pre>{html.escape(rule.text())}</pre>\n"
        f"<p><b>{form.kind.replace('_', ' ')}</b>: {html.escape(form.reason)}</p>\n{picture}"
    )
