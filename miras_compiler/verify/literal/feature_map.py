"""Feature maps φ(x), applied to keys, queries and erase keys alike, over the last axis."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from miras_compiler.verify.literal.formula_value import formula_value

COEFFICIENTS = "feature_coefficients"  # the operator's parameter: c_0 … c_degree of a polynomial map


def features(feature_map: Mapping[str, Any], x: Tensor, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
    """φ(x) of rows [..., K] → [..., Kφ]."""
    match feature_map["kind"]:
        case "identity":
            return x
        case "elu_plus_one":
            return functional.elu(x) + 1
        case "relu":
            return torch.relu(x)
        case "softmax":
            return torch.softmax(x, -1)
        case "formula":
            return formula_value(feature_map["map"], {"x": x}).expand_as(x)
        case "polynomial":
            assert parameters is not None
            return _monomials(x, parameters[COEFFICIENTS])
    raise NotImplementedError(f"no literal feature map of kind {feature_map['kind']}")


def feature_width(feature_map: Mapping[str, Any], key_width: int) -> int:
    """Kφ."""
    if feature_map["kind"] == "polynomial":
        return math.comb(key_width + feature_map["degree"], feature_map["degree"])
    return key_width


def _monomials(x: Tensor, coefficients: Tensor) -> Tensor:
    """c_|b| √(|b|!/b!) x^b, by ascending degree; of one degree in the order of the sorted lists of factors (x₀x₀, x₀x₁, …, x₁x₁, …)."""
    columns = []
    for degree, coefficient in enumerate(coefficients):
        for factors in itertools.combinations_with_replacement(range(x.shape[-1]), degree):
            arrangements = math.factorial(degree) // math.prod(math.factorial(n) for n in Counter(factors).values())
            monomial = torch.ones_like(x[..., 0])
            for channel in factors:
                monomial = monomial * x[..., channel]
            columns.append(coefficient * math.sqrt(arrangements) * monomial)
    return torch.stack(columns, -1)
