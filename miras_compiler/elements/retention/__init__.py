"""The retentions, as one union on `kind`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from miras_compiler.elements.retention.base import Retention
from miras_compiler.elements.retention.bregman import BregmanRetention
from miras_compiler.elements.retention.elastic_net import ElasticNetRetention
from miras_compiler.elements.retention.elastic_net_ftrl import ElasticNetFTRLRetention
from miras_compiler.elements.retention.f_divergence import FDivergenceRetention
from miras_compiler.elements.retention.kl import KLRetention
from miras_compiler.elements.retention.l2 import L2Retention
from miras_compiler.elements.retention.lq import LqRetention
from miras_compiler.elements.retention.lq_printed import LqPrintedRetention
from miras_compiler.elements.retention.none import NoRetention
from miras_compiler.elements.retention.sigmoid import SigmoidRetention
from miras_compiler.elements.retention.weight_norm import WeightNormRetention

AnyRetention = Annotated[
    NoRetention
    | L2Retention
    | KLRetention
    | SigmoidRetention
    | LqRetention
    | LqPrintedRetention
    | ElasticNetFTRLRetention
    | BregmanRetention
    | ElasticNetRetention
    | WeightNormRetention
    | FDivergenceRetention,
    Field(discriminator="kind"),
]

__all__ = [
    "AnyRetention", "BregmanRetention", "ElasticNetFTRLRetention", "ElasticNetRetention", "FDivergenceRetention", "KLRetention",
    "L2Retention", "LqPrintedRetention", "LqRetention", "NoRetention", "Retention", "SigmoidRetention", "WeightNormRetention",
]  # fmt: skip
