"""Recall over state bytes for many rules: writes the specs and the grids of the study, and draws its leaderboards.

    python benchmarks/recall_study.py specs FOLDER
    miras sweep FOLDER/mqar.yaml --workers 14 -o runs/mqar
    python benchmarks/recall_study.py plot LEADERBOARD.csv… PICTURE.png

A rule is a choice on every axis: memory × attentional bias × retention × optimizer. All but these are equal: two layers of width 128 with two
heads, the same projections, convolutions, gates from the input, and training.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

MQAR, NOISY = "mqar,vocab_size=256,pairs=32,length=128", "noisy_recall,vocab_size=256,pairs=16"
TRAIN = {"steps": 1000, "batch": 64, "lr": 3e-3}
VALUES = 64  # channels of a value in a matrix; those of a key are varied

MATRIX: Mapping[str, tuple[dict[str, object], dict[str, object]]] = {
    "dot_product": ({"kind": "dot_product"}, {"parametrization": "sigmoid", "init": 0.5}),
    "l2": ({"kind": "l2", "scale": 1}, {"parametrization": "sigmoid", "init": 0.5}),
    "huber": ({"kind": "huber", "delta": 1.0}, {"parametrization": "sigmoid", "init": 0.5}),
    "log_cosh": ({"kind": "log_cosh"}, {"parametrization": "sigmoid", "init": 0.5}),
    "robust_shift": ({"kind": "robust_shift", "shift": 0.1}, {"parametrization": "sigmoid", "init": 0.5}),
    "l1": ({"kind": "lp", "p": 1}, {"init": 0.05}),
    "l3": ({"kind": "lp", "p": 3}, {"init": 0.02}),
    "kl": ({"kind": "kl"}, {"init": 0.5}),
}
"""Of a matrix: the bias, and its step size as the specs that come with the compiler start it."""

DEEP: Mapping[str, tuple[dict[str, object], dict[str, object]]] = {
    "l2": ({"kind": "l2", "scale": 2}, {"init": 0.05}),
    "yaad_switch": ({"kind": "yaad_switch", "scale": 2, "delta": 24.0}, {"init": 0.05}),
}
"""Of an MLP of two layers behind a LayerNorm, likewise."""

RULES = (
    *(f"matrix-{bias}-{retention}-gradient_descent" for bias in MATRIX for retention in ("l2", "none")),
    *(f"matrix-{bias}-l2-momentum" for bias in ("dot_product", "l2", "huber")),
    "matrix-l2-none-momentum",
)
ZOO = ("gla", "kda", "mamba2", "rwkv7", "longhorn", "softmax_delta")
DEEP_RULES = ("mlp-l2-l2-gradient_descent", "mlp-l2-l2-momentum", "mlp-yaad_switch-l2-gradient_descent")
GRIDS: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...], tuple[int, ...], tuple[int, ...]]] = {
    "mqar": (MQAR, RULES, ZOO, (16, 64), (0,)),
    "mqar_between": (MQAR, RULES, ZOO, (32, 8), (0,)),
    "mqar_deep": (MQAR, DEEP_RULES, ("ttt_mlp", "transformer"), (16, 32), (0,)),
    "noisy": (NOISY, RULES, ZOO, (16,), (0,)),
}
"""The grids: task, rules, specs that come with the compiler, channels of a key, seeds."""


def specs() -> Iterator[tuple[str, dict[str, object]]]:
    """The rules by name, in full."""
    for name, (bias, eta) in MATRIX.items():
        for retention in ("none", "l2"):
            for optimizer in ("gradient_descent", "momentum"):
                gates = _gates(
                    {**eta, "init": _of_momentum(eta) if optimizer == "momentum" else eta["init"]}, retention, optimizer, 0.99, 0.8
                )
                yield (
                    f"matrix-{name}-{retention}-{optimizer}",
                    {
                        "memory": {"kind": "matrix"},
                        "attentional_bias": bias,
                        "retention": {"kind": retention, "order": "before_gradient"},
                        "optimizer": {"kind": optimizer},
                        "gates": gates,
                        "chunk": {"size": 64, "gradient": "exact"},
                    },
                )
    for name, (bias, eta) in DEEP.items():
        for retention in ("none", "l2"):
            for optimizer in ("gradient_descent", "momentum"):
                gates = _gates(eta, retention, optimizer, 0.999, 0.9)
                if "alpha" in gates:
                    gates["alpha"] = {**gates["alpha"], "range": [0.998, 1]}
                yield f"mlp-{name}-{retention}-{optimizer}", {
                    "memory": {"kind": "mlp", "layers": 2, "expansion": 2, "activation": "gelu", "norm": "layer", "residual": True,
                               "init": {"std": 0.3, "learned": True}},
                    "attentional_bias": bias,
                    "retention": {"kind": retention},
                    "optimizer": {"kind": optimizer},
                    "gates": gates,
                    "chunk": {"size": 16, "gradient": "chunk_start"},
                }  # fmt: skip


def _of_momentum(eta: Mapping[str, object]) -> float:
    """A fifth: the writes of a momentum of 0.8 sum up to five times their length."""
    return float(str(eta["init"])) / 5


def _gates(eta: Mapping[str, object], retention: str, optimizer: str, alpha: float, mu: float) -> dict[str, dict[str, object]]:
    own: dict[str, dict[str, object]] = {"eta": {"per": "head", "source": "input", "low_rank": 32, **eta}}
    if retention != "none":
        own["alpha"] = {"per": "head", "source": "input", "low_rank": 32, "init": alpha}
    if optimizer == "momentum":
        own["mu"] = {"per": "head", "source": "input", "low_rank": 32, "init": mu}
    return own


def write(folder: Path) -> None:
    """The specs and the grids."""
    folder.mkdir(parents=True, exist_ok=True)
    layer = {"heads": 2, "head_dim": 16, "conv": 4, "qk_norm": "l2", "activation": "silu", "output_norm": "rms", "output_gate": True}
    for name, parts in specs():
        text = yaml.safe_dump(
            {"name": name.replace("-", "_"), **parts, "layer": layer}, sort_keys=False, default_flow_style=None, width=140
        )
        (folder / f"{name}.yaml").write_text(text)
    for name, (task, rules, shipped, widths, seeds) in GRIDS.items():
        fixed = {"layer.heads": [2], "model.hidden_size": [128], "model.layers": [2]}
        grid = {
            "base": [*(f"{rule}.yaml" for rule in rules), *shipped],
            "vary": {"layer.head_dim": list(widths), **fixed, **({} if "deep" in name else {"layer.value_dim": [VALUES]})},
            "seeds": list(seeds),
            "train": {**TRAIN, "task": task, "save_every": TRAIN["steps"], "log_every": 50},
            "verify": False,
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(grid, sort_keys=False, default_flow_style=None, width=140))


if __name__ == "__main__":
    if sys.argv[1] == "specs":
        write(Path(sys.argv[2]))
