"""`miras list specs`: the specs that come with the compiler."""

from __future__ import annotations

from miras_compiler.console import PrintedRow, page_width, show_json, show_table, wrapped
from miras_compiler.spec.stability import CHANGE, TOKENS, Sensitivity
from miras_compiler.spec.zoo import Shipped, read_zoo

COLUMNS = ("name", "form", "kernels", "state", "change")
LEGEND = (
    f"state: bytes per head · change: of the outputs up to token {TOKENS - 1} by one of {100 * CHANGE:g} % in token 0, at the gates as the "
    "layer starts them"
)


def show_specs(as_json: bool) -> None:
    """Prints a row per spec, with its elements and its paper below."""
    if as_json:
        show_json([{"name": name, **entry._asdict(), "grows": _sensitivity(entry).grows} for name, entry in read_zoo().items()])
        return
    rows = [
        PrintedRow(cells(name, entry), not _sensitivity(entry).grows, f"{elements(entry)} · {entry.paper}")
        for name, entry in read_zoo().items()
    ]
    show_table("", COLUMNS, rows)
    print("\n" + "\n".join(wrapped(LEGEND, page_width())))


def specs_markdown() -> str:
    """The same as a table of Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} | elements | paper |", "|---" * (len(COLUMNS) + 2) + "|"]
    for name, entry in read_zoo().items():
        _, *others = cells(name, entry)
        lines.append(f"| [`{name}`](specs/{name}.yaml) | {' | '.join(others)} | {elements(entry)} | {entry.paper} |")
    return "\n".join([*lines, "", LEGEND])


def cells(name: str, entry: Shipped) -> tuple[str, ...]:
    """A row of either table."""
    form = entry.form.replace("_", " ")
    change = f"{100 * entry.late:.2g} %" + (", chaotic" if _sensitivity(entry).grows else "")
    return (name, form, "Triton" if entry.kernels else "none", f"{entry.state:,}", change)


def elements(entry: Shipped) -> str:
    """Its kinds."""
    return ", ".join((entry.memory, entry.attentional_bias, entry.retention, entry.optimizer))


def _sensitivity(entry: Shipped) -> Sensitivity:
    return Sensitivity(entry.early, entry.late)
