"""A check refuses a spec that docs/mathematics.md leaves undefined, and names the definition that is missing."""

from __future__ import annotations

from typing import Any

import pytest

from miras_compiler.errors import SpecError
from miras_compiler.spec import build_spec

pytestmark = pytest.mark.slow

Fields = dict[str, Any]
STEPS = {"kind": "gradient_descent", "steps": 2}
ERASE = {"kind": "gradient_descent", "erase_key": True}
IMPLICIT, MOMENTUM, AT_END = {"kind": "implicit"}, {"kind": "momentum"}, {"kind": "muon", "apply": "chunk_end"}
WINDOW = {"attentional_bias": {"kind": "l2", "window": 3}}
DECAYED = {"retention": {"kind": "l2", "order": "before_gradient"}}
PRIMAL = {"retention": {"kind": "weight_norm", "order": "before_gradient"}}
RATIO = {"retention": {"kind": "f_divergence", "generator": "t*log(t)"}}
VECTOR = {"memory": {"kind": "vector"}}
ON_GRID = {"size": 4, "gradient": "chunk_start"}

UNDEFINED: list[tuple[Fields, str]] = [
    ({"optimizer": STEPS, **WINDOW, **DECAYED}, "a window with several steps per token"),
    ({"optimizer": STEPS, **PRIMAL}, "several steps per token under the retention weight_norm"),
    ({"optimizer": ERASE, **WINDOW}, "a window with an erase key"),
    ({"optimizer": ERASE, "memory": {"kind": "matrix", "norm": "rms"}}, "an erase key needs a memory without norm and residual"),
    ({"optimizer": ERASE, "attentional_bias": {"kind": "l2", "clip": 1.0}}, "a clip with an erase key"),
    ({"optimizer": ERASE, **VECTOR}, "an erase key needs a matrix memory"),
    ({"optimizer": ERASE, "attentional_bias": {"kind": "log_cosh"}}, "an erase key needs an l2 attentional bias"),
    ({"optimizer": {"kind": "preconditioned"}, **WINDOW, **DECAYED}, "a window with the optimizer preconditioned"),
    ({"optimizer": IMPLICIT, **WINDOW, **DECAYED}, "a window with the optimizer implicit"),
    ({"optimizer": IMPLICIT, **PRIMAL}, "the implicit step under the retention weight_norm"),
    ({"optimizer": IMPLICIT, **DECAYED, "fine": "eta"}, "eta is per key_channel with the optimizer implicit"),
    ({"optimizer": {"kind": "muon"}, **VECTOR}, "the optimizer muon needs a memory of matrices"),
    (
        {"optimizer": AT_END, "retention": {"kind": "elastic_net"}, "chunk": {**ON_GRID, "read": "chunk_start"}},
        "muon at the chunk's end under the retention elastic_net",
    ),
    ({"optimizer": MOMENTUM, **RATIO}, "the retention f_divergence has no momentum"),
    (
        {"retention": {"kind": "elastic_net"}, "chunk": {**ON_GRID, "retention": "chunk_end"}},
        "chunk.retention: chunk_end has no meaning here",
    ),
    ({**VECTOR, "feature_map": {"kind": "polynomial"}}, "polynomial features for a vector memory"),
]


@pytest.mark.parametrize(("fields", "cause"), UNDEFINED, ids=[cause for _, cause in UNDEFINED])
def test_what_the_definitions_do_not_say_is_refused(fields: Fields, cause: str) -> None:
    fields = dict(fields)
    fine = fields.pop("fine", None)
    spec = {"name": "x", "memory": {"kind": "matrix"}, "attentional_bias": {"kind": "l2"}, "retention": {"kind": "l2"}, **fields}
    optimizer = fields.get("optimizer", {}).get("kind")
    gates = {"eta", *({"alpha"} if spec["retention"]["kind"] != "f_divergence" else set())}
    gates |= {"mu"} if optimizer in ("momentum", "muon") else {"alpha_d", "eta_d"} if optimizer == "preconditioned" else set()
    gates |= {"gamma"} if "window" in spec["attentional_bias"] else set()
    spec["gates"] = {name: {"per": "key_channel"} if name == fine else {} for name in sorted(gates)}
    with pytest.raises(SpecError) as caught:
        build_spec(spec)
    assert [problem.what for problem in caught.value.problems] == [cause]
