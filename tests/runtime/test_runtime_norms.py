"""The norms of a layer's outputs."""

from __future__ import annotations

import torch

from miras_compiler.runtime.runtime_norms import layer_norm


def test_channels_that_hardly_differ_keep_their_digits_under_a_layer_norm() -> None:
    """Readings of 4,000 with a spread of 1, in float32: results and gradients of the formula in float64."""
    generator = torch.Generator().manual_seed(0)
    x, weight = 4000 + torch.randn(100, 4, generator=generator), torch.ones(4)
    slopes = torch.randn(100, 4, generator=generator)
    leaf, exact = x.clone().requires_grad_(), x.double().requires_grad_()
    centered = exact - exact.mean(-1, keepdim=True)
    expected = centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    found = layer_norm(leaf, weight)
    (slope,), (exact_slope,) = torch.autograd.grad(found, leaf, slopes), torch.autograd.grad(expected, exact, slopes.double())
    for one, other in ((found.detach(), expected.detach()), (slope, exact_slope)):
        assert float((one - other).norm()) < 1e-6 * float(other.norm())
