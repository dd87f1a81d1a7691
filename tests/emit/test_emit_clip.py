"""A slope that is shortened to a length: its derivative stays a number wherever the slope and its length are."""

from __future__ import annotations

from pathlib import Path

import torch

from kit.layer_package import load_package, small_spec
from miras_compiler import compile_spec


def test_a_large_gradient_does_not_meet_a_long_slope_before_its_length(tmp_path: Path) -> None:
    """10³⁰ · 10¹⁰ is no number of float32; 10³⁰ · 10¹⁰ / 10¹⁰ is."""
    package = load_package(compile_spec(small_spec("clipped_delta")).write(tmp_path))
    q = k = torch.full((1, 1, 2, 4), 0.5)
    v = torch.full((1, 1, 2, 4), 1e10, requires_grad=True)
    gates = {"eta": torch.full((1, 1, 2), 0.5), "log_alpha": torch.zeros(1, 1, 2)}
    for operator in (package.chunk_clipped_delta, package.naive_recurrent_clipped_delta):
        o, _ = operator(q, k, v, **gates)
        direction = torch.tensor([1.0, -1.0, 2.0, 0.5]) * 1e30
        (found,) = torch.autograd.grad((o * direction).sum(), [v])
        wide = v.detach().double().requires_grad_()
        exact, _ = operator(q.double(), k.double(), wide, **{name: gate.double() for name, gate in gates.items()})
        (expected,) = torch.autograd.grad((exact * direction.double()).sum(), [wide])
        assert found.isfinite().all()
        assert torch.allclose(found.double(), expected, rtol=1e-4)
