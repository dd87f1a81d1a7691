"""Series of numbers from CSV files: values, refusals with their places, and the times that are held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from miras_compiler.data.series import Series, read_channels, read_saved, read_series, write_series
from miras_compiler.data.windows import Windows
from miras_compiler.errors import InputError


def written(folder: Path, text: str, name: str = "x.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("text", "channels", "values"),
    [
        ("1,2\n3,4\n", ("1", "2"), [[1, 2], [3, 4]]),
        ("a,b\n1,-2e3\n3.5,4\n", ("a", "b"), [[1, -2000], [3.5, 4]]),
        ("date,load\n2020-01-01 00:00,1\n2020-01-01 01:00,2\n", ("load",), [[1], [2]]),
        ("time,load\n0,1\n1,2\n", ("load",), [[1], [2]]),
        ("2020Q1;1\n2020Q2;2\n", ("2",), [[1], [2]]),
        ("x\ty\r\n1\t2\r\n\r\n3\t4\r\n", ("x", "y"), [[1, 2], [3, 4]]),
        ('\ufeff"a, b", c\n"1", 2\n', ("a, b", "c"), [[1, 2]]),
        ("load\n1\n2\n", ("load",), [[1], [2]]),
    ],
)
def test_numbers_are_read_with_names_and_times_where_there_are_some(
    text: str, channels: tuple[str, ...], values: list[list[float]], tmp_path: Path
) -> None:
    found = read_series(written(tmp_path, text))
    assert found.channels == channels
    assert found.values.tolist() == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.csv: has no lines"),
        ("a,b\n", "x.csv: has names of columns and no numbers"),
        ("date\n2020-01-01\n2020-01-02\n", "x.csv: has a column of times and none of numbers"),
        ("a,b\n1,2\n3,\n", "x.csv:3: column 'b' has a gap; fill it"),
        ("a,b\n1,2\nNaN,4\n", "x.csv:3: column 'a' has a gap"),
        ("a,b\n1,2\n3,many\n", "x.csv:3: column 'b' holds 'many', which is not a number"),
        ("a,b\nfoo,1\nbar,2\n", "x.csv:2: column 'a' holds 'foo', which is not a number"),
        ("a,b\n1,inf\n", "x.csv:2: column 'b' holds inf; a series has finite numbers"),
        ("a,b\n1,1_000\n", "x.csv:2: column 'b' holds '1_000', which is not a number"),
        ("a,b\n1,2\n3,4,5\n", "x.csv:3: has 3 cells, and the first line has 2"),
        ("a;b\n1,5;2\n2,5;3\n", "x.csv:2: column 'a' holds '1,5'; write a decimal point"),
        ("a\n" + "x1\n" * 12, "and 2 more in "),
    ],
)
def test_what_is_no_number_is_refused_with_file_line_and_column(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_series(written(tmp_path, text))
    assert message in str(refused.value)


def test_all_lines_of_a_file_that_are_wrong_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_series(written(tmp_path, "a,b\n1,\nx,2\n1,2\n1,2,3\n"))
    assert [line.split(":")[1] for line in str(refused.value).splitlines()] == ["2", "3", "5"]


def test_files_that_are_no_text_or_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe1,2\n")
    with pytest.raises(InputError, match="is not text: byte 0 is not UTF-8"):
        read_series(tmp_path / "x.csv")
    with pytest.raises(InputError, match=r"y\.csv: cannot be read"):
        read_series(tmp_path / "y.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="the folder has no CSV files"):
        read_channels([tmp_path / "empty"])


def test_all_files_that_are_wrong_are_named_at_once(tmp_path: Path) -> None:
    for name, text in {"a.csv": "1,2\n", "b.csv": "1,\n2,x\n", "c.csv": "", "d.csv": "5\n"}.items():
        written(tmp_path, text, name)
    with pytest.raises(InputError) as refused:
        read_channels([tmp_path])
    assert [Path(line.split(":")[0]).name for line in str(refused.value).splitlines()] == ["b.csv", "b.csv", "c.csv", "d.csv"]


def test_files_of_a_folder_have_equally_many_channels(tmp_path: Path) -> None:
    written(tmp_path, "1,2\n", "a.csv")
    written(tmp_path, "3,4\n", "b.csv")
    assert [each.path.name for each in read_channels([tmp_path])] == ["a.csv", "b.csv"]
    written(tmp_path, "5\n", "c.csv")
    with pytest.raises(InputError, match=r"c\.csv: has 1 columns of numbers, and .*a\.csv has 2"):
        read_channels([tmp_path])


def test_saved_series_are_read_as_they_were(tmp_path: Path) -> None:
    given = [Series(Path(name), ("a", "b"), np.random.default_rng(seed).normal(size=(5 + seed, 2))) for seed, name in enumerate("xy")]
    write_series(tmp_path / "series.npz", given)
    for own, again in zip(given, read_saved(tmp_path / "series.npz"), strict=True):
        assert (own.path, own.channels, own.values.tolist()) == (again.path, again.channels, again.values.tolist())
    (tmp_path / "series.npz").write_bytes(b"PK torn")
    with pytest.raises(InputError, match="the series of the run cannot be read"):
        read_saved(tmp_path / "series.npz")


def ramp(times: int, channels: int = 1) -> Series:
    return Series(Path("ramp.csv"), tuple(map(str, range(channels))), np.arange(times)[:, None] * np.ones(channels))


def test_no_time_that_is_held_out_is_seen_in_training() -> None:
    """A ramp says by its values which times a window has."""
    windows = Windows([ramp(100), ramp(60)], context=8, horizon=3)
    for number, times in enumerate((100, 60)):
        own = windows.scaled[number][:, 0]
        border = times - times // 10
        assert own[:border].mean() == pytest.approx(0)
        assert own[:border].std() == pytest.approx(1)
        training = [windows.window(place) for place in windows.training() if place[0] == number]
        assert len(training) == border - 8 - 3 + 1
        assert max(window.future[-1, 0] for window in training) == own[border - 1]
        held_out = [windows.window(place) for place in windows.held_out() if place[0] == number]
        assert min(window.future[0, 0] for window in held_out) == own[border]
        assert max(window.future[-1, 0] for window in held_out) == own[-1]
    window = windows.window((1, 20))
    assert np.array_equal(np.concatenate((window.context, window.future)), windows.scaled[1][12:23])


def test_a_horizon_longer_than_a_tenth_is_held_out_whole() -> None:
    windows = Windows([ramp(60)], context=8, horizon=18)
    assert windows.held_out() == [(0, 42)]


def test_a_constant_channel_is_not_divided_by_nothing() -> None:
    constant = Series(Path("c.csv"), ("a",), np.full((50, 1), 7.0))
    assert not Windows([constant], 8, 4).scaled[0].any()


@pytest.mark.parametrize(("context", "horizon"), [(8, 4), (30, 20), (100, 1)])
def test_a_series_that_is_too_short_is_refused_with_the_length_that_is_enough(context: int, horizon: int) -> None:
    with pytest.raises(InputError, match="too few to train on and to hold out") as refused:
        Windows([ramp(context + horizon)], context, horizon)
    enough = int(str(refused.value).split("at least ")[1].split(";")[0])
    assert Windows([ramp(enough)], context, horizon).training()
    with pytest.raises(InputError):
        Windows([ramp(enough - 1)], context, horizon)
