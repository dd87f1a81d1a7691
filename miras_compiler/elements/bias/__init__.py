"""The attentional biases, as one union on `kind`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from miras_compiler.elements.bias.base import AttentionalBias, ThresholdBias
from miras_compiler.elements.bias.dot_product import DotProductBias
from miras_compiler.elements.bias.epsilon_insensitive import EpsilonInsensitiveBias
from miras_compiler.elements.bias.formula import FormulaBias
from miras_compiler.elements.bias.huber import HuberBias
from miras_compiler.elements.bias.huber_norm import HuberNormBias
from miras_compiler.elements.bias.kl import KLBias
from miras_compiler.elements.bias.l2 import L2Bias
from miras_compiler.elements.bias.log_cosh import LogCoshBias
from miras_compiler.elements.bias.lp import LpBias
from miras_compiler.elements.bias.robust_shift import RobustShiftBias
from miras_compiler.elements.bias.yaad_switch import YaadSwitchBias

AnyBias = Annotated[
    DotProductBias
    | L2Bias
    | LpBias
    | HuberBias
    | HuberNormBias
    | YaadSwitchBias
    | RobustShiftBias
    | KLBias
    | LogCoshBias
    | EpsilonInsensitiveBias
    | FormulaBias,
    Field(discriminator="kind"),
]

__all__ = [
    "AnyBias", "AttentionalBias", "DotProductBias", "EpsilonInsensitiveBias", "FormulaBias", "HuberBias", "HuberNormBias", "KLBias",
    "L2Bias", "LogCoshBias", "LpBias", "RobustShiftBias", "ThresholdBias", "YaadSwitchBias",
]  # fmt: skip
