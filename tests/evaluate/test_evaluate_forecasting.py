"""Errors of forecasts, by loops over all windows, and the forecasts that cost nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from miras_compiler.data.series import Series, Values
from miras_compiler.data.windows import Windows
from miras_compiler.evaluate.adjustment import is_seasonal, seasonal_indices
from miras_compiler.evaluate.forecasting import forecast_errors, naive, naive2, season_of, seasonal_naive

CONTEXT, HORIZON = 24, 7


def seasonal(period: int, times: int = 300, noise: float = 0.3, slope: float = 0.02) -> Series:
    time, random = np.arange(times), np.random.default_rng(0)
    columns = [np.sin(2 * np.pi * time / period), 5 * np.cos(2 * np.pi * time / period) + slope * time]
    return Series(Path("s.csv"), ("a", "b"), np.stack(columns, 1) + noise * random.normal(size=(times, 2)))


def test_naive_forecasts_repeat_the_last_value_and_the_last_season() -> None:
    context = np.arange(10.0).reshape(1, 10, 1)
    assert naive(4)([], context)[0, :, 0].tolist() == [9, 9, 9, 9]
    assert seasonal_naive(5, 3)([], context)[0, :, 0].tolist() == [7, 8, 9, 7, 8]
    assert seasonal_naive(2, 3)([], context)[0, :, 0].tolist() == [7, 8]
    assert np.array_equal(seasonal_naive(5, 1)([], context), naive(5)([], context))


def test_errors_are_means_over_all_windows_that_are_held_out() -> None:
    series = [seasonal(12), seasonal(12, 200)]
    windows = Windows(series, CONTEXT, HORIZON)
    squares, sizes = [], []
    for each in series:
        border = len(each.values) - len(each.values) // 10
        known = each.values[:border]
        scaled = (each.values - known.mean(0)) / known.std(0)
        for start in range(border, len(scaled) - HORIZON + 1):
            error = scaled[start - 1] - scaled[start : start + HORIZON]
            squares.append(error**2)
            sizes.append(abs(error))
    found = forecast_errors(windows, {"naive": naive(HORIZON)}, batch=5)["naive"]
    assert found["mse"] == pytest.approx(np.mean(squares))
    assert found["mae"] == pytest.approx(np.mean(sizes))
    assert list(found["mse_by_step"].values()) == pytest.approx(np.mean(squares, (0, 2)).tolist())


def test_a_forecaster_sees_the_context_alone() -> None:
    windows = Windows([seasonal(12)], CONTEXT, HORIZON)
    seen: list[Values] = []

    def spy(_: object, contexts: Values) -> Values:
        seen.append(contexts)
        return contexts[:, :HORIZON]

    forecast_errors(windows, {"spy": spy})
    assert np.array_equal(np.concatenate(seen), np.stack([windows.window(place).context for place in windows.held_out()]))


@pytest.mark.parametrize("period", [4, 7, 12])
def test_the_season_is_the_one_that_the_training_part_shows(period: int) -> None:
    assert season_of(Windows([seasonal(period)], CONTEXT, HORIZON)) == period


def test_a_line_and_noise_have_no_season() -> None:
    line = Series(Path("l.csv"), ("a",), np.arange(100.0)[:, None])
    assert season_of(Windows([line], CONTEXT, HORIZON)) == 1


def test_symmetric_errors_are_of_the_values_in_the_file() -> None:
    series = Series(Path("s.csv"), ("a",), 50 + 10 * np.random.default_rng(1).random((120, 1)))
    windows, errors = Windows([series], CONTEXT, HORIZON), []
    for _, start in windows.held_out():
        last, future = series.values[start - 1], series.values[start : start + HORIZON]
        errors.append(200 * abs(future - last) / (abs(future) + abs(last)))
    assert forecast_errors(windows, {"naive": naive(HORIZON)})["naive"]["smape"] == pytest.approx(np.mean(errors))


@pytest.mark.parametrize("season", [4, 7, 12])
def test_factors_of_a_season_are_found_and_series_without_one_have_none(season: int) -> None:
    factors = 1 + 0.4 * np.sin(2 * np.pi * np.arange(season) / season)
    time = np.arange(6 * season + 1)
    found = seasonal_indices((100 + time) * factors[time % season], season)
    assert found == pytest.approx(factors / factors.mean(), rel=0.02)
    steady = np.full(6 * season, 100.0)
    assert seasonal_indices(steady * factors[np.arange(6 * season) % season], season) == pytest.approx(factors, rel=1e-12)
    noise = 100 + np.random.default_rng(2).normal(size=6 * season)
    for none in (steady, noise, -steady, (100 + time) * factors[time % season] - 120, steady[: 3 * season - 1]):
        assert np.array_equal(seasonal_indices(none, season), np.ones(season))
    assert not is_seasonal(steady, season)


def test_naive2_goes_on_with_the_season_that_the_whole_series_before_shows() -> None:
    factors = np.array([0.5, 1.0, 1.5, 1.0])
    steady = 80 * factors[np.arange(203) % 4]
    windows = Windows([Series(Path("s.csv"), ("a",), steady[:, None])], 4, HORIZON)
    errors = forecast_errors(windows, {"naive": naive(HORIZON), "naive2": naive2(windows, 4)})
    assert errors["naive2"]["mae"] < 1e-12 < errors["naive"]["mae"]
