"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SpecFile = Annotated[
    Path, typer.Argument(metavar="SPEC", help="A spec file, or the name of one that comes with the compiler.", show_default=False)
]
SpecFiles = Annotated[
    list[Path], typer.Argument(metavar="SPEC", help="Spec files, or names of specs that come with the compiler.", show_default=False)
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the spec, such as chunk.size=32; can be repeated.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
OutputFolder = Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The folder that packages are written to.")]
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder of a run of miras train, or of a saved model.", show_default=False)
]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs of miras train, or of saved models.", show_default=False)]
Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="cpu, cuda or cuda:1. Default: a GPU where there is one.", show_default=False)
]
