"""The libraries that users would pick instead, by the name of a spec."""

from __future__ import annotations

from collections.abc import Mapping

from miras_compiler.bench import fla, titans
from miras_compiler.bench.contender import Peer

TITANS = ("titans-pytorch", "titans-pytorch by chunks")
PEERS: Mapping[str, Peer] = {
    **{f"fla-core {name}": fla.peer_of(name) for name in fla.OPERATORS},
    **dict(zip(TITANS, (titans.DEFAULT, titans.CHUNK_START), strict=True)),
}
BESIDE: Mapping[str, tuple[str, ...]] = {
    **{name: (f"fla-core {name}",) for name in fla.OPERATORS},
    "titans_lmm": TITANS,
    "yaad": TITANS,
}


def installed_peers() -> dict[str, tuple[str, ...]]:
    """The names of peers that are installed, by the spec that they are beside."""
    found = {name: tuple(peer for peer in peers if PEERS[peer].installed) for name, peers in BESIDE.items()}
    return {name: peers for name, peers in found.items() if peers}
