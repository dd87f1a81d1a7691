"""Dialects of mathematics: Unicode on one line, or LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LATEX_LETTERS = {
    "α": r"\alpha", "β": r"\beta", "η": r"\eta", "μ": r"\mu", "δ": r"\delta", "γ": r"\gamma", "σ": r"\sigma", "φ": r"\phi", "ψ": r"\psi",
    "ρ": r"\rho", "τ": r"\tau", "ω": r"\omega", "κ": r"\kappa", "π": r"\pi", "ζ": r"\zeta", "Λ": r"\Lambda", "Γ": r"\Gamma",
    "Φ": r"\Phi", "∂": r"\partial ", "ℓ": r"\ell", "−": "-", "‖": r"\|", "Σ": r"\sum ", "·": r"\cdot ", "∞": r"\infty", "≤": r"\le ",
    "≥": r"\ge ", "′": "'", "⁻¹": "^{-1}",
}  # fmt: skip
ACCENTS = {"\u0302": r"\hat", "\u0303": r"\tilde", "\u0304": r"\bar"}
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
GREEK = {"alpha": "α", "eta": "η", "mu": "μ", "delta": "δ", "gamma": "γ"}


@dataclass(frozen=True)
class Dialect:
    """A dialect: one function for each part of an expression. `name` takes letters and the indices behind them."""

    name: Callable[[str, str], str]
    number: Callable[[str], str]
    sign: str
    fraction: Callable[[str, str], str]
    power: Callable[[str, str], str]
    call: Callable[[str, str, str], str]  # a function, the axis that it runs over or "", and its arguments
    norm: Callable[[str, str], str]
    total: Callable[[str, str], str]
    cases: Callable[[str, str, str], str]
    where: Callable[[str], str]  # 1 where the condition holds, 0 elsewhere
    transposed: Callable[[str], str]
    root: Callable[[str], str]
    magnitude: Callable[[str], str]
    less: Mapping[str, str]
    outer: str
    times: str  # entrywise
    dot: str  # matrix product, or a number in front
    inline: Callable[[str], str]  # a formula within a sentence


def unicode_name(letters: str, indices: str = "") -> str:
    """ "G_tj"; of a function of a row, the row's index: "φ(k_t)"."""
    if not indices:
        return letters
    return f"{letters[:-1]}_{indices})" if letters.endswith(")") else f"{letters}_{indices}"


def unicode_call(name: str, axis: str, arguments: str) -> str:
    """ "softmax_K(x)"; a single argument in brackets keeps those."""
    called = f"{name}_{axis}" if axis else name
    return f"{called}{arguments}" if _in_brackets(arguments) else f"{called}({arguments})"


def _in_brackets(text: str) -> bool:
    """Returns true where the last character closes the first bracket."""
    depth = 0
    for place, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return character == ")" and place == len(text) - 1
    return False


def latex_name(letters: str, indices: str = "") -> str:
    r""" "W₁[t−1]" as W_{1}^{[t-1]}, "log α" with the index t as \log \alpha_{t}, "ln_weight" as \mathrm{ln\_weight}."""
    match = re.fullmatch(r"(log |φ\()?(.*?)([₀-₉]*)(\[[^\[\]]*\])?(\))?", letters)
    assert match is not None
    before, core, digits, moment, behind = match.groups(default="")
    word = ""
    if len(core) > 2 and core[1] == "_":  # "α_value", "β_d"
        core, _, index = core.partition("_")
        word = index if len(index) == 1 else _word(index)
    below = ",".join(filter(None, (digits.translate(DIGITS), word, indices)))
    above = rf"^{{[{_inside(moment[1:-1])}]}}" if moment else ""
    lead = {"log ": r"\log ", "φ(": r"\phi("}.get(before, "")
    return lead + _core(core) + (f"_{{{below}}}" if below else "") + above + behind


def _core(core: str) -> str:
    """A letter with its accent, or a word."""
    if len(core) == 2 and core[1] in ACCENTS:
        return f"{ACCENTS[core[1]]}{{{_core(core[0])}}}"
    if core.isascii() and len(core) > 1 and re.fullmatch(r"\w+", core):
        return _word(core)
    return _greek(core)


def _word(word: str) -> str:
    return rf"\mathrm{{{word.replace('_', chr(92) + '_')}}}"


def _inside(moment: str) -> str:
    """The text in brackets behind a name: a time, a letter, or words."""
    words = [rf"\mathrm{{{word}}}" if word.isascii() and word.isalpha() and len(word) > 1 else _greek(word) for word in moment.split(", ")]
    return r",\, ".join(words)


def _greek(text: str) -> str:
    for unicode, latex in LATEX_LETTERS.items():
        text = text.replace(unicode, latex)
    return text


def _latex_number(text: str) -> str:
    r"""\frac{1}{2}, 0.3, 10^{-6}."""
    above, slash, below = text.partition("/")
    if slash:
        return rf"\frac{{{above}}}{{{below}}}"
    mantissa, e, exponent = text.partition("e")
    power = f"10^{{{int(exponent)}}}" if e else ""
    return power if e and mantissa == "1" else rf"{mantissa} \cdot {power}" if e else mantissa


def _latex_function(name: str, axis: str) -> str:
    if name == "NS₅":
        return r"\operatorname{NS}_5"
    if name == "ψ":
        return r"\psi"
    if name in ("exp", "log", "tanh", "cosh", "sinh", "max", "min"):
        text = rf"\{name}"
    elif name == "Φ":
        text = r"\Phi"
    else:
        slopes = name.count("′")
        word = name.replace("′", "").removesuffix("⁻¹").replace("_", r"\_")
        text = rf"\operatorname{{{word}}}" + "'" * slopes + ("^{-1}" if name.endswith("⁻¹") else "")
        if name.endswith("′⁻¹"):
            text = rf"({word}')^{{-1}}"
    return text + (f"_{{{axis}}}" if axis else "")


def _latex_power(base: str, exponent: str) -> str:
    return f"{{{base}}}^{{{exponent}}}" if "^" in base or "_" in base or len(base) > 1 else f"{base}^{{{exponent}}}"


UNICODE = Dialect(
    name=unicode_name,
    number=lambda text: text.replace("-", "−") if "e" not in text else text,
    sign="−",
    fraction=lambda a, b: f"{a} / {b}",
    power=lambda a, b: f"{a}{b.translate(SUPERSCRIPTS)}" if b.isdecimal() else f"{a}^({b})",
    call=unicode_call,
    norm=lambda a, axis: f"‖{a}‖" + (f"_{axis}" if axis else ""),
    total=lambda index, a: f"Σ_{index} {a}" if index.isalnum() else f"Σ_{{{index}}} {a}" if index else f"Σ {a}",
    cases=lambda x, condition, y: f"({x} if {condition} else {y})",
    where=lambda condition: f"[{condition}]",
    transposed=lambda a: f"{a}ᵀ",
    root=lambda a: f"√({a})",
    magnitude=lambda a: f"|{a}|",
    less={"<": "<", "≤": "≤", "≥": "≥", ">": ">"},
    outer=" ⊗ ",
    times=" · ",
    dot=" ",
    inline=lambda a: a,
)
LATEX = Dialect(
    name=latex_name,
    number=_latex_number,
    sign="-",
    fraction=lambda a, b: rf"\frac{{{a}}}{{{b}}}",
    power=_latex_power,
    call=lambda name, axis, arguments: rf"{_latex_function(name, axis)}({arguments})",
    norm=lambda a, axis: rf"\|{a}\|" + (f"_{{{axis}}}" if axis else ""),
    total=lambda index, a: rf"\sum_{{{_greek(index)}}} {a}" if index else rf"\sum {a}",
    cases=lambda x, condition, y: rf"\begin{{cases}} {x} & \text{{if }} {condition} \\ {y} & \text{{else}} \end{{cases}}",
    where=lambda condition: f"[{condition}]",
    transposed=lambda a: rf"{{{a}}}^\top",
    root=lambda a: rf"\sqrt{{{a}}}",
    magnitude=lambda a: f"|{a}|",
    less={"<": "<", "≤": r"\le", "≥": r"\ge", ">": ">"},
    outer=r" \otimes ",
    times=r" \odot ",
    dot=r"\, ",
    inline=lambda a: f"${a}$",
)
