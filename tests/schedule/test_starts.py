"""Rules of which every token reads weights of its own: states of chunks over tiles, then the tokens of all chunks at once."""

from __future__ import annotations

import pytest

from kit.compiled import compilation

AT_ONCE = "arcsinh_memory entropy_memory memora moneta_mirror quartic_memory sigmoid_memory sparse_memory".split()


@pytest.mark.parametrize("name", AT_ONCE)
def test_chunks_walk_at_once_where_only_the_state_at_their_start_joins_them(name: str) -> None:
    made = compilation(name)
    assert made.schedule is None
    assert made.starts is not None
    gradients = {leaf for kernel in made.starts.backward for leaf in kernel.roles}
    assert {f"d_{state}_read" for state in made.walk.states if not state.endswith("_start")} <= gradients


@pytest.mark.parametrize("name", ["yaad", "atlas", "titans_exact", "elastic_net_memory"])
def test_other_rules_have_tiles_for_all_of_it_or_walk_as_a_whole(name: str) -> None:
    assert compilation(name).starts is None


def test_explain_says_that_chunks_walk_at_once() -> None:
    text = compilation("memora").explain()
    assert "Triton kernels, over tiles for the states of chunks, then all chunks at once, each token by token, because the weights" in text
