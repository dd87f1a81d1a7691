"""Every spec is refused with a cause, or compiles and passes the literal oracle; and faults that random specs have found stay found."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kit import random_outcome
from kit.random_outcome import outcome_of
from kit.random_specs import Tree, random_spec
from miras_compiler.bench.children import Answer
from miras_compiler.spec import parse_spec
from miras_compiler.verify.subject import Subject

pytestmark = pytest.mark.slow

EXAMPLES = 12  # in a test; `python tests/campaigns/try_random_specs.py` tries thousands


@given(st.randoms(use_true_random=False).map(random_spec))
@settings(max_examples=EXAMPLES, derandomize=True, database=None, phases=[Phase.generate])
def test_a_random_spec_is_refused_with_a_cause_or_passes_the_oracle(tree: Tree) -> None:
    outcome = outcome_of(tree)
    assert outcome.verdict != "failed", outcome.told


WHOLE = {  # seed and number
    "0:19": "as any other",
    "0:81": "in bfloat16, gradients of two casts of one coefficient were added up in bfloat16",
    "0:92": "a map of degree −1 near 0 has a derivative beyond float32",
    "0:140": "behind a reset, a norm makes large numbers of what rounding left",
    "0:142": "a softmax written as a formula overflows at 100 by itself",
    "0:186": "a gradient that is nothing but the rounding of its companions",
    "0:194": "a memory of zeros under a norm and a clip: rounding is all that it measures",
    "0:218": "the literal model itself has no numbers behind a full reset",
    "0:1338": "a kernel stores a gradient that is 0 whatever the inputs are",
    "30:16": "a norm behind the memory hides how far a rule has exploded",
    "30:84": "a kernel raises negative numbers to the fifth power",
    "30:132": "1 − tanh² has fewer digits than a limit asks for",
    "30:188": "the square of a denominator leaves float32 before the denominator does",
    "30:267": "a kernel hands the decay on a linear path on to the next chunk",
    "30:306": "√|w| is inverted at 0 and next to it, and a threshold of 10⁶ is crossed by a rule that explodes without one",
    "30:500": "a memory of zeros makes channels equal but for their last bits",
    "30:516": "a sensitive rule's own error in float32 is lucky three times",
    "31:0": "a softmax of numbers far below 0 is infinite in the padding of a kernel",
    "31:115": "and so are its gradients",
    "31:358": "a rule that explodes on the inputs of a single check",
    "31:678": "log(cosh(w)) is a number where cosh(w) is none",
    "32:3": "a substitution whose coefficients the walk itself computes",
    "32:227": "a backward pass that writes the right side of a substitution otherwise",
    "33:315": "log(1 + exp(x)) is a number where exp(x) is none",
    "44:317": "rows behind the tokens of a tile are zeros where they are loaded, and 0 / 0 is no number",
    "44:505": "one token more than a layer's check had tried, and the rule explodes",
    "44:542": "a large gradient meets a slope before the length that shortens it",
    "31:770": "1/length³ leaves float32 where a loss is linear in what a norm hands on",
}


FEW = ("0:19", "0:81", "0:218")


@pytest.mark.parametrize(
    "number", [pytest.param(number, marks=[] if number in FEW else pytest.mark.thorough, id=WHOLE[number]) for number in WHOLE]
)
def test_an_accepted_spec_passes_the_whole_of_verify(number: str) -> None:
    """`python tests/campaigns/try_random_specs.py --whole` tries thousands."""
    outcome = outcome_of(random_spec(Random(number)), whole=True)
    assert outcome.verdict == "accepted", outcome.told


def spec(gates: str, **sections: Any) -> Tree:
    """A matrix memory with an l2 bias, but for these sections; a gate is a name, or name:granularity."""
    plain: Tree = {"memory": {"kind": "matrix"}, "attentional_bias": {"kind": "l2"}, "retention": {"kind": "l2"}}
    declared = {name: {"per": per or "head"} for name, _, per in (gate.partition(":") for gate in gates.split())}
    return {"name": "found", **plain, "gates": declared, "layer": {"heads": 2, "head_dim": 4}, **sections}


JUMPS = "the generator has a derivative that jumps at {}, and takes no value in between"
ENDS = "the generator has a derivative that does not rise from −∞ to ∞ on the real line, the positive numbers, (0, 1) or (−1, 1)"
CANCELS = "the generator has a derivative whose closed inverse cancels in floating point"
FOUND_REFUSED = [
    ("f_divergence", "-log(t)", "the generator has a derivative that does not take the value 1/3 at positive t, where ratios lie"),
    ("f_divergence", "t*log(t) - (1 + t)*log((1 + t)/2)", CANCELS),
    ("bregman newton", "abs(w) + w**4", JUMPS.format("0, from -1 to 1")),
    ("bregman newton", "2*abs(w - 1) + w**4", JUMPS.format("1, from 2 to 6")),
    ("bregman", "abs(w) + 3*(w**2 + w)", JUMPS.format("0, from 2 to 4")),
    ("bregman", "abs(w)/10 + w**2/2", JUMPS.format("0, from -0.1 to 0.1")),  # sign(a) (|a| − 0.1) is right beyond ±0.1
    ("bregman", "abs(w + 100) + w**2/2", JUMPS.format("-100, from -101 to -99")),
    ("bregman newton", "exp(w)/2 + 3*log(cosh(w)) + sqrt(1 + w**2)", ENDS),  # more than −4, though cosh(w) overflows on the way there
    ("bregman newton", "exp(w) + 20*sqrt(1 + w**2)", ENDS),
    ("bregman", "2*(w*log(w)) + w**2/2 + log(cosh(w))", "the generator has a derivative without a closed inverse"),
    ("bregman", "w**2/2 - log(w)", CANCELS),  # the branch at w < 0, where log(w) is no number, does not
]


@pytest.mark.parametrize(("kind", "generator", "cause"), FOUND_REFUSED)
def test_a_generator_that_cannot_be_inverted_is_refused(kind: str, generator: str, cause: str) -> None:
    kind, _, inverse = kind.partition(" ")
    retention = {"kind": kind, "generator": generator} | ({"inverse": inverse} if inverse else {})
    outcome = outcome_of(spec("eta" if kind == "f_divergence" else "eta alpha", retention=retention))
    assert (outcome.verdict, outcome.told) == ("refused", (cause,))


AT_CHUNK_END = {"kind": "muon", "apply": "chunk_end"}
ERASE = {"kind": "gradient_descent", "erase_key": True}
ON_GRID = {"size": 4, "gradient": "chunk_start"}
FOUND = {
    "softplus and maxima have an inverse by numbers, where exp(w) is none": spec(
        "eta alpha",
        retention={"kind": "bregman", "generator": "w**2/2 + max(w, 0)**2 + softplus(softplus(2*w))", "inverse": "newton"},
        chunk=ON_GRID,
    ),
    "the weight in a window of one token counts": spec("eta alpha gamma", attentional_bias={"kind": "l2", "window": 1}),
    "and where surprises are known at once, and orthogonalized": spec(
        "eta alpha gamma mu", attentional_bias={"kind": "log_cosh", "window": 1}, optimizer={"kind": "muon"}, chunk=ON_GRID
    ),
    "a gradient of 0 may be rounding: a clip hides the threshold": spec(
        "eta alpha delta", attentional_bias={"kind": "huber_norm", "clip": 0.01}
    ),
    "a measure that the rule itself computes is a step of the rule": spec(
        "eta alpha", attentional_bias={"kind": "l2", "scale": 0.5, "clip": 0.3}, retention={"kind": "l2", "order": "before_gradient"},
        optimizer={"kind": "implicit"},
    ),
    "nothing decays a state that is written at the chunk's end": spec(
        "eta mu", retention={"kind": "none"}, optimizer=AT_CHUNK_END, chunk={**ON_GRID, "read": "chunk_start"}
    ),
    "a chunk of one token is full at once": spec(
        "eta alpha mu", optimizer=AT_CHUNK_END, chunk={"size": 1, "gradient": "chunk_start", "read": "chunk_start"}
    ),
    "a linear path is left at the chunk's end": spec(
        "eta alpha mu", retention={"kind": "sigmoid"}, optimizer=AT_CHUNK_END,
        chunk={**ON_GRID, "read": "chunk_start", "retention": "chunk_end"},
    ),
    "a write that does not read the state that entered the chunk": spec(
        "eta alpha", attentional_bias={"kind": "dot_product"}, chunk={**ON_GRID, "size": 16}
    ),
    "a token reads before the first of its writes": spec(
        "eta alpha", retention={"kind": "l2", "order": "before_gradient"}, optimizer={"kind": "gradient_descent", "steps": 2},
        chunk={"read": "before_write"},
    ),
    "and so it does in a chunk of one token that reads where the chunk starts": spec(
        "eta alpha", retention={"kind": "l2", "order": "before_gradient"}, optimizer={"kind": "gradient_descent", "steps": 2},
        chunk={"size": 1, "gradient": "chunk_start", "read": "chunk_start"},
    ),
    "the keys that erase have the step size of their channel, too": spec("eta:key_channel alpha", optimizer=ERASE),
    "and what is added meanwhile that of its own": spec("eta:value_channel alpha:value_channel", optimizer=ERASE),
    "on a linear path every channel has its own decay": spec(
        "eta alpha:key_channel", retention={"kind": "sigmoid"}, chunk={**ON_GRID, "retention": "chunk_end"}
    ),
    "and also where every token's step is orthogonalized": spec(
        "eta alpha mu", retention={"kind": "sigmoid"}, optimizer={"kind": "muon"}, chunk={**ON_GRID, "retention": "chunk_end"}
    ),
    "a chunk of one token is read before it is written, where its start is": spec(
        "eta alpha", chunk={"size": 1, "gradient": "chunk_start", "read": "chunk_start"}
    ),
    "and so it is where surprises are known, and ψ is applied per token": spec(
        "eta alpha", attentional_bias={"kind": "dot_product"}, retention={"kind": "sigmoid"},
        chunk={"size": 1, "gradient": "chunk_start", "read": "chunk_start"},
    ),
    "a linear path of one token begins at ψ of the state before it": spec(
        "eta alpha", attentional_bias={"kind": "dot_product"}, retention={"kind": "sigmoid"},
        chunk={"size": 1, "gradient": "chunk_start", "retention": "chunk_end"},
    ),
    "a query does not look ahead": spec("eta alpha mu", optimizer={"kind": "nesterov"}, chunk={"read": "before_write"}),
    "a gate per value channel stays under the sum": spec(
        "eta alpha rho:value_channel", attentional_bias={"kind": "formula", "loss": "sum(rho*(u - v))**2 + sum((u - v)**2)"}
    ),
    "and couples the values, also where each decays by itself": spec(
        "eta alpha:value_channel", attentional_bias={"kind": "formula", "loss": "sum(u - v)**2 + sum((u - v)**2)"}
    ),
    "the largest coordinate is found however a difference is rounded": spec(
        "eta alpha", attentional_bias={"kind": "formula", "loss": "max(exp(-(u - v)**2) - (u - v))**2"}
    ),
    "a residual beside features that are made outside": spec(
        "eta alpha", memory={"kind": "matrix", "residual": True}, attentional_bias={"kind": "huber_norm", "delta": 0.7},
        feature_map={"kind": "polynomial", "degree": 2},
    ),
    "the larger of one and the same": spec(
        "eta alpha", attentional_bias={"kind": "formula", "loss": "sum(max((u - v)**2, (u - v)**2)) + sum(max(u*v, u*v))"}
    ),
    "the hyperbolic cosine of a large error has a logarithm": spec(
        "eta alpha mu", memory={"kind": "mlp", "layers": 3}, attentional_bias={"kind": "log_cosh", "clip": 1.0},
        optimizer=AT_CHUNK_END | {"coefficients": "lact"}, retention={"kind": "kl", "slice": "output", "total": 16.0},
        chunk=ON_GRID | {"read": "chunk_start", "retention": "chunk_end"},
    ),
    "a length has a derivative where its square is hardly a number": spec(
        "eta alpha", attentional_bias={"kind": "formula", "loss": "norm(exp(-400*(u - v)**2))"}
    ),
    "and of one token that begins where it is, with a map that is the identity": spec(
        "eta alpha", retention={"kind": "elastic_net_ftrl", "threshold": 0.0},
        chunk={"size": 1, "gradient": "chunk_start", "retention": "chunk_end"},
    ),
    "a step size at which the rule explodes on a probe is too large": spec(
        "eta alpha", retention={"kind": "bregman", "generator": "w*log(w)/2", "inverse": "newton"}
    ),
    "and has none where its square is not a normal number": spec(
        "eta alpha", attentional_bias={"kind": "formula", "loss": "norm(exp(-200 - 200*v**2)*u)"}
    ),
    "nor have a root and a clipped surprise of such a length": spec(
        "eta alpha", attentional_bias={"kind": "formula", "loss": "sqrt(sum(exp(-400 - 400*v**2)*u**2))", "clip": 0.3}
    ),
    "the root of a number is a number": spec("eta alpha", retention={"kind": "bregman", "generator": "3*w**4/4"}),
    "tokens of a chunk that have the rows of their windows for themselves": spec(
        "eta alpha:value_channel gamma", memory={"kind": "vector"}, attentional_bias={"kind": "huber_norm", "delta": 0.7, "window": 2},
        retention={"kind": "elastic_net_ftrl", "threshold": 0.0}, chunk={"size": 8, "gradient": "chunk_start"},
    ),
    "a mirror map that is derived to be the identity": spec(
        "eta alpha", attentional_bias={"kind": "dot_product"}, retention={"kind": "lq", "q": 2.0}
    ),
}  # fmt: skip


@pytest.mark.parametrize("tree", FOUND.values(), ids=FOUND)
def test_what_a_random_spec_has_found_stays_found(tree: Tree) -> None:
    outcome = outcome_of(tree)
    assert outcome.verdict == "accepted", outcome.told


def test_a_rule_that_explodes_at_every_step_size_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no literal result to compare with."""
    monkeypatch.setattr(Subject, "amplification", math.nan)
    outcome = outcome_of(spec("eta alpha"))
    assert (outcome.verdict, outcome.told) == ("unstable", ("the literal model leaves float32 at every step size",))


KEPT, BROKEN = ({"check": "calm", "entry": "o", "error": error, "limit": 1e-5} for error in (1e-6, 5e-5))
SENSED = {"check": "calm: sensitivity", "entry": "", "error": 900.0, "limit": math.inf}


@pytest.mark.parametrize(
    ("rows", "problem", "verdict", "told"),
    [
        ([SENSED, KEPT], "", "accepted", []),
        ([KEPT, BROKEN], "", "failed", ["kernels, calm: o (5.0e-05 of 1.0e-05)"]),
        ([SENSED, KEPT, BROKEN], "", "unstable", ["kernels, calm: o (5.0e-05 of 1.0e-05)"]),
        ([SENSED, KEPT, {**BROKEN, "error": 2e-4}], "", "failed", ["kernels, calm: o (2.0e-04 of 1.0e-05)"]),
        ([KEPT], "killed", "failed", ["kernels: killed"]),
    ],
)
def test_the_rows_of_kernels_decide(
    rows: list[dict[str, Any]], problem: str, verdict: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of a child process, its end, and the rows that rounding alone misses."""
    monkeypatch.setattr(random_outcome, "run_child", lambda *_: Answer(rows, problem))
    dims = {"K": random_outcome.WIDE, "V": random_outcome.WIDE}
    given = parse_spec(json.dumps(spec("eta alpha")), "found.yaml")
    found = random_outcome.executed(given, Path(), dims, Random(0))
    assert found == (verdict, tuple(f"{each}, widths (72, 72, 0)" for each in told), 1)


def test_a_spec_is_the_same_wherever_it_is_drawn() -> None:
    assert random_spec(Random("0:7")) == random_spec(Random("0:7"))
    assert len({str(random_spec(Random(f"0:{index}"))) for index in range(50)}) == 50
