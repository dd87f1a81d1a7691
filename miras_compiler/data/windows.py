"""Windows of series: the times that a forecast sees, and those that it forecasts; which are for training and which are held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np

from miras_compiler.data.series import Series, Values
from miras_compiler.errors import InputError

HELD_OUT = 0.1  # of every series, its end


class SeriesWindow(NamedTuple):
    """Series number `series`: `context` [context, channels] is seen, `future` [horizon, channels] is forecast."""

    series: int
    context: Values
    future: Values


class Windows:
    """All windows of several series, scaled: of every channel the mean of the training part is taken away, and it is divided by its
    standard deviation (1 where it is constant).

    A forecast that is held out begins in the last `share` of its series, or in its last `horizon` times if they are more; its context may
    begin before. No time of a window for training is held out. InputError for a series that is too short.
    """

    def __init__(self, series: Sequence[Series], context: int, horizon: int, share: float = HELD_OUT) -> None:
        self.context, self.horizon = context, horizon
        self.borders = [first_held_out(len(each.values), horizon, share) for each in series]
        self.scaled: list[Values] = []
        for each, border in zip(series, self.borders, strict=True):
            if border < context + horizon:
                raise InputError(
                    f"{each.path}: has {len(each.values)} times, too few to train on and to hold out: {context} are seen and {horizon} "
                    f"forecast, which needs at least {fewest(context, horizon, share)}; name a longer series, or see less"
                )
            known = each.values[:border]
            deviation = known.std(0)
            self.scaled.append((each.values - known.mean(0)) / np.where(deviation > 0, deviation, 1.0))

    def training(self) -> list[tuple[int, int]]:
        """Series and first forecast time of every window for training."""
        return [
            (number, start)
            for number, border in enumerate(self.borders)
            for start in range(self.context, border - self.horizon + 1)
        ]  # fmt: skip

    def held_out(self) -> list[tuple[int, int]]:
        """Series and first forecast time of every window that is held out."""
        return [
            (number, start)
            for number, (border, values) in enumerate(zip(self.borders, self.scaled, strict=True))
            for start in range(border, len(values) - self.horizon + 1)
        ]

    def window(self, place: tuple[int, int]) -> SeriesWindow:
        """The window whose forecast begins there."""
        number, start = place
        values = self.scaled[number]
        return SeriesWindow(number, values[start - self.context : start], values[start : start + self.horizon])

    def batches(self, places: Sequence[tuple[int, int]], size: int) -> Iterator[tuple[Values, Values]]:
        """Contexts [B, context, channels] and futures [B, horizon, channels] of so many windows at a time."""
        for first in range(0, len(places), size):
            found = [self.window(place) for place in places[first : first + size]]
            yield np.stack([each.context for each in found]), np.stack([each.future for each in found])


def first_held_out(times: int, horizon: int, share: float) -> int:
    """The first of so many times that is held out."""
    return times - max(horizon, int(share * times))


def fewest(context: int, horizon: int, share: float) -> int:
    """The fewest times that a window for training and one that is held out need."""
    return next(times for times in count(context + 2 * horizon) if first_held_out(times, horizon, share) >= context + horizon)
