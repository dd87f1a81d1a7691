"""Draws docs/layers.svg from the import contract in pyproject.toml: `python docs/draw_layers.py`, or `make layers`."""

from __future__ import annotations

import itertools
import subprocess
import tomllib
from pathlib import Path

from miras_compiler.emit.graph.render import graphviz_pure

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "layers.svg"


def contracts() -> tuple[list[list[str]], set[str]]:
    """The layers, uppermost first, each with the modules that stand side by side; and the modules that never import torch."""
    found = {
        contract["id"]: contract
        for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    }
    layers = [[name.strip() for name in layer.replace("|", ":").split(":")] for layer in found["stages"]["layers"]]
    return layers, {name.removeprefix("miras_compiler.") for name in found["no-torch"]["source_modules"]}


def draw() -> bytes:
    """The layers from top to bottom; an arrow says: may import everything below. Stages without torch are filled."""
    layers, without_torch = contracts()
    rows = [
        "digraph layers {",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=12, margin="0.2,0.06"];',
        "  ranksep=0.22;",
    ]
    for names in layers:
        rows += [f'  "{name}" [fillcolor="{"#dbeafe" if name in without_torch else "#ffffff"}"];' for name in names]
        rows.append("  {rank=same; " + " ".join(f'"{name}";' for name in names) + "}")
    rows += [f'  "{above[0]}" -> "{below[0]}" [color="#64748b"];' for above, below in itertools.pairwise(layers)]
    command = [graphviz_pure(), "-Tsvg", "-q"]
    return subprocess.run(command, input="\n".join([*rows, "}"]).encode(), capture_output=True, check=True).stdout


if __name__ == "__main__":
    PICTURE.write_bytes(draw())
