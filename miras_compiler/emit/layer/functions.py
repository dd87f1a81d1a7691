"""The functions by which a layer makes gates, as Python text: the value from a number, and the number at which the value starts."""

from __future__ import annotations

from typing import NamedTuple

from miras_compiler.errors import InternalError
from miras_compiler.spec.gates import GateRange


class GateFunction(NamedTuple):
    """`value` and `argument` are formats of one hole: the gate from the module's number, and the inverse's argument from an init."""

    value: str
    inverse: str  # a function of runtime_gates that makes a list of starts, or "": the inits themselves
    argument: str
    words: str
    rate: bool = False  # multiplied by a learned rate of decay


def function_of(own: GateRange, decays: bool, name: str) -> GateFunction:
    """The function of a gate; of its logarithm where it is a decay."""
    if own.parametrization == "constant":
        return GateFunction("{}", "logarithms" if decays else "", "{}", "")
    if decays:
        return _of_decay(own, name)
    low, width = own.low, _width(own)
    match own.parametrization:
        case "sigmoid" | "2*sigmoid":
            return GateFunction(
                f"{_shift(low)}{_factor(width)}torch.sigmoid({{}})", "logit", _share(low, width), f"{_words(own)}sigmoid of "
            )
        case "tanh" if (low, width) == (-1, 2):
            return GateFunction("torch.tanh({})", "inverse_tanh", "{}", "tanh of ")
        case "tanh":
            middle, half = low + width / 2, width / 2
            value = f"{_shift(middle)}{_factor(half)}torch.tanh({{}})"
            return GateFunction(value, "inverse_tanh", _share(middle, half), f"{_words(own)}tanh of ")
        case "softplus":
            return GateFunction(f"{_shift(low)}functional.softplus({{}})", "inverse_softplus", _share(low, 1), f"{_words(own)}softplus of ")
        case "positive":
            return GateFunction(f"{_shift(low)}torch.exp({{}})", "logarithms", _share(low, 1), f"{_words(own)}exp of ")
        case "identity":
            return GateFunction("{}", "", "{}", "")
    raise InternalError(f"a layer has no function for the parametrization {own.parametrization}")


def _of_decay(own: GateRange, name: str) -> GateFunction:
    match own.parametrization:
        case "exp_softplus":
            value = f"self.{name}_rate(functional.softplus({{}}))"
            return GateFunction(value, "inverse_softplus", "-math.log({})", "−exp(A) softplus of ", rate=True)
        case "exp_sigmoid":
            value, argument = f"math.log({own.low!r}) * torch.sigmoid({{}})", f"math.log({{}}) / math.log({own.low!r})"
            return GateFunction(value, "logit", argument, f"log {own.low:g} · sigmoid of ")
        case "sigmoid" if (own.low, own.high) == (0, 1):
            return GateFunction("functional.logsigmoid({})", "logit", "{}", "log sigmoid of ")
        case "sigmoid":
            width = _width(own)
            value = f"torch.log({_shift(own.low)}{_factor(width)}torch.sigmoid({{}}))"
            return GateFunction(value, "logit", _share(own.low, width), f"log, {_words(own)}sigmoid of ")
    raise InternalError(f"a layer has no logarithm for the parametrization {own.parametrization}")


def _width(own: GateRange) -> float:
    """high − low as one would write it: 0.002 of 0.998 and 1."""
    return float(f"{own.high - own.low:.12g}")


def _shift(low: float) -> str:
    return "" if low == 0 else f"{low!r} + "


def _factor(width: float) -> str:
    return "" if width == 1 else f"{width!r} * "


def _share(low: float, width: float) -> str:
    """The format of (init − low) / width."""
    inside = "{}" if low == 0 else f"({{}} - {low!r})" if low > 0 else f"({{}} + {-low!r})"
    if width == 1:
        return inside.removeprefix("(").removesuffix(")") if low else inside
    return f"{inside} / {width!r}"


def _words(own: GateRange) -> str:
    natural = {"sigmoid": (0, 1), "softplus": (0, float("inf")), "positive": (0, float("inf")), "tanh": (-1, 1)}
    if own.parametrization == "2*sigmoid":
        return "twice the "
    return "" if (own.low, own.high) == natural[own.parametrization] else f"in {own.domain}, by "
