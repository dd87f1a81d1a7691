"""Recall over state bytes for many rules: writes the specs and the grids of the study, and draws the leaderboards of their sweeps.

    python benchmarks/recall_study.py specs FOLDER
    miras sweep FOLDER/mqar.yaml --workers 14 -o runs/mqar
    python benchmarks/recall_study.py plot PICTURE.png LEADERBOARD.csv…

A rule is a choice on every axis: memory × attentional bias × retention × optimizer. All but these are equal: two layers of width 128 with
two heads, the same projections, convolutions, gates from the input, and training.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MQAR, NOISY = "mqar,vocab_size=256,pairs=32,length=128", "noisy_recall,vocab_size=256,pairs=16"
TRAIN = {"steps": 1000, "batch": 64, "lr": 3e-3, "save_every": 1000, "log_every": 50}
VALUES = 64  # channels of a value in a matrix; those of a key are varied

HALF = {"parametrization": "sigmoid", "init": 0.5}
MATRIX: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dot_product": ({"kind": "dot_product"}, HALF),
    "l2": ({"kind": "l2", "scale": 1}, HALF),
    "huber": ({"kind": "huber", "delta": 1.0}, HALF),
    "log_cosh": ({"kind": "log_cosh"}, HALF),
    "robust_shift": ({"kind": "robust_shift", "shift": 0.1}, HALF),
    "l1": ({"kind": "lp", "p": 1}, {"init": 0.05}),
    "l3": ({"kind": "lp", "p": 3}, {"init": 0.02}),
    "kl": ({"kind": "kl"}, {"init": 0.5}),
}
"""Of a matrix: the bias, and its step size as the specs that come with the compiler start it."""

MLP: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "l2": ({"kind": "l2", "scale": 2}, {"init": 0.05}),
    "yaad_switch": ({"kind": "yaad_switch", "scale": 2, "delta": 24.0}, {"init": 0.05}),
}
"""Of an MLP of two layers behind a LayerNorm: steps long enough to keep a pair that is shown once."""

RULES = (
    *(f"matrix-{bias}-{retention}-gradient_descent" for bias in MATRIX for retention in ("l2", "none")),
    *(f"matrix-{bias}-l2-momentum" for bias in ("dot_product", "l2", "huber")),
    "matrix-l2-none-momentum",
)
DEEP = ("mlp-l2-l2-gradient_descent", "mlp-l2-l2-momentum", "mlp-yaad_switch-l2-gradient_descent")
ZOO = ("gla", "kda", "mamba2", "rwkv7", "longhorn", "softmax_delta")

GRIDS: Mapping[str, tuple[str, tuple[str, ...], tuple[int, ...]]] = {
    "mqar": (MQAR, (*RULES, *ZOO), (16, 64)),
    "mqar_between": (MQAR, (*RULES, *ZOO), (32, 8)),
    "mqar_deep": (MQAR, (*DEEP, "ttt_mlp", "transformer"), (16, 32)),
    "noisy": (NOISY, (*RULES, *ZOO), (16,)),
}
"""The sweeps: their task, rules of the study and specs that come with the compiler, channels of a key."""


def rule(name: str) -> dict[str, Any]:
    """The spec of memory-bias-retention-optimizer."""
    memory, bias, retention, optimizer = name.split("-")
    deep = memory == "mlp"
    kind, eta = (MLP if deep else MATRIX)[bias]
    gate = {"per": "head", "source": "input", "low_rank": 32}
    # the writes of a momentum of 0.8 sum up to five times their length
    gates = {"eta": {**gate, **eta, "init": eta["init"] / 5 if optimizer == "momentum" and not deep else eta["init"]}}
    if retention != "none":
        gates["alpha"] = {**gate, "init": 0.999, "range": [0.998, 1]} if deep else {**gate, "init": 0.99}
    if optimizer == "momentum":
        gates["mu"] = {**gate, "init": 0.9 if deep else 0.8}
    mlp = {"kind": "mlp", "layers": 2, "expansion": 2, "activation": "gelu", "norm": "layer", "residual": True}
    return {
        "name": name.replace("-", "_"),
        "memory": {**mlp, "init": {"std": 0.3, "learned": True}} if deep else {"kind": "matrix"},
        "attentional_bias": kind,
        "retention": {"kind": retention, "order": "after_gradient" if deep else "before_gradient"},
        "optimizer": {"kind": optimizer},
        "gates": gates,
        "chunk": {"size": 16, "gradient": "chunk_start"} if deep else {"size": 64, "gradient": "exact"},
        "layer": {"heads": 2, "head_dim": 16, "conv": 4, "qk_norm": "l2", "activation": "silu", "output_norm": "rms", "output_gate": True},
    }


def write(folder: Path) -> None:
    """The specs and the grids, as JSON, which YAML contains."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*RULES, *DEEP):
        (folder / f"{name}.yaml").write_text(json.dumps(rule(name), indent=1))
    for name, (task, rules, widths) in GRIDS.items():
        sizes = {"layer.heads": [2], "model.hidden_size": [128], "model.layers": [2]}
        grid = {
            "base": [f"{each}.yaml" if "-" in each else each for each in rules],
            "vary": {"layer.head_dim": list(widths), **sizes, **({} if "deep" in name else {"layer.value_dim": [VALUES]})},
            "train": {**TRAIN, "task": task},
            "verify": False,
        }
        (folder / f"{name}.yaml").write_text(json.dumps(grid, indent=1))


if __name__ == "__main__":
    if sys.argv[1] == "specs":
        write(Path(sys.argv[2]))
