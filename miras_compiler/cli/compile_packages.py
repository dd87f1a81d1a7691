"""`miras compile`."""

from __future__ import annotations

from pathlib import Path

from miras_compiler.cli.options import Json, OutputFolder, Settings, SpecFiles
from miras_compiler.console import PrintedRow, busy, show_json, show_table


def compile_packages(specs: SpecFiles, output: OutputFolder = Path("generated"), settings: Settings = None, as_json: Json = False) -> None:
    """Write a self-contained PyTorch package for every spec.

    It takes the place of FOLDER/<name>. Nothing is written unless all specs are right; a package that is current is left as it is.
    """
    from miras_compiler.cli.specs import load_all
    from miras_compiler.cli.warnings import warn_about, warn_about_pictures

    loaded = load_all(specs, settings)
    warn_about(loaded)
    warn_about_pictures()
    results = []
    with busy("compiling") as say:
        from miras_compiler.compiler import compile_spec

        for spec in loaded:
            say(f"compiling {spec.name}")
            compilation = compile_spec(spec)
            results.append({
                "spec": spec.location,
                "form": compilation.parallel_form.kind,
                "reason": compilation.parallel_form.reason,
                "files": len(compilation.files),
                "lines": sum(file.text.count("\n") for file in compilation.files if file.path.endswith(".py")),
                "folder": str(compilation.write(output)),
            })  # fmt: skip
    if as_json:
        show_json(results)
    else:
        columns = ("folder", "form", "files", "lines")
        show_table("", columns, [PrintedRow([str(result[column]) for column in columns], note=str(result["reason"])) for result in results])
