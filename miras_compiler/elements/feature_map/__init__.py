"""The feature maps, as one union on `kind`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from miras_compiler.elements.feature_map.base import FeatureMap
from miras_compiler.elements.feature_map.elu_plus_one import EluPlusOneMap
from miras_compiler.elements.feature_map.formula import FormulaMap
from miras_compiler.elements.feature_map.identity import IdentityMap
from miras_compiler.elements.feature_map.polynomial import PolynomialMap
from miras_compiler.elements.feature_map.relu import ReluMap
from miras_compiler.elements.feature_map.softmax import SoftmaxMap

AnyFeatureMap = Annotated[
    IdentityMap | EluPlusOneMap | ReluMap | SoftmaxMap | FormulaMap | PolynomialMap,
    Field(discriminator="kind"),
]

__all__ = ["AnyFeatureMap", "EluPlusOneMap", "FeatureMap", "FormulaMap", "IdentityMap", "PolynomialMap", "ReluMap", "SoftmaxMap"]
