"""`miras check`."""

from __future__ import annotations

import typer

from miras_compiler.cli.options import Json, Settings, SpecFiles
from miras_compiler.console import show_json


def check(specs: SpecFiles, settings: Settings = None, as_json: Json = False) -> None:
    """Validate specs, and tell all errors of all of them at once."""
    from miras_compiler.cli.specs import overrides, problems_of
    from miras_compiler.cli.warnings import warn_about
    from miras_compiler.errors import InputError, Problem, SpecError
    from miras_compiler.spec import digest, load_spec

    values = overrides(settings)
    found: list[Problem] = []
    results = []
    for path in specs:
        try:
            spec = load_spec(path, values)
            result = {"spec": str(path), "ok": True, "name": spec.name, "digest": digest(spec), "problems": []}
            result["warnings"] = [warning._asdict() for warning in warn_about([spec])]
            if not as_json:
                print(f"{path}: fine ({spec.name}, digest {result['digest']})")
        except InputError as error:
            problems = problems_of(error)
            found += problems
            result = {"spec": str(path), "ok": False, "problems": [problem._asdict() for problem in problems]}
        results.append(result)
    if as_json:
        show_json(results)
        if found:
            raise typer.Exit(2)
    elif found:
        raise SpecError(dict.fromkeys(found))
