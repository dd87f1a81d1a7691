"""`miras explore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PORT = 6474


def explore(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="The folder that specs are opened from and saved to.", show_default="specs")
    ] = Path("specs"),
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="The port; 0 for any that is free.")] = PORT,
) -> None:
    """Serve a page on this machine on which a spec is put together, and everything that follows from it is seen at once.

    The page picks elements from menus or edits the YAML: errors at their lines, rule, graph, parallel form, cost, code.

    It is reached from this machine alone, at the address that is printed, and writes *.yaml files in FOLDER only. Ctrl-C ends it.
    """
    from miras_compiler.cli.new import commented
    from miras_compiler.errors import InputError

    try:
        from miras_compiler.explore import serve
    except ModuleNotFoundError as missing:
        raise InputError(f"miras explore needs {missing.name}: pip install 'miras-compiler[explore]'") from None

    def tell(address: str) -> None:
        print(f"open {address}\nCtrl-C ends it", flush=True)

    serve(folder, port, commented("my_rule"), tell)
