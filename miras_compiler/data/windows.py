"""Windows of series: the times that a forecast sees, and those that it forecasts; which are for training and which are held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np

from miras_compiler.data.series import Series, Values
from miras_compiler.errors import InputError

HELD_OUT = 0.1  # of every series, its end


Place = tuple[int, int]
"""The number of a series, and the first time of a forecast."""


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
        self.values = [each.values for each in series]
        self.means: list[Values] = []
        self.deviations: list[Values] = []
        self.scaled: list[Values] = []
        for each, border in zip(series, self.borders, strict=True):
            if border < context + horizon:
                raise InputError(
                    f"{each.path}: has {len(each.values)} times, too few to train on and to hold out: {context} are seen and {horizon} "
                    f"forecast, which needs at least {fewest(context, horizon, share)}; name a longer series, or see less"
                )
            known = each.values[:border]
            deviation = known.std(0)
            self.means.append(known.mean(0))
            self.deviations.append(np.where(deviation > 0, deviation, 1.0))
            self.scaled.append((each.values - self.means[-1]) / self.deviations[-1])

    def unscaled(self, number: int, values: Values) -> Values:
        """Scaled values of series `number` in its own units."""
        return values * self.deviations[number] + self.means[number]

    def training(self) -> list[Place]:
        """Series and first forecast time of every window for training."""
        return [
            (number, start)
            for number, border in enumerate(self.borders)
            for start in range(self.context, border - self.horizon + 1)
        ]  # fmt: skip

    def held_out(self) -> list[Place]:
        """Series and first forecast time of every window that is held out."""
        return [
            (number, start)
            for number, (border, values) in enumerate(zip(self.borders, self.scaled, strict=True))
            for start in range(border, len(values) - self.horizon + 1)
        ]

    def window(self, place: Place) -> SeriesWindow:
        """The window whose forecast begins there."""
        number, start = place
        values = self.scaled[number]
        return SeriesWindow(number, values[start - self.context : start], values[start : start + self.horizon])

    def batches(self, places: Sequence[Place], size: int) -> Iterator[tuple[Sequence[Place], Values, Values]]:
        """So many places at a time, with contexts [B, context, channels] and futures [B, horizon, channels]."""
        for first in range(0, len(places), size):
            own = places[first : first + size]
            found = [self.window(place) for place in own]
            yield own, np.stack([each.context for each in found]), np.stack([each.future for each in found])


def first_held_out(times: int, horizon: int, share: float) -> int:
    """The first of so many times that is held out."""
    return times - max(horizon, int(share * times))


def fewest(context: int, horizon: int, share: float) -> int:
    """The fewest times that a window for training and one that is held out need."""
    return next(times for times in count(context + 2 * horizon) if first_held_out(times, horizon, share) >= context + horizon)
