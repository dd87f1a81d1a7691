"""Classical seasonal adjustment, as the M competitions do it: the factors of a season, if a series shows one."""

from __future__ import annotations

import math

import numpy as np

from miras_compiler.data.series import Values

QUANTILE = 1.645  # of the normal distribution, two-sided 90 %


def seasonal_indices(values: Values, season: int) -> Values:
    """The factor [season] of each place in a season, by the number of a value modulo `season`; their mean is 1.

    Ratios to a centred moving average over one season. All are 1 for a series without a season, one that is not positive throughout, or one
    of less than three seasons.
    """
    if season < 2 or len(values) < 3 * season or (values <= 0).any() or not is_seasonal(values, season):
        return np.ones(season)
    weights = np.ones(season) / season if season % 2 else np.array([0.5, *[1.0] * (season - 1), 0.5]) / season
    half = len(weights) // 2
    ratios = values[half : len(values) - half] / np.convolve(values, weights, "valid")
    place = np.arange(half, len(values) - half) % season
    factors = np.array([ratios[place == each].mean() for each in range(season)])
    return np.asarray(factors / factors.mean())


def is_seasonal(values: Values, season: int) -> bool:
    """True if the autocorrelation at the lag of a season is beyond the limit of a series that has correlations at shorter lags alone."""
    rest = values - values.mean()
    power = float(rest @ rest)
    if power == 0:
        return False
    shorter = [float(rest[lag:] @ rest[:-lag]) / power for lag in range(1, season)]
    limit = QUANTILE * math.sqrt((1 + 2 * sum(each**2 for each in shorter)) / len(values))
    return abs(float(rest[season:] @ rest[:-season]) / power) > limit
