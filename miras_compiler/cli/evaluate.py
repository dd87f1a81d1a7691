"""`miras eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from miras_compiler.cli.libraries import prepare_libraries
from miras_compiler.cli.options import Device, Json, Runs, Settings
from miras_compiler.console import PrintedRow, busy, show_json, show_table


def evaluate(
    runs: Runs,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", metavar="PATH", help="A text, a genome, a CSV file or a folder; can be repeated.", show_default=False),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="NAME", help="A task, such as mqar or mqar,pairs=64,length=512.", show_default=False)
    ] = None,
    choices: Annotated[
        Path | None,
        typer.Option(
            "--choices", metavar="FILE", help="Questions in HellaSwag's or PIQA's JSONL, for lm-evaluation-harness.", show_default=False
        ),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option("--length", metavar="N", help="Tokens (patches) of a sequence. Default: those of training.", show_default=False),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option("--tokens", metavar="N", help="Read at most so many tokens of the text.", show_default=False)
    ] = None,
    stream: Annotated[
        int, typer.Option("--stream", metavar="N", help="Also read so many tokens as one sequence, at constant memory.", show_default=False)
    ] = 0,
    rows: Annotated[int, typer.Option("--rows", metavar="N", help="Examples of each setting of a task.")] = 128,
    season: Annotated[
        int | None,
        typer.Option("--season", metavar="N", help="Times of a season. Default: what the series show.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Draws the examples of a task.")] = 0,
    settings: Settings = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Measure trained models: bits per byte, recall, forecasts, multiple choice; write RUN/eval.json and RUN/eval.png, print a table.

    Without --data, --task and --choices a run on a task is measured on that task, and a run on series on their held-out part. --set
    measures the run's weights in a model whose spec is another one, such as chunk.size=256; the run stays as it is.
    """
    from miras_compiler.errors import Collected
    from miras_compiler.runs import RunFolder, read_object

    prepare_libraries("train")
    if choices is not None:
        prepare_libraries("lm-eval")
    with busy("loading") as say:
        from miras_compiler.cli.changed_run import changed_run, named
        from miras_compiler.evaluate.evaluation import EvaluationRequest, evaluate
        from miras_compiler.evaluate.opened import open_run
        from miras_compiler.evaluate.plot import evaluation_plot
        from miras_compiler.store import write_file

        request = EvaluationRequest(tuple(data or ()), task, choices, length, tokens, stream, rows, season, seed)
        found: dict[str, Any] = {}
        written: dict[str, list[str]] = {}
        problems = Collected()
        remarks: list[str] = []
        for path in runs:
            say(f"loading {path}")
            with problems.keeping():
                opened = open_run(path, device)
                if settings:
                    opened = changed_run(opened, settings)
                sections = evaluate(opened, request, say)
                found[str(path)] = named(sections, settings) if settings else sections
                remarks += opened.remarks
                folder = RunFolder(path)
                folder.write_evaluation(found[str(path)])
                written[str(path)] = [folder.evaluation.name]
                picture = evaluation_plot(path.name, read_object(folder.evaluation))
                if picture is not None:
                    written[str(path)].append(write_file(path / "eval.png", picture).name)
    for remark in remarks:
        typer.echo(remark, err=True)
    if as_json:
        show_json(found)
    elif found:
        from miras_compiler.evaluate.scores import number_text, scores_of

        scores = {path: scores_of(sections).numbers for path, sections in found.items()}
        names = list(dict.fromkeys(name for each in scores.values() for name in each))
        rows_ = [PrintedRow((name, *(number_text(each[name], 6) if name in each else "–" for each in scores.values()))) for name in names]
        short = [Path(path).name for path in scores]
        show_table("", ("measure", *(name if short.count(name) == 1 else path for name, path in zip(short, scores, strict=True))), rows_)
        print("\n".join(f"wrote {path}/{', '.join(files)}" for path, files in written.items()))
    problems.check()
