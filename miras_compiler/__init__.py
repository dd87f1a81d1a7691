"""A compiler from a MIRAS spec to derived, verified, readable PyTorch.

    from miras_compiler import compile_spec, load_spec
    compilation = compile_spec(load_spec("yaad"))

A spec can be built of the same parts in Python:

    from miras_compiler import Gate, HuberBias, L2Retention, MatrixMemory, Spec
    spec = Spec(name="mine", memory=MatrixMemory(), attentional_bias=HuberBias(), retention=L2Retention(),
                gates={"alpha": Gate(), "eta": Gate(), "delta": Gate()})

The names below are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from miras_compiler.version import __version__

if TYPE_CHECKING:
    from miras_compiler.analysis import ParallelForm
    from miras_compiler.compilation import Compilation
    from miras_compiler.compiler import compile_spec
    from miras_compiler.derive import UpdateRule
    from miras_compiler.elements.bias import (
        DotProductBias,
        EpsilonInsensitiveBias,
        FormulaBias,
        HuberBias,
        HuberNormBias,
        KLBias,
        L2Bias,
        LogCoshBias,
        LpBias,
        RobustShiftBias,
        YaadSwitchBias,
    )
    from miras_compiler.elements.feature_map import EluPlusOneMap, FormulaMap, IdentityMap, PolynomialMap, ReluMap, SoftmaxMap
    from miras_compiler.elements.memory import MatrixMemory, MemoryInit, MLPMemory, SwiGLUMemory, VectorMemory
    from miras_compiler.elements.optimizer import GradientDescent, Implicit, Momentum, Muon, Nesterov, Preconditioned
    from miras_compiler.elements.retention import (
        BregmanRetention,
        ElasticNetFTRLRetention,
        ElasticNetRetention,
        FDivergenceRetention,
        KLRetention,
        L2Retention,
        LqPrintedRetention,
        LqRetention,
        NoRetention,
        SigmoidRetention,
        WeightNormRetention,
    )
    from miras_compiler.emit import SourceFile
    from miras_compiler.emit.graph import render
    from miras_compiler.errors import CheckFailed, InputError, InternalError, MirasError, Problem, SpecError
    from miras_compiler.spec import (
        Chunk,
        Gate,
        Layer,
        LedgerEntry,
        Spec,
        Tie,
        TieGate,
        TieTerm,
        build_spec,
        check_spec,
        digest,
        json_schema,
        load_spec,
        normalized_yaml,
        parse_spec,
    )
    from miras_compiler.store import write_package
    from miras_compiler.verified import verify_package

__all__ = [
    "BregmanRetention", "CheckFailed", "Chunk", "Compilation", "DotProductBias", "ElasticNetFTRLRetention", "ElasticNetRetention",
    "EluPlusOneMap", "EpsilonInsensitiveBias", "FDivergenceRetention", "FormulaBias", "FormulaMap", "Gate", "GradientDescent",
    "HuberBias", "HuberNormBias", "IdentityMap", "Implicit", "InputError", "InternalError", "KLBias", "KLRetention", "L2Bias",
    "L2Retention", "Layer", "LedgerEntry", "LogCoshBias", "LpBias", "LqPrintedRetention", "LqRetention", "MLPMemory", "MatrixMemory",
    "MemoryInit", "MirasError", "Momentum", "Muon", "Nesterov", "NoRetention", "ParallelForm", "PolynomialMap", "Preconditioned",
    "Problem", "ReluMap", "RobustShiftBias", "SigmoidRetention", "SoftmaxMap", "SourceFile", "Spec", "SpecError", "SwiGLUMemory", "Tie",
    "TieGate", "TieTerm", "UpdateRule", "VectorMemory", "WeightNormRetention", "YaadSwitchBias", "__version__", "build_spec", "check_spec",
    "compile_spec", "digest", "json_schema", "load_spec", "normalized_yaml", "parse_spec", "render", "verify_package", "write_package",
]  # fmt: skip

HOMES = {
    "analysis": "ParallelForm",
    "compilation": "Compilation",
    "compiler": "compile_spec",
    "derive": "UpdateRule",
    "elements.bias": """
        DotProductBias EpsilonInsensitiveBias FormulaBias HuberBias HuberNormBias KLBias L2Bias LogCoshBias LpBias RobustShiftBias
        YaadSwitchBias
    """,
    "elements.feature_map": "EluPlusOneMap FormulaMap IdentityMap PolynomialMap ReluMap SoftmaxMap",
    "elements.memory": "MLPMemory MatrixMemory MemoryInit SwiGLUMemory VectorMemory",
    "elements.optimizer": "GradientDescent Implicit Momentum Muon Nesterov Preconditioned",
    "elements.retention": """
        BregmanRetention ElasticNetFTRLRetention ElasticNetRetention FDivergenceRetention KLRetention L2Retention LqPrintedRetention
        LqRetention NoRetention SigmoidRetention WeightNormRetention
    """,
    "emit": "SourceFile",
    "emit.graph": "render",
    "errors": "CheckFailed InputError InternalError MirasError Problem SpecError",
    "spec": """
        Chunk Gate Layer LedgerEntry Spec Tie TieGate TieTerm build_spec check_spec digest json_schema load_spec normalized_yaml parse_spec
    """,
    "store": "write_package",
    "verified": "verify_package",
}


def __getattr__(name: str) -> object:
    for module, names in HOMES.items():
        if name in names.split():
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
