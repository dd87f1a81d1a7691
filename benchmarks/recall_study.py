"""Recall over state bytes for many rules: writes the specs and the grids of the study, and a table and a picture of their sweeps.

    python benchmarks/recall_study.py specs FOLDER
    miras sweep FOLDER/front.yaml --workers 15 -o runs/front
    python benchmarks/recall_study.py table RESULTS.csv runs/mqar_64…
    python benchmarks/recall_study.py plot RESULTS.csv PICTURE.png

A rule is a choice on every axis: memory × attentional bias × retention × optimizer. All but these are equal: two layers of width 128 with
one head, the same projections, convolutions, gates from the input, and training. The rules of the front are trained longer, from three
seeds each.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

MQAR, NOISY = "mqar,vocab_size=256,pairs=16,length=128", "noisy_recall,vocab_size=256,pairs=16"
TRAIN = {"batch": 128, "lr": 1e-3, "log_every": 50}
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

SIZED = (
    *(f"matrix-{bias}-{retention}-gradient_descent" for bias in ("dot_product", "l2") for retention in ("none", "l2", "channel")),
    *("matrix-huber-l2-gradient_descent", "matrix-kl-l2-gradient_descent", "matrix-l2-l2-momentum"),
)
"""Rules of a matrix that are tried at five state sizes."""

OTHERS = (
    *(f"matrix-{bias}-none-gradient_descent" for bias in ("huber", "kl", "l1", "log_cosh", "robust_shift")),
    *(f"matrix-{bias}-l2-gradient_descent" for bias in ("l1", "l3", "log_cosh", "robust_shift")),
    *("matrix-dot_product-l2-momentum", "matrix-l2-none-momentum", "matrix-huber-l2-momentum"),
    *("rwkv7", "longhorn", "softmax_delta"),
)
"""Those that are tried at one; names without a dash are specs that come with the compiler."""

DEEP = (
    *("mlp-l2-l2-gradient_descent", "mlp-l2-l2-momentum", "mlp-yaad_switch-l2-gradient_descent"),
    *("ttt_mlp", "moneta", "transformer"),
)

FRONT = (*(f"matrix-{rule}-gradient_descent" for rule in ("dot_product-none", "l2-none", "l2-l2", "l2-channel", "huber-l2")),)
"""Rules that recalled most of those of their size."""


class Sweep(NamedTuple):
    """A task, rules of the study and specs that come with the compiler, channels of a key; steps and seeds of a training."""

    task: str
    rules: tuple[str, ...]
    widths: tuple[int, ...]
    steps: int = 1200
    seeds: tuple[int, ...] = (0,)


GRIDS: Mapping[str, Sweep] = {
    **{f"mqar_{width}": Sweep(MQAR, SIZED, (width,)) for width in (64, 16, 32, 8, 128)},
    "mqar_others": Sweep(MQAR, OTHERS, (64,)),
    "mqar_deep": Sweep(MQAR, DEEP, (32,)),
    "noisy_64": Sweep(NOISY, SIZED, (64,)),
    "noisy_sizes": Sweep(NOISY, SIZED, (8, 16, 32, 128)),
    "seeds": Sweep(MQAR, (*FRONT[:3], FRONT[4]), (32, 64), seeds=(1, 2)),
    "front": Sweep(MQAR, FRONT, (8, 16, 32), 1800, (0, 1, 2)),
}


def rule(name: str) -> dict[str, Any]:
    """The spec of memory-bias-retention-optimizer."""
    memory, bias, retention, optimizer = name.split("-")
    deep = memory == "mlp"
    kind, eta = (MLP if deep else MATRIX)[bias]
    gate = {"per": "head", "source": "input", "low_rank": 32}
    # the writes of a momentum of 0.8 sum up to five times their length
    gates = {"eta": {**gate, **eta, "init": eta["init"] / 5 if optimizer == "momentum" and not deep else eta["init"]}}
    if retention != "none":
        # a rule that may forget at once learns to, before it learns to recall
        gates["alpha"] = {**gate, "init": 0.999, "range": [0.998 if deep else 0.99, 1]}
        gates["alpha"]["per"] = "key_channel" if retention == "channel" else "head"
    if optimizer == "momentum":
        gates["mu"] = {**gate, "init": 0.9 if deep else 0.8}
    mlp = {"kind": "mlp", "layers": 2, "expansion": 2, "activation": "gelu", "norm": "layer", "residual": True}
    return {
        "name": name.replace("-", "_"),
        "memory": {**mlp, "init": {"std": 0.3, "learned": True}} if deep else {"kind": "matrix"},
        "attentional_bias": kind,
        "retention": {"kind": "l2" if retention == "channel" else retention, "order": "after_gradient" if deep else "before_gradient"},
        "optimizer": {"kind": optimizer},
        "gates": gates,
        "chunk": {"size": 16, "gradient": "chunk_start"} if deep else {"size": 64, "gradient": "exact"},
        "layer": {"heads": 1, "head_dim": 64, "conv": 4, "qk_norm": "l2", "activation": "silu", "output_norm": "rms", "output_gate": True},
    }


def write(folder: Path) -> None:
    """The specs and the grids, as JSON, which YAML contains."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in {name: None for sweep in GRIDS.values() for name in sweep.rules if "-" in name}:
        (folder / f"{name}.yaml").write_text(json.dumps(rule(name), indent=1))
    for name, sweep in GRIDS.items():
        sizes = {"layer.heads": [1], "model.hidden_size": [128], "model.layers": [2]}
        grid = {
            "base": [f"{each}.yaml" if "-" in each else each for each in sweep.rules],
            "vary": {"layer.head_dim": list(sweep.widths), **sizes, **({} if "deep" in name else {"layer.value_dim": [VALUES]})},
            "seeds": list(sweep.seeds),
            "train": {**TRAIN, "task": sweep.task, "steps": sweep.steps, "save_every": sweep.steps},
            "verify": False,
        }
        (folder / f"{name}.yaml").write_text(json.dumps(grid, indent=1))


AXES = ("memory", "bias", "retention", "optimizer")
COLUMNS = (
    "sweep",
    "task",
    "steps",
    "rule",
    *AXES,
    "key_channels",
    "state",
    "recall",
    "state_bytes",
    "parameters",
    "loss",
    "seeds",
    "reason",
)


def axes_of(name: str) -> dict[str, str]:
    """The choices of a rule of the study, or of a spec that comes with the compiler."""
    if "-" in name:
        return dict(zip(AXES, name.split("-"), strict=True))
    from miras_compiler.spec import load_spec

    spec = load_spec(name)
    if spec.model.pattern == ("attention",):
        return dict.fromkeys(AXES, "attention")
    kinds = (spec.memory.kind, spec.attentional_bias.kind, spec.retention.kind, spec.optimizer.kind)
    return dict(zip(AXES, kinds, strict=True))


def table(place: Path, sweeps: Sequence[Path]) -> None:
    """The leaderboards of the folders of sweeps as one table, with the choices of each rule; `seeds` has the recall of each seed."""
    with place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for sweep in sweeps:
            with (sweep / "leaderboard.csv").open(newline="", encoding="utf-8") as board:
                for row in csv.DictReader(board):
                    if row["state"] in ("done", "failed"):
                        name = row["base"].strip('"').removesuffix(".yaml")
                        seeds = " ".join(value for key, value in row.items() if key.startswith("quality of seed"))
                        own = {
                            "rule": name,
                            **axes_of(name),
                            "key_channels": row["layer.head_dim"],
                            "recall": row["quality"],
                            "seeds": seeds,
                        }
                        same = {key: row[key] for key in ("state", "state_bytes", "parameters", "loss", "reason")}
                        grid = GRIDS[sweep.name]
                        task = grid.task.partition(",")[0]
                        writer.writerow({"sweep": sweep.name, "task": task, "steps": grid.steps, **own, **same})


COLOURS = {
    "dot_product": "#8c8c8c", "l2": "#1f4e8c", "huber": "#2a9d8f", "log_cosh": "#70b77e", "robust_shift": "#9467bd", "l1": "#e9a03b",
    "l3": "#d1495b", "lp": "#d1495b", "kl": "#7a4419", "yaad_switch": "#e377c2", "attention": "#000000",
}  # fmt: skip
MARKERS = {"none": "o", "l2": "s", "channel": "P", "momentum": "D", "mlp": "^", "attention": "*"}


def marker(row: Mapping[str, str]) -> str:
    """By the memory if it is deep, else by momentum, else by retention."""
    return next(key for key in (row["memory"], row["optimizer"], row["retention"]) if key in MARKERS)


def plot(results: Path, picture: Path) -> None:
    """Recall over state bytes: of single runs, of noisy pairs, and of the rules of the front by seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    with results.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "done" and row["sweep"] != "seeds"]
    front = [row for row in rows if row["sweep"] == "front"]
    panels = {
        "16 pairs, 1,200 steps, one seed": [row for row in rows if row["task"] == "mqar" and row["sweep"] != "front"],
        "noisy pairs, 1,200 steps, one seed": [row for row in rows if row["task"] == "noisy_recall"],
        "16 pairs, 1,800 steps: three seeds, their mean": front,
    }
    figure, axes = pyplot.subplots(1, 3, figsize=(15, 5), sharey=True, constrained_layout=True)
    for (title, shown), ax in zip(panels.items(), axes, strict=True):
        for row in shown:
            # the rules of the front stand beside each other
            place = int(row["state_bytes"]) * (2 ** (0.07 * (FRONT.index(row["rule"]) - 2)) if shown is front else 1)
            for recall in map(float, row["seeds"].split()):
                ax.scatter(place, recall, c=COLOURS[row["bias"]], marker=MARKERS[marker(row)], s=36, alpha=0.7)
        for name in SIZED:
            line = sorted((int(row["state_bytes"]), float(row["recall"])) for row in shown if row["rule"] == name)
            if line:
                ax.plot(*zip(*line, strict=True), color=COLOURS[axes_of(name)["bias"]], linewidth=0.8, alpha=0.6)
        ax.set(xlabel="state, bytes a sequence", title=title, ylim=(0, 1.03))
        ax.set_xscale("log", base=2)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("recall")
    colours = {row["bias"]: COLOURS[row["bias"]] for row in rows}
    handles = [Line2D([], [], color=colour, marker="o", linestyle="", label=name) for name, colour in colours.items()]
    kinds = {"none": "no retention", "l2": "decay", "channel": "decay per channel", "momentum": "momentum", "mlp": "a deep memory"}
    handles += [Line2D([], [], color="#555555", marker=MARKERS[key], linestyle="", label=text) for key, text in kinds.items()]
    figure.legend(handles=handles, fontsize="small", frameon=False, loc="outside lower center", ncols=8)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    if sys.argv[1] == "specs":
        write(Path(sys.argv[2]))
    elif sys.argv[1] == "table":
        table(Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
    else:
        plot(Path(sys.argv[2]), Path(sys.argv[3]))
