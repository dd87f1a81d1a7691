"""Feature maps φ(x), applied to keys and queries alike, over the last axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from miras_compiler.verify.literal.formula_value import formula_value


def features(feature_map: Mapping[str, Any], x: Tensor) -> Tensor:
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
    raise NotImplementedError(f"no literal feature map of kind {feature_map['kind']}")
