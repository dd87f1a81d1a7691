"""The spec and the training of a point: its base with the point's values set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from miras_compiler.elements.complaints import complaints
from miras_compiler.errors import InputError, SpecError
from miras_compiler.spec import Spec, build_spec
from miras_compiler.spec.overrides import with_overrides
from miras_compiler.spec.source import dotted
from miras_compiler.sweep.grid import BASE, Grid, Training, at_option
from miras_compiler.sweep.keys import TRAIN
from miras_compiler.train.settings import TrainSettings


def variant(grid: Grid, values: Mapping[str, Any]) -> Spec:
    """The spec of a point; SpecError, which names lines of the grid and of the base, where it is none."""
    name = values.get(BASE) or next(iter(grid.bases))
    source = grid.bases[name].source
    assert source is not None  # it was read from a file
    overrides = {key: values[key] for key in sorted(spec_keys(values), key=lambda key: len(dotted(key)))}  # parents first
    changed = with_overrides(source, overrides, grid.places)
    return build_spec(changed.tree, changed)


def spec_keys(values: Mapping[str, Any]) -> list[str]:
    """The keys that are those of a spec."""
    return [key for key in values if key != BASE and not key.startswith(f"{TRAIN}.")]


def training(grid: Grid, values: Mapping[str, Any]) -> Training:
    """The training of a point; SpecError where a value of the point is none that training has."""
    own = {key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{TRAIN}.")}
    if not own:
        return grid.train
    tree = {**grid.train.model_dump(exclude_unset=True), **own}
    try:
        found = Training.unchecked(tree)
        TrainSettings(**found.settings())
    except ValidationError as error:
        faults = complaints(error, tree, Training)
    except InputError as error:
        faults = [at_option(error)]
    else:
        return found
    raise SpecError(fault.problem._replace(where=grid.places.get(".".join(map(str, fault.path)), grid.place)) for fault in faults)
