"""Errors of forecasts, squared and absolute, beside those of forecasts that cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from miras_compiler.data.series import Values
from miras_compiler.data.windows import Place, Windows
from miras_compiler.evaluate.adjustment import seasonal_indices

Forecaster = Callable[[Sequence[Place], Values], Values]
"""Places and their contexts [B, context, channels] to forecasts [B, horizon, channels]."""


def naive(horizon: int) -> Forecaster:
    """The last value again."""
    return lambda _, context: np.repeat(context[:, -1:], horizon, 1)


def seasonal_naive(horizon: int, season: int) -> Forecaster:
    """The value of one season before, or of as many as it takes to have been seen."""
    steps = np.arange(horizon) % season - season
    return lambda _, context: context[:, steps]


def naive2(windows: Windows, season: int) -> Forecaster:
    """The last value again, adjusted for the season by all values of the series before the forecast (Naive2 of the M competitions)."""

    def forecast(places: Sequence[Place], contexts: Values) -> Values:
        found = np.empty((len(places), windows.horizon, contexts.shape[2]))
        for row, (number, start) in enumerate(places):
            for channel in range(contexts.shape[2]):
                known = windows.values[number][:start, channel]
                indices = seasonal_indices(known, season)
                ahead = indices[(start + np.arange(windows.horizon)) % season]
                found[row, :, channel] = known[-1] / indices[(start - 1) % season] * ahead
            found[row] = (found[row] - windows.means[number]) / windows.deviations[number]
        return found

    return forecast


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

    In units of the standard deviation of the training part of each channel. `smape` is 200 |y − f| / (|y| + |f|), a mean in percent of the
    values as they are in the file.
    """
    places = windows.held_out()
    squares = {name: np.zeros(windows.horizon) for name in forecasters}
    sizes = {name: np.zeros(windows.horizon) for name in forecasters}
    shares = dict.fromkeys(forecasters, 0.0)
    for own, contexts, futures in windows.batches(places, batch):
        for name, forecast in forecasters.items():
            found = forecast(own, contexts)
            squares[name] += np.square(found - futures).mean(2).sum(0)
            sizes[name] += np.abs(found - futures).mean(2).sum(0)
            for (number, _), guess, future in zip(own, found, futures, strict=True):
                shares[name] += symmetric_error(windows.unscaled(number, guess), windows.unscaled(number, future))
    return {
        name: {
            "mse": float(squares[name].mean() / len(places)),
            "mae": float(sizes[name].mean() / len(places)),
            "smape": shares[name] / len(places),
            "mse_by_step": {str(step + 1): float(value / len(places)) for step, value in enumerate(squares[name])},
        }
        for name in forecasters
    }


def symmetric_error(forecast: Values, future: Values) -> float:
    """The mean of 200 |y − f| / (|y| + |f|), 0 where both are 0."""
    size = np.abs(forecast) + np.abs(future)
    return float((200 * np.abs(forecast - future) / np.where(size > 0, size, 1.0)).mean())
