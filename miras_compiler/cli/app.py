"""The commands, one file each, and the settings of all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from miras_compiler.cli import (
    bench,
    check,
    compare,
    compile_packages,
    evaluate,
    explain,
    explore,
    graph,
    list_elements,
    new,
    sample,
    schema,
    surprise,
    sweep,
    train,
    verify,
)
from miras_compiler.cli.main import INTERRUPTED, NO_READER
from miras_compiler.console import is_plain
from miras_compiler.version import __version__


class Commands(TyperGroup):
    """Leaves an interrupt and a closed pipe to `main`; typer has exit codes of its own for them."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            sys.exit(NO_READER)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"miras {__version__}")
        raise typer.Exit


def start(
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Compile a spec of a memory that learns at test time to derived, verified, readable PyTorch.

    Exit codes: 0 fine, 1 a check failed, 2 the input is wrong, 70 a bug of the compiler, 130 interrupted.
    """


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


app = typer.Typer(
    cls=Commands,
    callback=start,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None if is_plain(sys.stdout) or is_plain(sys.stderr) else "rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "miras new my_rule", "miras explain specs/my_rule.yaml", "miras compile specs/my_rule.yaml", "miras verify specs/my_rule.yaml"
    ),
)
COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    ("new", new.new, ("miras new my_rule", "miras new my_rule --from yaad", "miras new my_rule -o somewhere/else")),
    (
        "list",
        list_elements.list_elements,
        ("miras list", "miras list retention", "miras list lp", "miras list specs", "miras list --space"),
    ),
    ("check", check.check, ("miras check yaad", "miras check specs/*.yaml", "miras check yaad --set chunk.size=32")),
    (
        "explain",
        explain.explain,
        (
            "miras explain yaad",
            "miras explain yaad --latex",
            "miras explain yaad --kernels --ledger",
            "miras explain yaad titans_lmm",
        ),
    ),
    (
        "compare",
        compare.compare,
        (
            "miras compare specs/yaad.yaml specs/titans_lmm.yaml",
            "miras compare generated/yaad generated/moneta generated/memora -o miras.html",
        ),
    ),
    ("explore", explore.explore, ("miras explore", "miras explore my_specs --port 8000")),
    (
        "graph",
        graph.graph,
        (
            "miras graph yaad",
            "miras graph yaad -o yaad.png --expand",
            "miras graph yaad -o yaad.pdf",
            "miras graph yaad --format dot -o -",
        ),
    ),
    (
        "compile",
        compile_packages.compile_packages,
        ("miras compile specs/*.yaml", "miras compile yaad -o elsewhere --set layer.heads=8"),
    ),
    ("verify", verify.verify, ("miras verify yaad", "miras verify specs/*.yaml --quick", "miras verify yaad --json")),
    (
        "bench",
        bench.bench,
        (
            "miras bench gated_delta_net --peers",
            "miras bench yaad --set memory.expansion=1 --set chunk.size=16",
            "miras bench titans_lmm --tune",
            "miras bench generated/yaad --check",
        ),
    ),
    (
        "train",
        train.train,
        (
            "miras train gated_delta_net --task mqar --out runs/recall",
            "miras train yaad --data books/ --tokenizer bpe:8192 --steps 5000 --out runs/books",
            "miras train --out runs/books --resume",
        ),
    ),
    (
        "eval",
        evaluate.evaluate,
        (
            "miras eval runs/mqar",
            "miras eval runs/titans runs/transformer --data valid.txt --stream 2000000",
            "miras eval runs/titans --choices hellaswag.jsonl --json",
        ),
    ),
    ("sample", sample.sample, ('miras sample runs/titans --prompt "The kernel"', "miras sample runs/titans --tokens 1000 --temperature 0")),
    ("surprise", surprise.surprise, ('miras surprise runs/titans "a text"', "miras surprise runs/titans notes.txt -o notes")),
    (
        "sweep",
        sweep.sweep,
        (
            "miras sweep grid.yaml",
            "miras sweep grid.yaml --workers 8 -o runs/grid",
            "miras sweep grid.yaml --storage postgresql://user@host/sweeps -o runs/grid",
        ),
    ),
    ("schema", schema.schema, ("miras schema > miras.schema.json", "miras schema --markdown > reference.md")),
)
for name, command, lines in COMMANDS:
    app.command(name, epilog=examples(*lines))(command)
