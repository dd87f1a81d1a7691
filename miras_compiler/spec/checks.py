"""The list of checks on a spec whose types are right.

A check comes with the parts of a spec that it reads: where one of them is already known to be wrong, the check is left out, so that all
faults of a file are reported at once and none is a consequence of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from miras_compiler.errors import Fault
from miras_compiler.spec import combination_checks as combination
from miras_compiler.spec import formula_checks as own_formula
from miras_compiler.spec import gate_checks as gate
from miras_compiler.spec import model_checks as model
from miras_compiler.spec.fault import spec_error
from miras_compiler.spec.range_checks import ranges
from miras_compiler.spec.schema import Spec
from miras_compiler.spec.tie_checks import skipped_values, tied_row
from miras_compiler.spec.wanted import check_is_spec

CHECKS: tuple[tuple[Callable[[Spec], Iterator[Fault]], frozenset[str]], ...] = tuple(
    (check, frozenset(parts.split()))
    for check, parts in (
        (gate.undeclared_gate, "gates retention optimizer attentional_bias"),
        (gate.number_of_gates, "gates"),
        (gate.unused_gate, "gates retention optimizer attentional_bias"),
        (gate.borrowed_letter, "attentional_bias"),
        (gate.per_channel_gate, "gates memory retention optimizer attentional_bias"),
        (gate.decay_of_values, "gates retention"),
        (ranges, "gates attentional_bias layer optimizer"),
        (combination.width_of_residual, "memory layer"),
        (combination.gradient_of_deep_memory, "memory chunk"),
        (combination.decayed_surprise, "retention chunk"),
        (combination.mirror_map_of_chunk, "retention chunk"),
        (combination.read_of_chunk, "chunk"),
        (combination.norm_of_dual, "retention"),
        (combination.needs_of_optimizer, "optimizer memory attentional_bias retention chunk"),
        (combination.needs_of_retention, "retention optimizer memory"),
        (combination.undefined_together, "retention optimizer attentional_bias"),
        (combination.value_in_surprise, "attentional_bias"),
        (own_formula.size_of_map, "feature_map"),
        (own_formula.size_of_loss, "attentional_bias"),
        (own_formula.domain_of_map, "feature_map"),
        (own_formula.domain_of_loss, "attentional_bias gates"),
        (own_formula.map_of_generator, "retention"),
        (combination.width_of_features, "feature_map memory gates layer"),
        (combination.window_of_rows, "attentional_bias optimizer"),
        (tied_row, "layer gates optimizer"),
        (skipped_values, "layer optimizer"),
        (model.heads_of_model, "model layer gates"),
        (model.query_of_context, "model layer"),
    )
)


def faults_of(spec: Spec, wrong: frozenset[str] = frozenset()) -> list[Fault]:
    """Every fault of the combination; `wrong` names the parts that are already known to be wrong."""
    return [fault for check, parts in CHECKS if not parts & wrong for fault in check(spec)]


def check_spec(spec: Spec) -> None:
    """Raises SpecError with everything that is wrong with the combination."""
    check_is_spec(spec, "check_spec")
    faults = faults_of(spec)
    if faults:
        raise spec_error(faults, spec.source)
