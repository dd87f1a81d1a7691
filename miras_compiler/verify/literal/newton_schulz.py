"""Muon's orthogonalization: five Newton–Schulz steps."""

from __future__ import annotations

from torch import Tensor

from miras_compiler.verify.literal.bias import norm

FLOOR = 1e-7
COEFFICIENTS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "jordan": ((3.4445, -4.7750, 2.0315),) * 5,
    "lact": (
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ),
}


def newton_schulz(x: Tensor, coefficients: str) -> Tensor:
    """NS₅ of one weight matrix of every head, [B,H,R,C]: X/(‖X‖_F + 1e-7), five times X ← aX + (bP + cP²)X, P = XXᵀ on the short side."""
    size = norm(x.flatten(-2)).unsqueeze(-1)
    tall = x.shape[-2] > x.shape[-1]
    x = x / (size + FLOOR)
    x = x.mT if tall else x
    for a, b, c in COEFFICIENTS[coefficients]:
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
