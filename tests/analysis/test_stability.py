"""Stability at the gates as the layer starts them: bounds where a rule contracts, warnings where it does not or is chaotic."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from kit.compiled import without_tiles
from kit.paths import SPECS
from miras_compiler.analysis.token_loop import Loop
from miras_compiler.cli import main
from miras_compiler.derive import derive_update_rule
from miras_compiler.spec import load_spec
from miras_compiler.spec.stability import CHANGE, Sensitivity, contraction, stable_sibling

STEPS: dict[
    str, tuple[dict[str, object], float | None, float]
] = {  # spec, overrides -> the factor of a write, and the largest step size that keeps it at 1
    "delta_net": ({"gates.eta.init": 0.5}, 0.5, 2.0),
    "gated_delta_net": ({"gates.eta": {"init": 2.5, "parametrization": "softplus"}, "gates.alpha.init": 0.9}, 0.9 * 1.5, 1 + 1 / 0.9),
    "delta_product": ({"gates.eta.init": 0.5}, 0.5, 2.0),
    "titans_linear": ({"gates.eta.init": 0.1, "gates.alpha.init": 0.9, "gates.mu.init": 0.5}, None, 1.9 * 1.5 / 2),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_write_contracts_up_to_a_step_size_that_is_told(name: str) -> None:
    """Below the largest step size it shrinks the read there, above it the state grows."""
    settings, factor, largest = STEPS[name]
    spec = load_spec(SPECS / f"{name}.yaml", settings)
    step = contraction(spec)
    assert step is not None
    assert factor is None or step.factor == pytest.approx(factor)
    assert step.largest == pytest.approx(largest)
    for scale, grows in ((0.99, False), (1.01, True)):
        at = contraction(
            spec.model_copy(update={"gates": spec.gates | {"eta": spec.gates["eta"].model_copy(update=free(scale * largest))}})
        )
        assert at is not None
        assert (at.factor > 1) == grows


def free(eta: float) -> dict[str, object]:
    return {"init": eta, "parametrization": "softplus", "range": None}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear_attention", "gated_delta_net", "delta_product", "omega_delta", "swla", "rwkv7", "titans_linear"])
def test_the_loop_in_numpy_is_the_recurrent_form(name: str) -> None:
    """The same rows, gates and state through the generated package: windows, several writes, three keys and momentum included."""
    spec = load_spec(SPECS / f"{name}.yaml")
    loop = Loop(derive_update_rule(spec), 8, 64)
    random = np.random.default_rng(1)
    sequence = [loop.draw_token(random) for _ in range(9)]
    found = loop.outputs(sequence, loop.draw_state(random))
    nothing = {row: np.zeros_like(x) for row, x in sequence[0].items()}
    rows = [loop.tied(token, before) for before, token in pairwise((nothing, *sequence))]
    names = ["q", "k", "v", *(["erase_key", "erase_write_key"] if name == "rwkv7" else [])]
    tokens = {row: as_tensor(np.concatenate([each[row] for each in rows]))[None, :, None] for row in names}
    gates = gates_of(loop, 9)
    package = without_tiles(spec).load()
    o, _ = getattr(package, f"naive_recurrent_{name}")(**tokens, **gates)
    np.testing.assert_allclose(o[0, :, 0].numpy(), found, rtol=1e-9, atol=1e-12)


def gates_of(loop: Loop, tokens: int) -> dict[str, Tensor]:
    writes = {name: len(loop.draw_token(np.random.default_rng(0))["k"]) if name == "eta" else 1 for name in loop.rule.gates}
    gates = {}
    for name, x in loop._gates(0).items():
        rows = tokens * writes.get(name, 1)
        gates[name] = as_tensor(np.broadcast_to(x, (1, rows, 1, *x.shape)).copy())
        if name == "gamma":
            gates[name] = gates[name][..., None].repeat(1, 1, 1, loop.lengths["j"])
    return gates


def as_tensor(x: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x))


# weights that are 0.07 of those that are read, and steps that are as large as theirs
HOT_MONETA = (
    str(SPECS / "moneta.yaml"),
    "--set",
    "memory.init.std=fan_in",
    "--set",
    "gates.eta.range=null",
    "--set",
    "gates.eta.init=0.02",
)


def test_check_warns_of_a_chaotic_memory_and_names_the_stable_sibling(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *HOT_MONETA]) == 0
    said = capsys.readouterr().err
    assert "moneta.yaml:5: warning: the memory is chaotic at the gates as the layer starts them" in said
    assert "a change of 0.1 % in token 0 changes the outputs up to token 255 by" in said
    assert "moneta_mirror has the same kinds of memory and attentional bias, and is stable" in said
    assert stable_sibling(load_spec(SPECS / "moneta.yaml")) == "moneta_mirror"
    assert main(["check", str(SPECS / "moneta.yaml")]) == 0
    assert "chaotic" not in capsys.readouterr().err


def test_a_loss_of_ones_own_has_no_stable_sibling(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(SPECS / "charbonnier_delta.yaml"), "--set", "attentional_bias.loss=sum(u - v)**2 + width"]) == 0
    said = capsys.readouterr().err
    assert "changes the outputs up to token 255 beyond any bound; a smaller step size may help" in said


def test_check_warns_of_a_step_that_does_not_contract(capsys: pytest.CaptureFixture[str]) -> None:
    setting = "gates.eta={init: 2.5, parametrization: softplus}"
    assert main(["check", str(SPECS / "gated_delta_net.yaml"), "--set", setting]) == 0
    said = capsys.readouterr().err
    assert "warning: the state grows without bound at the gates as the layer starts them" in said
    assert "by |α (1 − η)| = 1.485; start eta at 2.01 or below" in said
    assert main(["check", str(SPECS / "gated_delta_net.yaml")]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("setting", "largest", "remedy"),
    [
        ("attentional_bias.scale=1", "2.01", "`eta: {parametrization: 2*sigmoid}` keeps eta below 2"),
        ("attentional_bias.scale=1.5", "1.34", "`eta: {parametrization: sigmoid}` keeps eta below 1"),
        ("attentional_bias.scale=3", "0.67", "`eta: {range: [0, 0.67]}` keeps it below"),
    ],
)
def test_check_warns_of_a_step_size_that_can_be_trained_until_the_state_grows(
    setting: str, largest: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = str(SPECS / "gated_delta_net.yaml")
    assert main(["check", spec, "--set", setting, "--set", "gates.eta={init: 0.1}"]) == 0
    said = capsys.readouterr().err
    assert "warning: the state can grow without bound once eta has been trained" in said
    assert f"beyond eta = {largest}, and softplus has no such end; {remedy}" in said
    gate = remedy.partition("`eta: ")[2].partition("`")[0].replace("}", ", init: 0.1}")
    assert main(["check", spec, "--set", setting, "--set", f"gates.eta={gate}"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_explain_and_json_tell_the_stability(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *HOT_MONETA]) == 0
    assert "the memory is chaotic, moneta_mirror is a stable sibling" in capsys.readouterr().out


def test_a_change_grows_where_late_outputs_are_changed_more_than_early_ones_and_than_the_token() -> None:
    assert Sensitivity(CHANGE, 5 * CHANGE).grows
    assert Sensitivity(1e-5, float("inf")).grows
    assert Sensitivity(1e-5, float("nan")).grows
    assert not Sensitivity(CHANGE, 3 * CHANGE).grows
    assert not Sensitivity(1e-9, 1e-5).grows


def test_the_loop_ties_rows_as_the_layer_starts_them() -> None:
    """Gates at their initial values, signs, the token before, and zeros for one write; a sum of keys is not bounded by their length."""
    terms = [{"of": "k", "lag": 1, "minus": True}, {"of": "q", "gate": {"init": 0.25, "root": True}}]
    summed = load_spec(SPECS / "gated_delta_net.yaml", {"layer.tie": {"k": {"of": "k", "gate": {"init": 0.3}, "plus": terms}}})
    erasing = load_spec(SPECS / "delta_product.yaml", {"layer.tie": {"v": {"of": "zero", "write": 1}}})
    random = np.random.default_rng(0)
    loop = Loop(derive_update_rule(summed), 8, 64)
    before, token = loop.draw_token(random), loop.draw_token(random)
    np.testing.assert_allclose(loop.tied(token, before)["k"], 0.3 * token["k"] - before["k"] + 0.5 * token["q"], rtol=1e-15)
    assert contraction(summed) is None
    loop = Loop(derive_update_rule(erasing), 8, 64)
    token = loop.draw_token(random)
    np.testing.assert_array_equal(loop.tied(token, token)["v"], np.stack([np.zeros(8), token["v"][1]]))
    assert contraction(erasing) is not None
