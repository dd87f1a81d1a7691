"""Errors of forecasts, squared and absolute, beside those of forecasts that cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from miras_compiler.data.series import Values
from miras_compiler.data.windows import Windows

Forecaster = Callable[[Values], Values]
"""Contexts [B, context, channels] to forecasts [B, horizon, channels]."""


def naive(horizon: int) -> Forecaster:
    """The last value again."""
    return lambda context: np.repeat(context[:, -1:], horizon, 1)


def seasonal_naive(horizon: int, season: int) -> Forecaster:
    """The value of one season before, or of as many as it takes to have been seen."""
    steps = np.arange(horizon) % season - season
    return lambda context: context[:, steps]


def season_of(windows: Windows) -> int:
    """The lag of at most a context at which the training parts resemble themselves most, after a straight line is taken away.

    It is a peak of the mean autocorrelation that is above 0; 1 where there is none.
    """
    lags = windows.context
    total = np.zeros(lags + 1)
    for values, border in zip(windows.scaled, windows.borders, strict=True):
        time = np.arange(border)
        for channel in values[:border].T:
            rest = channel - np.polyval(np.polyfit(time, channel, 1), time)
            power = float(rest @ rest)
            if power > 1e-12 * border:
                total += [float(rest[lag:] @ rest[: border - lag]) / power for lag in range(lags + 1)]
    peaks = [lag for lag in range(2, lags) if total[lag] > 0 and total[lag] >= total[lag - 1] and total[lag] > total[lag + 1]]
    return max(peaks, key=lambda lag: (total[lag], -lag), default=1)


def forecast_errors(windows: Windows, forecasters: Mapping[str, Forecaster], batch: int = 64) -> dict[str, dict[str, Any]]:
    """By name of a forecaster: `mse` and `mae` over all held-out windows, steps and channels, and `mse_by_step` of the horizon.

    In units of the standard deviation of the training part of each channel.
    """
    places = windows.held_out()
    squares = {name: np.zeros(windows.horizon) for name in forecasters}
    sizes = {name: np.zeros(windows.horizon) for name in forecasters}
    for contexts, futures in windows.batches(places, batch):
        for name, forecast in forecasters.items():
            error = forecast(contexts) - futures
            squares[name] += np.square(error).mean(2).sum(0)
            sizes[name] += np.abs(error).mean(2).sum(0)
    return {
        name: {
            "mse": float(squares[name].mean() / len(places)),
            "mae": float(sizes[name].mean() / len(places)),
            "mse_by_step": {str(step + 1): float(value / len(places)) for step, value in enumerate(squares[name])},
        }
        for name in forecasters
    }
