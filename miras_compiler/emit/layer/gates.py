"""The gates of a layer: where each comes from, where it starts, and how it is handed to the operator."""

from __future__ import annotations

from dataclasses import dataclass

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.layer.functions import GateFunction, function_of
from miras_compiler.emit.layer.names import several, sizes, value_heads
from miras_compiler.emit.printing.python_text import bracketed


@dataclass(frozen=True)
class GateText:
    """A gate as text: the statements that make its modules in the constructor, and its value in `mix`.

    `late`: the value reads another gate, so it is added to the dict of gates when that is complete.
    """

    name: str
    keyword: str
    constructions: tuple[str, ...]
    value: str
    description: str
    starts: int  # initial values: one for all heads, or one per head
    late: bool = False

    @property
    def entry(self) -> str:
        """ "eta": functional.softplus(self.eta_gate(x)), as a line of a dict."""
        return f'"{self.keyword}": {self.value},'


def build_gates(rule: Rule, interface: Interface) -> tuple[GateText, ...]:
    """The gates of a spec, in the order of the operator's arguments."""
    axes = {argument.name: argument.axes for argument in interface.tokens}
    return tuple(_gate(rule, name, axes) for name in rule.gates)


def _gate(rule: Rule, name: str, axes: dict[str, str]) -> GateText:
    gate = rule.gates[name]
    decays = f"log_{name}" in axes  # handed over as a logarithm
    keyword = f"log_{name}" if decays else name
    values = gate.init if isinstance(gate.init, tuple) else (gate.init,)
    if gate.source == "eta":
        return _of_eta(rule, name, keyword, values)
    function = function_of(gate.range, decays, name)
    steps = rule.update.writes if "R" in axes[keyword] else 1
    heads, *channels = sizes(rule, axes[keyword][2:])
    lengths = [several(axes[keyword], steps) + heads, *channels]
    module, arguments, origin = source_of(gate.source, gate.low_rank, f"({', '.join(lengths)}{',' if len(lengths) == 1 else ''})")
    start = _start(function, values)
    if steps > 1 and isinstance(gate.init, tuple):
        start += f" * {steps}"
    made = [bracketed(f"self.{name}_gate = {module}(", [*arguments, start], ")", 8)]
    if function.rate:
        made.append(f"self.{name}_rate = DecayRate({heads}, [1.0])")
    rows = f"torch.unflatten({{}}, 2, ({steps}, -1)).flatten(1, 2)" if steps > 1 else "{}"
    value = rows.format(function.value.format(f"self.{name}_gate(x)"))
    if len(value) > 100:  # a long name
        value = rows.format(function.value.format(f"\n    self.{name}_gate(x)\n"))
    told = "one number per head" if isinstance(gate.init, tuple) else f"{gate.init:g}"
    verb = "is" if gate.source == "constant" else "starts at"
    return GateText(name, keyword, tuple(made), value, f"{keyword} = {function.words}{origin}; {name} {verb} {told}", len(values))


def _of_eta(rule: Rule, name: str, keyword: str, values: tuple[float, ...]) -> GateText:
    """log α = −exp(A) η; A starts where α and η do at their inits."""
    eta = rule.gates["eta"].init
    etas = eta if isinstance(eta, tuple) else (eta,)
    count = max(len(values), len(etas))
    pairs = zip(values * (count // len(values)), etas * (count // len(etas)), strict=True)
    start = bracketed("[", [f"-math.log({value!r}) / {step!r}" for value, step in pairs], "]", 12)
    made = bracketed(f"self.{name}_rate = DecayRate(", [value_heads(rule.frame.layer), start], ")", 8)
    told = "one number per head" if len(values) > 1 else f"{values[0]:g}"
    words = f"{keyword} = −exp(A) eta; {name} starts at {told}"
    return GateText(name, keyword, (made,), f'self.{name}_rate(gates["eta"])', words, count, late=True)


def _start(function: GateFunction, values: tuple[float, ...]) -> str:
    opening, closing = (f"{function.inverse}(", ")") if function.inverse else ("[", "]")
    return bracketed(opening, [function.argument.format(repr(value)) for value in values], closing, 12)


def source_of(source: str, low_rank: int | None, shape: str) -> tuple[str, list[str], str]:
    """The module that makes a gate of that shape, the arguments of its constructor up to the start, and its origin in words."""
    if source == "constant":
        return "ConstantGate", [shape], "a constant"
    if source == "learned":
        return "LearnedGate", [shape], "learned numbers"
    if low_rank is None:
        return "InputGate", ["hidden_size", shape], "a projection of x"
    return "LowRankGate", ["hidden_size", shape, str(low_rank)], f"a projection of x through rank {low_rank}"
