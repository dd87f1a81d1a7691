"""A chunk in closed form, written out: the state as a decayed sum of surprises, and its coefficients as sums and products of gates."""

from __future__ import annotations

from dataclasses import dataclass

from miras_compiler.derive.chunk_coefficients import ChunkCoefficients, Path
from miras_compiler.derive.chunk_end import waits_for_chunk_end
from miras_compiler.derive.dialects import LATEX, UNICODE, Dialect
from miras_compiler.derive.leaves import gate_axes, gate_letters
from miras_compiler.elements.memory import VectorMemory
from miras_compiler.elements.optimizer import Muon
from miras_compiler.spec import Spec
from miras_compiler.symbols import letter

MAPPED = "every step is mapped to the next weights, so that the state is no decayed sum"


def unrolled_lines(spec: Spec, coefficients: ChunkCoefficients, dialect: Dialect = UNICODE) -> list[tuple[str, str]]:
    """Left and right sides; none where a primal retention maps every step."""
    text = _GateText(spec, dialect)
    waits = waits_for_chunk_end(spec)
    if spec.retention.space == "primal" and not waits:
        return []
    beta = (text.name("β", "t"), text.closed(coefficients.beta))
    if waits:
        return [*_waiting(spec, text), beta]
    named = (("ω", "t", coefficients.reach), ("G", "tj", coefficients.G), ("m", "t", coefficients.m), ("n", "tj", coefficients.n))
    return [
        *_sums(spec, coefficients, text),
        beta,
        *((text.name(name, index), text.closed(path)) for name, index, path in named if path is not None),
    ]


def _sums(spec: Spec, coefficients: ChunkCoefficients, text: _GateText) -> list[tuple[str, str]]:
    kept = text.product(text.name("β", "t"), text.name("A", "0"))
    if isinstance(spec.optimizer, Muon):
        steps = text.product(text.name("G", "tj"), text.dialect.call("NS₅", "", text.name("S", "j")))
        dual = f"{kept} + {text.total('j≤t', steps)}"
    else:
        reach = f" + {text.product(text.name('ω', 't'), text.name('S', '0'))}" if coefficients.reach else ""
        dual = f"{kept}{reach} {text.dialect.sign} {text.total('j≤t', text.product(text.name('G', 'tj'), text.name('g', 'j')))}"
    lines = [(text.name("A", "t"), dual)]
    if coefficients.n is not None:
        momentum = text.total("j≤t", text.product(text.name("n", "tj"), text.name("g", "j")))
        lines.append((text.name("S", "t"), f"{text.product(text.name('m', 't'), text.name('S', '0'))} {text.dialect.sign} {momentum}"))
    return lines


def _waiting(spec: Spec, text: _GateText) -> list[tuple[str, str]]:
    """Muon once per chunk: A decays, and Z collects."""
    d = text.dialect
    share = text.total("i≤t", d.fraction(text.gate("mu", "i"), str(spec.chunk.size)))
    collected = text.total("j≤t", text.product(text.eta("j"), text.name("g", "j")))
    return [
        (text.name("A", "t"), text.product(text.name("β", "t"), text.name("A", "0"))),
        (text.name("Z", "t"), f"{text.name('Z', '0')} + {text.product(f'({share})', text.name('S', '0'))} {d.sign} {collected}"),
    ]


@dataclass(frozen=True)
class _GateText:
    """A gate with a value per row of the state stands upright (ᵀ); products with such are entrywise."""

    spec: Spec
    dialect: Dialect

    @property
    def by_channel(self) -> bool:
        return any(gate_axes(self.spec, gate) for gate in ("alpha", "alpha_value", "mu", "eta"))

    def name(self, letters: str, index: str) -> str:
        return self.dialect.name(letters, index)

    def product(self, *factors: str) -> str:
        return (self.dialect.times if self.by_channel else self.dialect.dot).join(factors)

    def total(self, index: str, inside: str) -> str:
        return self.dialect.total(index, inside)

    def gate(self, gate: str, index: str, letters: str = "") -> str:
        text = self.name(letters or gate_letters(gate), index)
        upright = gate_axes(self.spec, gate) == ("k",) and not isinstance(self.spec.memory, VectorMemory)
        return self.dialect.transposed(text) if upright else text

    def eta(self, index: str) -> str:
        """The step size: eta, or what the optimizer makes of it."""
        return self.gate("eta", index, "" if self.spec.optimizer.step_size() == letter("eta") else "η̃")

    def decay(self, gate: str | None, start: str, end: str) -> str:
        """Π_{l=start..end}, "" where nothing decays."""
        gates = ["alpha", "alpha_value"] if gate == "alpha" else [gate] if gate else []
        factors = [self.gate(each, "l") for each in gates if each in self.spec.gates]
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
