"""The dependency graph: values of one token, where they come from and when, and which of them recur."""

from __future__ import annotations

from functools import cache
from typing import Any

import networkx as nx
import pytest

from kit.paths import SPECS
from miras_compiler.analysis import build_dependency_graph
from miras_compiler.derive import derive_update_rule
from miras_compiler.spec import load_spec

NAMES = ("titans_lmm", "yaad", "moneta", "memora", "gated_delta_net", "linear_attention")


@cache
def graph(name: str, **overrides: str) -> nx.MultiDiGraph[str]:
    return build_dependency_graph(derive_update_rule(load_spec(SPECS / f"{name}.yaml", dict(overrides))))


def edges(name: str, **overrides: str) -> dict[tuple[str, str, Any], str]:
    return {(tail, head, data["lag"]): data["degree"] for tail, head, data in graph(name, **overrides).edges(data=True)}


@pytest.mark.parametrize(
    ("name", "recurrent"),
    [
        ("titans_lmm", {"S1", "S2", "W1", "W2"}),
        ("yaad", {"W1", "W2"}),
        ("moneta", {"A1", "A2"}),
        ("memora", {"A1", "A2"}),
        ("gated_delta_net", {"W", "W_decayed", "u", "e"}),
        ("linear_attention", {"W"}),
    ],
)
def test_what_recurs_is_on_a_cycle_through_the_token_before(name: str, recurrent: set[str]) -> None:
    assert graph(name).graph["recurrence"] == recurrent


def test_titans_takes_its_surprise_at_the_chunks_start_and_carries_state_and_momentum() -> None:
    found = edges("titans_lmm")
    for layer in ("1", "2"):
        assert found[f"S{layer}", f"S{layer}", 1] == "affine"
        assert found[f"W{layer}", f"W{layer}", 1] == "affine"
        assert found[f"S{layer}", f"W{layer}", 0] == "affine"
    assert {(tail, head) for tail, head, lag in found if lag == "chunk"} == {("W1", "z1"), ("W2", "f"), ("W2", "d1")}
    assert {(tail, head) for tail, head, lag in found if lag == 1} == {(x, x) for x in ("S1", "S2", "W1", "W2")}


def test_the_degree_of_an_edge_says_how_the_state_enters() -> None:
    found = edges("titans_lmm")
    assert found["W1", "z1", "chunk"] == "affine"  # keys do not vary with the state
    assert found["z1", "h1", 0] == "nonlinear"
    assert found["f", "mean", 0] == "affine"
    assert found["u", "e", 0] == found["e", "du", 0] == "affine"
    assert found["h1", "f", 0] == found["W2", "f", "chunk"] == "nonlinear"  # a product of two that vary
    assert found["k", "z1", 0] == found["v", "e", 0] == found["alpha", "W1", 0] == "none"
    assert found["W1", "read_z1", 0] == "affine"


def test_the_delta_rule_measures_the_decayed_state_of_the_token_before() -> None:
    found = edges("gated_delta_net")
    assert {edge for edge in found if edge[2] != 0} == {("W", "W_decayed", 1), ("W", "W", 1)}
    assert found["W_decayed", "u", 0] == found["u", "e", 0] == found["e", "W", 0] == "affine"
    assert all(degree != "nonlinear" for degree in found.values())


def test_a_mirror_map_stands_between_the_dual_state_and_what_is_read() -> None:
    found = edges("memora")
    assert found["A1", "W1", 0] == found["A1", "W1_start", "chunk"] == "nonlinear"
    assert ("W1", "W1", 1) not in found


@pytest.mark.parametrize("name", NAMES)
def test_every_value_says_what_it_is_and_which_key_of_the_spec_it_comes_from(name: str) -> None:
    found = graph(name)
    assert found.name == name
    for node, data in found.nodes(data=True):
        assert data["label"]
        assert data["origin"] in {"input", "gates", "memory", "attentional_bias", "retention", "optimizer", "feature_map", "spec"}, node
        assert data["text"] == "" or data["text"].startswith(f"{data['label']} = ")
        assert (data["text"] == "") <= (found.in_degree(node) == 0) <= (data["text"] == "" or data["group"] == "gate")
    assert {data["lag"] for _, _, data in found.edges(data=True)} <= {0, 1, "chunk"}
    assert {data["degree"] for _, _, data in found.edges(data=True)} <= {"none", "affine", "nonlinear"}
    assert not [node for node in found if node.startswith("t") and node[1:].isdigit()]


@pytest.mark.parametrize("name", NAMES)
def test_within_a_token_values_follow_one_another(name: str) -> None:
    found = graph(name)
    now = nx.DiGraph([(tail, head) for tail, head, data in found.edges(data=True) if data["lag"] == 0])
    assert nx.is_directed_acyclic_graph(now)
    assert nx.descendants(now, "k") & found.graph["recurrence"]
    assert [node for node in now if now.out_degree(node) == 0 and found.nodes[node]["group"] == "output"] == ["o"]


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_is_the_same_each_time(name: str) -> None:
    again = build_dependency_graph(derive_update_rule(load_spec(SPECS / f"{name}.yaml")))
    assert list(again.nodes(data=True)) == list(graph(name).nodes(data=True))
    assert list(again.edges(data=True)) == list(graph(name).edges(data=True))


def test_a_write_at_the_end_of_a_chunk_is_in_the_graph() -> None:
    """LaCT: the sum that waits is orthogonalized, moves the weights, and they are those of the next chunk."""
    found = graph("lact")
    for head, tails in (("O1", {"S1_pending"}), ("moved1", {"W1", "O1"}), ("W1_next", {"moved1", "W1"})):
        assert set(found.predecessors(head)) == tails
    assert [data["lag"] for _, _, data in found.edges(["W1_next"], data=True)] == ["chunk"]
