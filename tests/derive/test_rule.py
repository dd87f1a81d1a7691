"""The rule as a value: the stages behind `derive` read it, and of the spec only widths, the layer, and names for messages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from kit.paths import ROOT, SPECS
from miras_compiler.derive import derive_update_rule
from miras_compiler.spec import load_spec

STAGES = ("ir", "passes", "analysis", "lower", "schedule", "emit")
WIDTHS = {"key_dim", "value_dim", "feature_dim", "hidden_dim"}
TOLD = {"name", "paper", "ledger", "location"}
LAYER = {"layer", "model", "model_heads"}
STARTS = {"gates", "memory"}  # where a layer starts its gates and its memory
MORE = {"emit/layer": STARTS, "emit/model": STARTS, "analysis/token_loop.py": STARTS, "emit/documents/manifest.py": {"chunk"}}


def reads_of_spec(path: Path) -> Iterator[str]:
    """The attributes that a file reads of a spec."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == "spec":
            yield node.attr


def test_behind_derive_only_widths_the_layer_and_names_are_read_of_the_spec() -> None:
    files = {
        str(path.relative_to(ROOT / "miras_compiler")): path for stage in STAGES for path in (ROOT / "miras_compiler" / stage).rglob("*.py")
    }
    assert len(files) > 100
    for name, path in files.items():
        more = next((more for place, more in MORE.items() if name.startswith(place)), set())
        assert set(reads_of_spec(path)) <= WIDTHS | TOLD | LAYER | more, name


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
