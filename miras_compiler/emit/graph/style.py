"""The style of the pictures: colours, lines, and the width of a text.

The renderer that comes with pip measures text by tables that know ASCII only, so boxes and cells get their width from here instead.
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

SHARES: dict[float, str] = {  # of an em: the widest that a character is in DejaVu Sans, Helvetica and Liberation Sans
    0: "\u0302\u0303\u0304",
    0.2: "ᵢₗⱼ",
    0.25: "′",
    0.3: "'Iijlₜ",
    0.35: " ,./:;\\|·ι⋅",
    0.4: "()-[]ftᵀ″ₙ⟨⟩",
    0.45: "!r²³¹⁰⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉ₖₚℓ",
    0.5: '"*J`–‖',
    0.55: "cszεζ⁻₊₋∂",
    0.6: "?L_kvxyΓγκλνξςυ",
    0.65: "$0123456789FTabdeghnopqu{}ΞΣβδηθμοπρστ∘√",
    0.7: "ABEKPSVXYZΔΛαφψ∇",
    0.75: "CNRU",
    0.8: "&DGHOQΘΠΦΨΩ",
    0.85: "#+<=>^w~±×÷ω←→⇒−∗∞≠≡≤≥⊗⊙",
    0.9: "M∈⊤",
    1: "%Wm½—…",
    1.05: "@",
}
SHARE = {character: share for share, characters in SHARES.items() for character in characters}
UNKNOWN = 1.0  # em


def text_width(text: str, size: float = NODE_SIZE) -> float:
    """Width in inches, of the longest line of `text`, at `size` points, in whichever of the fonts a reader sets it."""
    return max(sum(SHARE.get(character, UNKNOWN) for character in line) for line in text.split("\n")) * size / 72
