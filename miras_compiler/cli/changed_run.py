"""The model of a run with keys of its spec changed, such as the length of a chunk, and the weights that it was trained to."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from miras_compiler.evaluate.opened import OpenedModel

SPEC = "spec.yaml"  # in the run's package
_folders: list[tempfile.TemporaryDirectory[str]] = []  # of packages that this process has opened; they go with it


def changed_run(opened: OpenedModel, settings: Sequence[str]) -> OpenedModel:
    """The run with another package. InputError where its spec is not there, the settings mean nothing, or the weights do not fit."""
    import transformers

    from miras_compiler.cli.specs import load_one
    from miras_compiler.compiler import compile_spec
    from miras_compiler.errors import InputError
    from miras_compiler.models import model_classes

    file = opened.run.package / SPEC
    if not file.is_file():
        raise InputError(
            f"{opened.path}: --set changes the spec of a run, and this folder has no package/{SPEC}; name a run of `miras train`"
        )
    spec = load_one(file, settings)
    _folders.append(tempfile.TemporaryDirectory(prefix="miras-eval-"))
    make_config, make_model = model_classes(compile_spec(spec).write(Path(_folders[-1].name)))
    quiet: Any = transformers.utils.logging
    quiet.set_verbosity_error()
    try:
        config = make_config(**opened.about["config"])
        model, found = make_model.from_pretrained(
            opened.checkpoint, config=config, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except (RuntimeError, ValueError) as problem:
        raise InputError(f"{opened.path}: no model is built with {', '.join(settings)}: {first_line(problem)}; set other keys") from None
    lacking, left = found["missing_keys"], found["unexpected_keys"]
    wrong = [f"{name} has the shape {list(own)}, and {list(wanted)} is needed" for name, own, wanted in found["mismatched_keys"]]
    wrong += [f"{name} {'is missing' if name in lacking else 'is not used'}" for name in sorted([*lacking, *left])]
    if wrong:
        raise InputError(
            f"{opened.path}: its weights do not fit with {', '.join(settings)}: {wrong[0]}; "
            "set keys that leave the weights as they are, such as chunk.size, or train the other spec"
        )
    return dataclasses.replace(opened, model=model.to(opened.device).eval())


def first_line(problem: Any) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]


def named(sections: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Sections of an evaluation by names that tell the settings, so that those of the run itself stay."""
    return {f"{name} with {', '.join(settings)}": scores for name, scores in sections.items()}
