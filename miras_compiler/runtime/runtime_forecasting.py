"""Forecasts of series of numbers: patches of values go in as tokens, the values that follow the last patch come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from .runtime_model_arguments import wanted
from .runtime_modeling import MemoryModel, MemoryPreTrainedModel, projected
from .runtime_norms import wide
from .runtime_tensor import described, is_dense
from .runtime_transformers import ModelOutput
from .runtime_values import holds, may_look


@dataclass
class ForecastOutput(ModelOutput):
    """`forecasts` [B, horizon, channels], in the units of the values; `loss`, their mean squared error, where labels are given."""

    loss: Tensor | None = None
    forecasts: Tensor | None = None


class MemoryForForecasting(MemoryPreTrainedModel):
    """Values to forecasts. A package's own model defines `body`.

    Instance normalization: every channel of every row has the mean of its values taken away and is divided by their standard deviation,
    √(variance + 1e-5); a forecast is multiplied by that deviation, and the mean is added. Nothing of it is learned.
    """

    body: ClassVar[type[MemoryModel]]
    main_input_name = "values"
    accepts_loss_kwargs = False  # the loss is a mean: a trainer that accumulates gradients divides it

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = self.body(config)
        self.embed_patches = nn.Linear(config.patch * config.channels, config.hidden_size)
        self.forecast = nn.Linear(config.hidden_size, config.horizon * config.channels)
        self.post_init()

    def forward(
        self,
        values: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **others: Any,
    ) -> ForecastOutput | tuple[Any, ...]:
        """Forecasts of the `horizon` times behind `values` [B, T, channels], whose T is a multiple of the patch.

        `attention_mask` [B, T] is 0 at padding, which comes in whole patches, on any side. `labels` [B, horizon, channels] are the values
        that followed. Raises ValueError, TypeError for arguments without a meaning.
        """
        config: Any = self.config
        others.pop("num_items_in_batch", None)
        check_values(values, config.channels, config.patch)
        keep = kept_values(values, attention_mask, config.patch)
        mean, scale = statistics(values, keep)
        normal = torch.where(keep[..., None], (wide(values) - mean) / scale, 0.0).to(self.embed_patches.weight.dtype)
        patches = normal.reshape(values.shape[0], -1, config.patch * config.channels)
        there = keep[:, :: config.patch]
        mask = None if attention_mask is None else there
        hidden = self.model(None, mask, None, projected(self.embed_patches, patches), False, return_dict=True, **others).last_hidden_state
        place = torch.arange(there.shape[1], device=values.device)
        last = torch.where(there, place, 0).amax(1)
        end = hidden.gather(1, last[:, None, None].expand(-1, 1, hidden.shape[2]))
        forecasts = projected(self.forecast, end).reshape(values.shape[0], config.horizon, config.channels) * scale + mean
        loss = None
        if labels is not None:
            if not is_dense(labels) or labels.shape != forecasts.shape:
                raise ValueError(f"labels: expected shape {list(forecasts.shape)}, got {described(labels, dtype=False)}")
            loss = functional.mse_loss(forecasts, wide(labels))
        output = ForecastOutput(loss=loss, forecasts=forecasts)
        return output if wanted(return_dict, config, "return_dict") else output.to_tuple()


def check_values(values: object, channels: int, patch: int) -> None:
    """Numbers [B, T, channels], T a multiple of the patch; ValueError otherwise."""
    if not is_dense(values) or not values.is_floating_point() or values.dim() != 3 or values.shape[2] != channels:
        raise ValueError(f"values: expected floating-point numbers of shape [B, T, {channels}], got {described(values)}")
    if not values.shape[0] or not values.shape[1] or values.shape[1] % patch:
        more = values.shape[1] % patch
        remedy = f"; leave out the first {more}" if values.shape[1] > patch else ""
        raise ValueError(f"values: expected a multiple of {patch} times, which make a patch, got {values.shape[1]}{remedy}")


def kept_values(values: Tensor, attention_mask: Tensor | None, patch: int) -> Tensor:
    """The places [B, T] with values, by a mask whose padding is whole patches; the values there are finite."""
    keep = torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
    looks = may_look(values)
    if attention_mask is not None:
        if not is_dense(attention_mask) or attention_mask.shape != keep.shape:
            raise ValueError(f"attention_mask: expected shape {list(keep.shape)}, got {described(attention_mask, dtype=False)}")
        if looks and holds(((attention_mask != 0) & (attention_mask != 1)).any()):
            raise ValueError("attention_mask: expected 1 at values and 0 at padding, got other values")
        keep = attention_mask == 1
        grouped = keep.reshape(keep.shape[0], -1, patch)
        if looks and holds((grouped.any(2) != grouped.all(2)).any()):
            raise ValueError(f"attention_mask: expected padding in whole patches of {patch} times, got a patch that is padded in part")
    if looks and holds((keep[..., None] & ~values.isfinite()).any()):
        raise ValueError("values: expected numbers, got NaN or infinity; a gap has to be filled, or to be padding")
    return keep


def statistics(values: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation [B, 1, channels] of every channel, in float32 or more.

    Sums go from value to value, so that padding, wherever it is, changes no bit.
    """
    x, there = torch.where(keep[..., None], wide(values), 0.0), keep[..., None]
    count = keep.sum(1).clamp(min=1)[:, None, None]
    mean = x.cumsum(1)[:, -1:] / count
    variance = torch.where(there, (x - mean).square(), 0.0).cumsum(1)[:, -1:] / count
    return mean, (variance + 1e-5).sqrt()
