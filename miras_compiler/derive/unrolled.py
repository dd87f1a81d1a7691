"""A chunk in closed form, written out: the state as a decayed sum of surprises, and its coefficients as sums and products of gates."""

from __future__ import annotations

from dataclasses import dataclass

from miras_compiler.derive.chunk_coefficients import ChunkCoefficients, Path
from miras_compiler.derive.dialects import LATEX, UNICODE, Dialect
from miras_compiler.derive.gate_letters import gate_letters
from miras_compiler.derive.rule import Rule

MAPPED = "every step is mapped to the next weights, so that the state is no decayed sum"


def unrolled_lines(rule: Rule, coefficients: ChunkCoefficients, dialect: Dialect = UNICODE) -> list[tuple[str, str]]:
    """Left and right sides; none where a primal retention maps every step."""
    text = _GateText(rule, dialect)
    if rule.mirror.primal and not rule.update.waits:
        return []
    beta = (text.name("β", "t"), text.closed(coefficients.beta))
    if rule.update.waits:
        return [*_waiting(rule, text), beta]
    named = (("ω", "t", coefficients.reach), ("G", "tj", coefficients.G), ("m", "t", coefficients.m), ("n", "tj", coefficients.n))
    return [
        *_sums(rule, coefficients, text),
        beta,
        *((text.name(name, index), text.closed(path)) for name, index, path in named if path is not None),
    ]


def _sums(rule: Rule, coefficients: ChunkCoefficients, text: _GateText) -> list[tuple[str, str]]:
    kept = text.product(text.name("β", "t"), text.name("A[0]", ""))
    if rule.update.orthogonal is not None:
        steps = text.product(text.name("G", "tj"), text.dialect.call("NS₅", "", text.name("S", "j")))
        dual = f"{kept} + {text.total('j≤t', steps)}"
    else:
        reach = f" + {text.product(text.name('ω', 't'), text.name('S[0]', ''))}" if coefficients.reach else ""
        dual = f"{kept}{reach} {text.dialect.sign} {text.total('j≤t', text.product(text.name('G', 'tj'), text.name('g', 'j')))}"
    lines = [(text.name("A", "t"), dual)]
    if coefficients.n is not None:
        momentum = text.total("j≤t", text.product(text.name("n", "tj"), text.name("g", "j")))
        lines.append((text.name("S", "t"), f"{text.product(text.name('m', 't'), text.name('S[0]', ''))} {text.dialect.sign} {momentum}"))
    return lines


def _waiting(rule: Rule, text: _GateText) -> list[tuple[str, str]]:
    """Muon once per chunk: A decays, and Z collects."""
    d = text.dialect
    share = text.total("i≤t", d.fraction(text.gate("mu", "i"), str(rule.chunk.size)))
    collected = text.total("j≤t", text.product(text.eta("j"), text.name("g", "j")))
    return [
        (text.name("A", "t"), text.product(text.name("β", "t"), text.name("A[0]", ""))),
        (text.name("Z", "t"), f"{text.name('Z[0]', '')} + {text.product(f'({share})', text.name('S[0]', ''))} {d.sign} {collected}"),
    ]


@dataclass(frozen=True)
class _GateText:
    """A gate with a value per row of the state stands upright (ᵀ); products with such are entrywise."""

    rule: Rule
    dialect: Dialect

    @property
    def by_channel(self) -> bool:
        return any(self.rule.axes(gate) for gate in ("alpha", "alpha_value", "mu", "eta"))

    def name(self, letters: str, index: str) -> str:
        return self.dialect.name(letters, index)

    def product(self, *factors: str) -> str:
        return (self.dialect.times if self.by_channel else self.dialect.dot).join(factors)

    def total(self, index: str, inside: str) -> str:
        return self.dialect.total(index, inside)

    def gate(self, gate: str, index: str, letters: str = "") -> str:
        text = self.name(letters or gate_letters(gate), index)
        upright = self.rule.axes(gate) == ("k",)
        return self.dialect.transposed(text) if upright else text

    def eta(self, index: str) -> str:
        """The step size: eta, or the optimizer's function of it."""
        return self.gate("eta", index, "η̃" if self.rule.update.own_step_size else "")

    def decay(self, gate: str | None, start: str, end: str) -> str:
        """Π_{l=start..end}, "" where nothing decays."""
        gates = next((each.decays for each in self.rule.recurrences.values() if gate in each.decays), ())
        factors = [self.gate(each, "l") for each in gates]
        if not factors:
            return ""
        inside = self.product(*factors)
        inside = f"({inside})" if len(factors) > 1 else inside
        if self.dialect is LATEX:
            return rf"\prod_{{l={start}}}^{{{end}}} {inside}"
        return f"Π_{{l={start}..{end}}} {inside}"

    def closed(self, path: Path) -> str:
        """The coefficient at t of a path that starts at the token j, or before the first."""
        outer, *inner = path.decays
        first = "j+1" if path.from_token else "1"
        weight = self.eta("j") if path.start == "token" else ""
        if not inner:
            return self.product(*filter(None, (weight, self.decay(outer, first, "t")))) or "1"
        decays = [text for text in (self.decay(outer, "i+1", "t"), self.decay(inner[0], first, "i")) if text]
        inside = decays[0] if len(decays) == 1 else self.product(*(f"({text})" for text in decays))
        start = "j" if path.from_token else "1"
        summed = rf"\sum_{{i={start}}}^{{t}} {inside}" if self.dialect is LATEX else f"Σ_{{i={start}..t}} {inside}"
        return self.product(*filter(None, (weight, summed)))
