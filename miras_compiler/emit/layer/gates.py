"""The gates of a layer: where each comes from, where it starts, and how it is handed to the operator or multiplies a tied row."""

from __future__ import annotations

from dataclasses import dataclass

from miras_compiler.derive.leaves import steps_of
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.layer.names import bracketed, several, sizes
from miras_compiler.spec import Spec

FUNCTION = {"sigmoid": "torch.sigmoid", "softplus": "functional.softplus", "identity": ""}
INVERSE = {"sigmoid": "logit", "softplus": "inverse_softplus", "identity": ""}
LOGARITHM = {"torch.sigmoid": "functional.logsigmoid"}
WORDS = {"": "", "torch.sigmoid": "sigmoid of ", "functional.softplus": "softplus of ", "functional.logsigmoid": "log sigmoid of "}


@dataclass(frozen=True)
class GateText:
    """A gate as text: the module that the constructor makes of it, and the entry under which `mix` hands it to the operator."""

    name: str
    module: str
    inverse: str
    construction: str
    entry: str
    description: str
    starts: int  # initial values: one for all heads, or one per head


def build_gates(spec: Spec, interface: Interface) -> tuple[GateText, ...]:
    """The gates of a spec, in the order of the operator's arguments."""
    axes = {argument.name: argument.axes for argument in interface.tokens}
    return tuple(_gate(spec, name, axes) for name in sorted(spec.gates, key=spec.gate_order))


def _gate(spec: Spec, name: str, axes: dict[str, str]) -> GateText:
    gate, parametrization = spec.gates[name], spec.gate_letter(name).parametrization
    decays = f"log_{name}" in axes  # handed over as a logarithm
    keyword = f"log_{name}" if decays else name
    function, inverse = FUNCTION[parametrization], INVERSE[parametrization]
    if decays:
        function = LOGARITHM[function]
    steps = steps_of(spec) if "R" in axes[keyword] else 1
    heads, *channels = sizes(spec, axes[keyword][2:])
    lengths = [several(axes[keyword], steps) + heads, *channels]
    module, arguments, origin = source_of(gate.source, gate.low_rank, f"({', '.join(lengths)}{',' if len(lengths) == 1 else ''})")
    if gate.source == "constant":
        function, inverse = "", "logarithms" if decays else ""
    values = gate.init if isinstance(gate.init, tuple) else (gate.init,)
    opening, closing = (f"{inverse}(", ")") if inverse else ("[", "]")
    start = bracketed(opening, [repr(value) for value in values], closing, 12)
    if steps > 1 and isinstance(gate.init, tuple):
        start += f" * {steps}"
    value = "one number per head" if isinstance(gate.init, tuple) else f"{gate.init:g}"
    return GateText(
        name=name,
        module=module,
        inverse=inverse,
        construction=bracketed(f"self.{name}_gate = {module}(", [*arguments, start], ")", 8),
        entry=_entry(f'"{keyword}": ', f"self.{name}_gate", function, f".unflatten(2, ({steps}, -1)).flatten(1, 2)" if steps > 1 else ""),
        description=f"{keyword} = {WORDS[function]}{origin}; {name} {'is' if gate.source == 'constant' else 'starts at'} {value}",
        starts=len(values),
    )


def source_of(source: str, low_rank: int | None, shape: str) -> tuple[str, list[str], str]:
    """The module that makes a gate of that shape, the arguments of its constructor up to the start, and what it is in words."""
    if source == "constant":
        return "ConstantGate", [shape], "a constant"
    if source == "learned":
        return "LearnedGate", [shape], "learned numbers"
    if low_rank is None:
        return "InputGate", ["hidden_size", shape], "a projection of x"
    return "LowRankGate", ["hidden_size", shape, str(low_rank)], f"a projection of x through rank {low_rank}"


def _entry(key: str, module: str, function: str, rows: str) -> str:
    """ "eta": functional.softplus(self.eta_gate(x)), as an entry of a dict; `rows` makes rows of the writes of a token."""
    if function:
        return bracketed(f"{key}{function}(", [f"{module}(x)"], f"){rows},", 12)
    return bracketed(f"{key}{module}(", ["x"], f"){rows},", 12)
