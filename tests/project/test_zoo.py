"""The zoo in specs/: the models and kinds of docs/mathematics.md §8 and §3–6, with their parallel forms and published recurrences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from kit import published
from kit.compiled import without_tiles
from kit.paths import SPECS
from miras_compiler.analysis import build_dependency_graph, classify_parallel_form
from miras_compiler.derive import derive_update_rule
from miras_compiler.elements.kinds import KINDS
from miras_compiler.spec import Spec, load_spec
from miras_compiler.verify.package import opened_here

DUAL = "dual"  # docs/mathematics.md §7, form 1
DUAL_PER_TOKEN = "dual_per_token"  # 1b
SOLVE = "triangular_solve"  # 2
SUBSTITUTE = "forward_substitution"  # 3
BY_TOKEN = "token_by_token"  # 5
FORMS: dict[str, str] = {
    "arcsinh_memory": DUAL_PER_TOKEN,
    "atlas": DUAL_PER_TOKEN,
    "channel_step_delta": SOLVE,
    "charbonnier_delta": SUBSTITUTE,
    "chi_square_memory": BY_TOKEN,
    "clipped_delta": SUBSTITUTE,
    "comba": SOLVE,
    "deep_rms_memory": DUAL,
    "delta_net": SOLVE,
    "delta_product": SOLVE,
    "dfw": DUAL,
    "dla": DUAL,
    "elastic_net_memory": BY_TOKEN,
    "elu_linear_attention": DUAL,
    "entropy_memory": DUAL_PER_TOKEN,
    "epsilon_delta": SUBSTITUTE,
    "gated_delta_net": SOLVE,
    "gdn2": SOLVE,
    "gla": DUAL,
    "hgrn2": DUAL,
    "huber_delta": SUBSTITUTE,
    "huber_norm_delta": SUBSTITUTE,
    "kda": SOLVE,
    "kl_delta": SUBSTITUTE,
    "l1_delta": SUBSTITUTE,
    "l3_delta": SUBSTITUTE,
    "lact": DUAL,
    "lightning": DUAL,
    "linear_attention": DUAL,
    "log_cosh_delta": SUBSTITUTE,
    "longhorn": SOLVE,
    "lookahead_delta": SOLVE,
    "mamba2": DUAL,
    "memora": DUAL_PER_TOKEN,
    "momentum_huber": SUBSTITUTE,
    "moneta": DUAL,
    "moneta_mirror": DUAL_PER_TOKEN,
    "nesterov_delta": SOLVE,
    "omega_delta": SOLVE,
    "omega_huber": SUBSTITUTE,
    "omega_net": DUAL,
    "preconditioned_gdn": SOLVE,
    "predictive_delta": SOLVE,
    "quartic_memory": DUAL_PER_TOKEN,
    "relu_linear_attention": DUAL,
    "retnet": DUAL,
    "robust_delta": SUBSTITUTE,
    "rwkv7": SOLVE,
    "sigmoid_memory": DUAL_PER_TOKEN,
    "softmax_delta": SOLVE,
    "sparse_memory": DUAL_PER_TOKEN,
    "squared_relu_delta": SOLVE,
    "swiglu_delta": DUAL,
    "swla": DUAL,
    "taylor_linear_attention": DUAL,
    "titans_exact": BY_TOKEN,
    "titans_linear": SOLVE,
    "titans_lmm": DUAL,
    "tnt_local": DUAL,
    "transformer": SOLVE,
    "ttt_linear": DUAL,
    "ttt_mlp": DUAL,
    "ttt_online": SUBSTITUTE,
    "value_gated_delta": SOLVE,
    "value_gated_huber": SUBSTITUTE,
    "vector_delta": SOLVE,
    "vector_gate": DUAL,
    "vector_huber": SUBSTITUTE,
    "window_hybrid": SOLVE,
    "yaad": DUAL,
}

SWITCHES: dict[str, set[Any]] = {  # the dotted keys of a spec, and every value that one of the zoo must have
    "chunk.gradient": {"exact", "chunk_start"},
    "chunk.read": {"after_write", "before_write", "chunk_start"},
    "chunk.retention": {"per_token", "chunk_end"},
    "retention.order": {"after_gradient", "before_gradient"},
    "retention.inverse": {"closed", "newton"},
    "retention.value_decay": {True, False},
    "optimizer.apply": {"per_token", "chunk_end"},
    "optimizer.coefficients": {"jordan", "lact"},
    "optimizer.erase_key": {True, False},
    "optimizer.steps": {1, 2},
    "memory.norm": {"none", "layer", "rms"},
    "memory.residual": {True, False},
    "memory.layers": {2, 3},
    "attentional_bias.window": {None, 4},
    "attentional_bias.clip": {None, 1.0},
    "gates.*.per": {"head", "key_channel", "value_channel"},
    "gates.*.source": {"input", "learned", "constant"},
    "gates.*.low_rank": {None, 32},
    "layer.tie.*.of": {"k", "v", "erase_key", "1 - alpha"},
    "layer.tie.*.gate.per": {"head", "channel"},
    "layer.tie.*.lag": {1},
    "layer.skip": {True},
}


@cache
def read(name: str) -> Spec:
    return load_spec(SPECS / f"{name}.yaml")


def all_specs() -> list[dict[str, Any]]:
    return [read(name).model_dump() for name in FORMS]


def test_the_table_of_forms_has_every_spec() -> None:
    assert sorted(FORMS) == sorted(path.stem for path in SPECS.glob("*.yaml"))


@pytest.mark.parametrize("name", FORMS)
def test_a_spec_is_named_like_its_file_and_accounts_for_its_paper(name: str) -> None:
    spec = read(name)
    assert spec.name == name
    assert spec.paper
    assert spec.ledger
    assert all(entry.equation and entry.note for entry in spec.ledger)


@pytest.mark.parametrize("name", FORMS)
def test_the_parallel_form_is_that_of_the_table(name: str) -> None:
    rule = derive_update_rule(read(name))
    form = classify_parallel_form(rule, build_dependency_graph(rule))
    assert form.kind == FORMS[name], form.reason


@pytest.mark.parametrize("role", KINDS)
def test_every_kind_of_an_element_is_used(role: str) -> None:
    assert {spec[role]["kind"] for spec in all_specs()} == set(KINDS[role])


@pytest.mark.parametrize("key", SWITCHES)
def test_every_value_of_a_switch_is_used(key: str) -> None:
    assert {value for spec in all_specs() for value in values_at(spec, key.split("."))} >= SWITCHES[key]


def values_at(tree: dict[str, Any], path: list[str]) -> Iterator[Any]:
    """The values at a path of keys, where * is any key; none where the path does not lead anywhere."""
    first, *rest = path
    for value in tree.values() if first == "*" else [tree[first]] if first in tree else []:
        if not rest:
            yield value
        elif value is not None:
            yield from values_at(value, rest)


def test_retnet_has_the_published_decay_of_every_head() -> None:
    spec = read("retnet")
    assert spec.gates["alpha"].init == tuple(1 - 2.0 ** (-5 - head) for head in range(spec.layer.heads))


def test_lightning_has_the_decay_of_the_slopes_to_six_digits() -> None:
    spec = read("lightning")
    heads = torch.arange(1, spec.layer.heads + 1, dtype=torch.float64)
    expected = torch.exp(-(2.0 ** (-8 * heads / spec.layer.heads)))
    torch.testing.assert_close(torch.tensor(spec.gates["alpha"].init, dtype=torch.float64), expected, rtol=0, atol=5e-7)


SIZES = {"B": 2, "T": 40, "H": 3, "K": 5, "V": 4}
Tokens = dict[str, torch.Tensor]


def decays(x: torch.Tensor) -> torch.Tensor:
    """Between 0.5 and 1."""
    return 0.5 + 0.5 * torch.sigmoid(2 * x)


def tokens(name: str, inputs: list[dict[str, Any]]) -> Tokens:
    """Random tokens of the sizes that the manifest tells: keys of length 1, decays between 0.5 and 1, step sizes between 0 and 1."""
    generator = torch.Generator().manual_seed(len(name))
    spec = read(name)
    sizes = SIZES | {"R": spec.optimizer.model_dump().get("steps", 1) * SIZES["T"]}
    made: Tokens = {}
    for argument in inputs:
        x = torch.randn([sizes[axis] for axis in argument["axes"]], generator=generator, dtype=torch.float64)
        if argument["name"] == "k" or "key" in argument["name"]:
            x = x / x.norm(dim=-1, keepdim=True)
        elif argument["name"].startswith("log_"):
            x = decays(x).log()
        elif argument["name"] == "eta":
            x = torch.ones_like(x) if spec.gates["eta"].source == "constant" else torch.sigmoid(x)
        made[argument["name"]] = x
    return made


# From random tokens: the operator's other arguments, and those of the published recurrence besides q, k, v.
GAMMA = torch.tensor(read("retnet").gates["alpha"].init, dtype=torch.float64)[: SIZES["H"]]
DECAY_RATE = torch.tensor([-0.5, -1.0, -2.0], dtype=torch.float64)  # A of Mamba-2, per head
OPERATOR: dict[str, Callable[[Tokens], Tokens]] = {
    "retnet": lambda x: {"log_alpha": GAMMA.log().expand(x["log_alpha"].shape)},
    "mamba2": lambda x: {"log_alpha": x["eta"] * DECAY_RATE},
    "rwkv7": lambda x: {"erase_write_key": torch.sigmoid(x["q"]) * x["erase_key"]},
    "comba": lambda x: {"erase_key": 0.7 * x["k"], "erase_write_key": x["k"]},
    "hgrn2": lambda x: {"k": 1 - x["log_alpha"].exp()},
}
RECURRENCE: dict[str, Callable[[Tokens], Tokens]] = {
    "retnet": lambda x: {"gamma": GAMMA},
    "gla": lambda x: {"alpha": x["log_alpha"].exp()},
    "mamba2": lambda x: {"a": DECAY_RATE, "dt": x["eta"]},
    "delta_net": lambda x: {"beta": x["eta"]},
    "gated_delta_net": lambda x: {"alpha": x["log_alpha"].exp(), "beta": x["eta"]},
    "kda": lambda x: {"alpha": x["log_alpha"].exp(), "beta": x["eta"]},
    "rwkv7": lambda x: {"w": x["log_alpha"].exp(), "kappa": x["erase_key"], "a": torch.sigmoid(x["q"])},
    "delta_product": lambda x: {"alpha": x["log_alpha"].exp(), "beta": x["eta"]},
    "longhorn": lambda x: {"beta": x["eta"]},
    "comba": lambda x: {"alpha": x["log_alpha"].exp(), "beta": x["eta"], "p": x["erase_key"]},
    "hgrn2": lambda x: {"alpha": x["log_alpha"].exp()},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECURRENCE)
def test_the_chunk_form_is_the_published_recurrence(name: str, tmp_path: Path) -> None:
    with opened_here(without_tiles(read(name)).write(tmp_path), name) as package:
        given = tokens(name, package.manifest["inputs"])
        given |= OPERATOR[name](given) if name in OPERATOR else {}
        o, _ = package.chunk(**given)
    rows = {row: given[row] for row in ("q", "k", "v") if not (name == "hgrn2" and row == "k")}
    expected = getattr(published, name)(**rows, **RECURRENCE[name](given))
    assert o.abs().mean() > 0.05
    torch.testing.assert_close(o, expected, rtol=0, atol=1e-10)


def test_every_note_is_a_short_line_of_plain_text() -> None:
    for name in FORMS:
        for entry in read(name).ledger:
            assert len(entry.note) <= 240, f"{name}: {entry.equation}"
            assert re.fullmatch(r"[ -~]+", entry.note), f"{name}: {entry.equation}"
