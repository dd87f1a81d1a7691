"""`miras surprise`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from miras_compiler.cli.libraries import prepare_libraries
from miras_compiler.cli.options import Device, Json, RunPath
from miras_compiler.console import PrintedRow, busy, show_json, show_table


def surprise(
    run: RunPath,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="A text, or the file of one; not for a run on a task, which draws an example."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Default: RUN/surprise.", show_default=False)
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", metavar="N", help="Read at most so many tokens.")] = 1024,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Draws the example of a task.")] = 0,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Show the writes of a trained model's memories for a text: surprise, momentum, retention and state of every token and layer.

    Writes a heat map (surprise.html, which loads nothing), a plot (surprise.png) and the numbers (surprise.json).
    """
    from miras_compiler.errors import check_least

    check_least("--tokens", tokens, 1)
    check_least("--seed", seed, 0)
    prepare_libraries("train")
    with busy(f"loading {run}") as say:
        import torch

        from miras_compiler.evaluate.opened import open_run
        from miras_compiler.evaluate.surprise import read_surprise
        from miras_compiler.evaluate.surprise_page import surprise_page, surprise_plot
        from miras_compiler.evaluate.tokens import read_example
        from miras_compiler.store import write_file

        opened = open_run(run, device)
        pieces, ids = read_example(opened, text, tokens, seed)
        found = read_surprise(opened.model, torch.tensor(ids, device=opened.device), pieces, say)
        folder = output or run / "surprise"
        title = f"{run.name}, {opened.checkpoint.name}" if opened.checkpoint != run else run.name
        tree = found.tree()
        write_file(
            folder / "surprise.json", json.dumps({"run": str(run), "checkpoint": opened.checkpoint.name, **tree}, ensure_ascii=False)
        )
        write_file(folder / "surprise.html", surprise_page(title, found))
        write_file(folder / "surprise.png", surprise_plot(title, found))
    for remark in opened.remarks:
        typer.echo(remark, err=True)
    if as_json:
        show_json({"folder": str(folder), **tree})
        return
    measures = found.measures()
    rows = []
    for layer in found.layers:
        most = int(layer.measures["surprise"].mean(1).argmax())
        means = [f"{float(layer.measures[name].mean()):.4g}" for name in measures]
        rows.append(PrintedRow((str(layer.layer), *means, f"{most} {pieces[most]!r}")))
    show_table("means over tokens and heads", ("layer", *measures, "most surprising token"), rows)
    print(f"wrote {folder}/surprise.html, surprise.png, surprise.json")
