"""How the pictures look: colours, line styles, and the width of a text.

The renderer that comes with pip measures text by tables that know ASCII only, so the boxes get their width from here instead.
"""

from __future__ import annotations

FONT = "Helvetica"
NODE_SIZE = 12  # points
EDGE_SIZE = 10

FILL = {
    "input": "#ffffff",
    "gate": "#fff3d1",
    "memory": "#d9e7fb",
    "surprise": "#efe1fa",
    "state": "#d5efe1",
    "read": "#e4ebf3",
    "output": "#ffffff",
}
BORDER = "#52606d"
BLAME = "#d62828"

DEGREE_COLOUR = {"none": "#a3adb8", "affine": "#3b4754", "nonlinear": "#cc3b3b"}
LAG_COLOUR = {1: "#1d6fd1", "chunk": "#0d8a70"}
LAG_LINE = {0: "solid", 1: "dashed", "chunk": "dotted"}
LAG_TEXT = {0: "", 1: "t−1", "chunk": "chunk start"}

NARROW = frozenset("iljtfrI.,:;'|!()[]/ −-₀₁₂₃₄₅₆₇₈₉ₜᵢⱼₖₗₙ₊₋¹²³ᵀ′·‖")
WIDE = frozenset("mwMW@%ΣΨΦΩ⊙⊗→←≤≥=+<>~")


def text_width(text: str, size: float = NODE_SIZE) -> float:
    """Width in inches, of the longest line of `text`, set in the pictures' font at `size` points; a little generous."""
    return max(sum(map(_share_of_em, line)) for line in text.split("\n")) * size / 72


def _share_of_em(character: str) -> float:
    if character in NARROW:
        return 0.33
    if character in WIDE:
        return 0.78
    return 0.7 if character.isupper() else 0.57
