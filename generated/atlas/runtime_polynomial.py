"""The polynomial feature map: monomials of a key's channels, so wide that it is applied before the forms read their tokens."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .runtime_tensor import wide_type


@dataclass(frozen=True)
class Polynomial:
    """Features of the tokens `of`, up to a degree."""

    degree: int
    of: tuple[str, ...]

    def check(self, lengths: dict[str, int]) -> None:
        """One coefficient per degree; F is the number of features."""
        if lengths["D"] != self.degree + 1:
            raise ValueError(f"feature_coefficients: expected one per degree, D = {self.degree + 1}, got D = {lengths['D']}")
        lengths["F"] = math.comb(lengths["K"] + self.degree, self.degree)

    def prepare(self, tokens: dict[str, Tensor], parameters: Mapping[str, Tensor], axes: Mapping[str, str]) -> dict[str, Tensor]:
        """The tokens, and behind them the features, as `k_features`."""
        work = wide_type(tokens[self.of[0]].dtype)
        coefficients = parameters["feature_coefficients"].to(work)  # once: gradients of several casts are added up in the narrow type
        return tokens | {f"{name}_features": polynomial(tokens[name], coefficients) for name in self.of}


def polynomial(x: Tensor, coefficients: Tensor) -> Tensor:
    """(c_|b| √(|b|!/b!) x^b) over |b| ≤ degree: [..., K] to [..., F], degree by degree, so that φ(q)·φ(k) = Σ c_i² (q·k)^i."""
    work = wide_type(x.dtype)
    x = x.to(work)
    columns = [coefficients[0].expand(*x.shape[:-1], 1)]
    for degree in range(1, coefficients.shape[0]):
        index, weight = monomials(x.shape[-1], degree)
        product = coefficients[degree] * torch.tensor(weight, dtype=work, device=x.device)
        for channel in zip(*index, strict=True):
            product = product * x[..., list(channel)]
        columns.append(product)
    return torch.cat(columns, -1)


@functools.cache
def monomials(width: int, degree: int) -> tuple[list[tuple[int, ...]], list[float]]:
    """The channels of every monomial of a degree [M, degree], and the square roots of the multinomial coefficients [M]."""
    index = list(itertools.combinations_with_replacement(range(width), degree))
    counts = [math.prod(math.factorial(row.count(channel)) for channel in set(row)) for row in index]
    return index, [math.sqrt(math.factorial(degree) / count) for count in counts]
