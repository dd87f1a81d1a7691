"""The rule as a value: the stages behind `derive` read it, and of the spec only widths, the layer, the model and names for messages."""

from __future__ import annotations

from dataclasses import fields

import pytest

from kit.paths import SPECS
from miras_compiler.derive import derive_update_rule
from miras_compiler.derive.parts import Frame
from miras_compiler.derive.rule import describe_rule
from miras_compiler.elements.base import Element
from miras_compiler.spec import Spec, load_spec

FRAME = {"name", "paper", "ledger", "source", "layer", "model", "model_heads", "normal_form", "digest"}
WIDTHS = {"key_dim", "value_dim", "feature_dim", "hidden_dim"}


def test_a_rule_holds_of_its_spec_only_widths_the_layer_the_model_and_names() -> None:
    """Later stages cannot read anything else of a spec: they get the rule, and an import contract keeps specs from them."""
    rule = derive_update_rule(load_spec(SPECS / "titans_lmm.yaml"))
    assert {part.name for part in fields(Frame)} == FRAME | WIDTHS
    assert not any(isinstance(getattr(rule, part.name), (Spec, Element)) for part in fields(rule))


@pytest.mark.parametrize(("name", "overrides", "stated"), [
    ("titans_lmm", {}, {"size": 64, "gradient": "chunk_start", "read": "after_write", "retention": "per_token"}),
    ("gated_delta_net", {}, {"size": 64, "gradient": "exact", "read": "after_write", "retention": "per_token"}),
    ("tnt_local", {}, {"size": 8, "gradient": "chunk_start", "read": "after_write", "retention": "per_token", "reset": 2048}),
])  # fmt: skip
def test_a_rule_says_how_its_chunks_were_stated(name: str, overrides: dict[str, object], stated: dict[str, object]) -> None:
    assert describe_rule(load_spec(SPECS / f"{name}.yaml", overrides)).chunk.stated == stated


def test_a_rule_says_where_a_layer_starts_its_gates_and_its_memory() -> None:
    rule = describe_rule(load_spec(SPECS / "titans_lmm.yaml", {"gates.eta": {"source": "learned", "init": 0.05}}))
    assert (rule.memory.std, rule.memory.learned) == (0.3, True)
    starts = {name: (gate.source, gate.low_rank, gate.init) for name, gate in rule.gates.items()}
    assert starts == {"alpha": ("input", 32, 0.999), "eta": ("learned", 32, 0.05), "mu": ("input", 32, 0.9)}


def test_a_rule_states_its_state_and_its_recurrences() -> None:
    """Momentum under a decay, gradients of a chunk at its start; and a preconditioner."""
    titans = derive_update_rule(load_spec(SPECS / "titans_lmm.yaml"))
    assert [(each.state, each.decays, each.source) for each in titans.recurrences.values()] == [("A", ("alpha",), "S"), ("S", ("mu",), "g")]
    assert [entry.name for entry in titans.carried] == [f"W{i}{suffix}" for suffix in ("", "_momentum", "_start") for i in (1, 2)]
    assert (titans.chunk.size, titans.surprise.at, titans.chunk.read) == (64, "start", "after_write")
    preconditioned = derive_update_rule(load_spec(SPECS / "preconditioned_gdn.yaml"))
    assert preconditioned.recurrences["D"].decays == ("alpha_d",)
    assert preconditioned.surprise.at == "decayed"
    assert {gate.name for gate in preconditioned.gates.values() if gate.decay} == {"alpha", "alpha_d"}
