"""The polynomial feature map: monomials of a key's channels, so wide that it is applied before the forms read their tokens."""

from __future__ import annotations

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
    for index in monomials(x.shape[-1], coefficients.shape[0] - 1, x.device):
        product = coefficients[index.shape[1]] * multiplicities(index).to(work).sqrt()
        for channels in index.unbind(1):
            product = product * x[..., channels]
        columns.append(product)
    return torch.cat(columns, -1)


def monomials(width: int, degree: int, device: torch.device) -> list[Tensor]:
    """The channels of every monomial [M, i] of the degrees i = 1, …, degree, in the order of a dictionary.

    Made by operations on tensors alone, none of which waits for the device: torch.compile does not trace `itertools`, and a CUDA graph
    copies no list.
    """
    found: list[Tensor] = []
    channel = torch.arange(width, device=device)
    behind = torch.ones_like(channel)  # how many monomials of one degree less have no channel before this one
    index = channel.new_empty(1, 0)
    for below in range(degree):
        number = math.comb(width + below, below + 1)
        first = channel.repeat_interleave(behind, output_size=number)
        last = behind.cumsum(0)[first]  # where those with this first channel end
        rest = index.shape[0] - last + torch.arange(number, device=device)
        index = torch.cat((first[:, None], index[rest]), 1)
        found.append(index)
        behind = behind.flip(0).cumsum(0).flip(0)
    return found


def multiplicities(index: Tensor) -> Tensor:
    """|b|!/b! [M]: in how many orders the channels [M, |b|] of a monomial can be written."""
    met = (index[:, :, None] == index[:, None, :]).tril().sum(-1)  # how often a channel has stood up to here
    return math.factorial(index.shape[1]) / met.prod(-1)
