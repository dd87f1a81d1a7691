"""Parameters of a layer besides projections and gates: the initial state W_0, the norm inside the memory, the scale of the output norm."""

from __future__ import annotations

from dataclasses import dataclass

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface
from miras_compiler.emit.layer.names import sizes

DRAW = {  # a scale is 1 and a shift 0; the coefficients of a polynomial map are those of the exponential, 1/√(i!)
    "ln_weight": "nn.init.ones_(self.ln_weight)",
    "ln_bias": "nn.init.zeros_(self.ln_bias)",
    "feature_coefficients": "fill(self.feature_coefficients, [math.factorial(i) ** -0.5 for i in range(len(self.feature_coefficients))])",
}


@dataclass(frozen=True)
class OwnedText:
    """A parameter or buffer: how the constructor makes it, how it is drawn, and of a weight of W_0 the expression for its start."""

    name: str
    construction: str
    draw: str
    start: str = ""


def build_weights(rule: Rule, interface: Interface) -> tuple[OwnedText, ...]:
    """The weights of W_0; none where the operator begins at zero by itself."""
    if not interface.requires_state:
        return ()
    memory = rule.memory
    texts = []
    for name, axes, *_ in interface.weights:
        empty = f"torch.empty({', '.join(sizes(rule, axes.removeprefix('B')))})"
        make = f"self.{name} = nn.Parameter({empty})" if memory.learned else f'self.register_buffer("{name}", {empty})'
        std = f"self.{name}.shape[1] ** -0.5" if memory.std == "fan_in" else repr(memory.std)
        texts.append(OwnedText(name, make, f"nn.init.normal_(self.{name}, std={std})", _start(rule, name)))
    return tuple(texts)


def _start(rule: Rule, name: str) -> str:
    """W_0 of one weight: the numbers of the layer, or where slices have a total the point of the simplex whose logarithm they are."""
    if rule.mirror.start != "uniform":
        return f"self.{name}"
    flat = rule.mirror.slices == "all"
    inside = f"self.{name}.flatten(-2)" if flat else f"self.{name}"
    axis = -2 if rule.mirror.slices == "input" else -1
    back = f".reshape(self.{name}.shape)" if flat else ""
    return f"{rule.mirror.total} * torch.softmax({inside}, {axis}){back}"


def build_parameters(rule: Rule, interface: Interface) -> tuple[OwnedText, ...]:
    """The operator's arguments that belong to no token."""
    return tuple(
        OwnedText(name, f"self.{name} = nn.Parameter(torch.empty({', '.join(sizes(rule, axes))}))", DRAW[name])
        for name, axes, *_ in interface.parameters
    )


def start_words(rule: Rule, interface: Interface) -> str:
    """The initial state of the memory, for the layer's docstring."""
    if not interface.requires_state:
        return "the memory begins uniform" if rule.mirror.start == "uniform" else "the memory begins at A = 0"
    memory = rule.memory
    spread = "1/√rows" if memory.std == "fan_in" else f"{memory.std:g}"
    names = " and ".join(entry.name for entry in interface.weights)
    if rule.mirror.start == "uniform":
        return (
            f"the memory begins at softmaxes of {names}, {'learned' if memory.learned else 'fixed'}, drawn with standard deviation {spread}"
        )
    return f"the memory begins at {names}, {'learned' if memory.learned else 'fixed'}, drawn with standard deviation {spread}"
