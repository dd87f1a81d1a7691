"""The demo: its text, its projections, its verdict, its chart, and the way it ends."""

from __future__ import annotations

import math

import pytest
import torch

from kit.paths import GENERATED
from miras_compiler.demo import __main__ as program
from miras_compiler.demo.chart import bars, bin_means
from miras_compiler.demo.passages import CONTEXT, load_passages, plain_text
from miras_compiler.demo.projection import Projection
from miras_compiler.demo.reader import CHUNK, DIM, Reader
from miras_compiler.demo.readings import PassageReading, judge
from miras_compiler.demo.run import SEED
from miras_compiler.demo.show import draw_png
from miras_compiler.errors import InputError


def test_the_passages_are_two_different_texts_of_equal_length() -> None:
    passage, fresh = load_passages(300)
    assert len(passage) == len(fresh) == CONTEXT + 300
    assert passage[:40] != fresh[:40]


def test_plain_text_has_no_underlines_and_single_blanks() -> None:
    assert plain_text("Objects\n*******\n\n*Objects*  are a-b\n  ") == "Objects *Objects* are a-b"


def test_there_is_one_key_and_one_value_per_byte_to_be_predicted() -> None:
    key, value = Projection(32, 0)(b"memory!")
    assert key.shape == value.shape == (7 - CONTEXT, 32)


def test_projections_are_fixed_by_their_seed() -> None:
    assert torch.equal(Projection(32, 1)(b"memory")[0], Projection(32, 1)(b"memory")[0])
    assert not torch.equal(Projection(32, 1)(b"memory")[0], Projection(32, 2)(b"memory")[0])


def test_a_key_depends_on_the_last_four_bytes_only() -> None:
    key, _ = Projection(32, 0)(b"abcdXabcdY")
    assert torch.equal(key[0], key[5])


def test_keys_of_contexts_that_differ_in_one_byte_are_nearly_orthogonal() -> None:
    (one,), _ = Projection(4096, 0)(b"abcd.")
    (other,), _ = Projection(4096, 0)(b"abce.")
    assert float(one @ one) == pytest.approx(1, abs=1e-4)
    assert abs(float(one @ other)) < 0.1


def test_value_less_key_is_the_code_of_the_next_byte() -> None:
    project = Projection(32, 0)
    key, value = project(b"abcdXYZ")
    assert torch.allclose(value - key, project.codes[list(b"XYZ")], atol=1e-6)
    assert torch.allclose(project.codes.mean(-1), torch.zeros(256), atol=1e-6)


def test_the_claim_holds_when_errors_fall_and_the_fresh_passage_is_near_the_first() -> None:
    verdict = judge([1.4, 1.2, 1.0, 0.9], 1.3)
    assert verdict.holds
    assert "1.400 > 1.200 > 1.000 > 0.900" in verdict.sentence
    assert "1.300" in verdict.sentence


@pytest.mark.parametrize(
    ("errors", "fresh", "words"),
    [
        ([1.4, 1.2, 1.25, 0.9], 1.3, "reading 3"),
        ([1.4, 1.2, 1.2, 0.9], 1.3, "reading 3"),
        ([1.4, math.nan, 1.0, 0.9], 1.3, "reading 2"),
        ([1.4, 1.2, 1.0, 0.9], 0.95, "fresh passage, too"),
        ([1.4, 1.2, 1.0, 0.9], math.nan, "fresh passage, too"),
    ],
)
def test_the_claim_does_not_hold_otherwise(errors: list[float], fresh: float, words: str) -> None:
    verdict = judge(errors, fresh)
    assert not verdict.holds
    assert words in verdict.sentence


def test_the_mean_of_a_reading_runs_over_all_its_pieces() -> None:
    reading = PassageReading("reading 1", fresh=False)
    assert reading.mean(0) is None
    reading.pieces += [torch.tensor([[1.0, 2.0], [0, 0], [0, 0]]), torch.tensor([[6.0], [0], [0]])]
    assert reading.mean(0) == 3.0


def test_bars_fill_from_floor_to_ceiling() -> None:
    assert bars([0.0, 0.5, 1.0, 7.0, -1.0], 2, 0.0, 1.0) == ["  ██ ", " ███ "]
    assert bars([0.25], 1, 0.0, 1.0) == ["▂"]


def test_bins_cover_the_whole_curve() -> None:
    assert bin_means([1.0, 3.0, 5.0, 7.0], 2) == [2.0, 6.0]
    assert bin_means([1.0], 5) == [1.0]
    assert bin_means([], 3) == []
    assert sum(bin_means([float(i) for i in range(7)], 7)) == 21


def test_the_picture_is_a_png() -> None:
    readings = [PassageReading("reading 1", False, [torch.rand(3, 50)]), PassageReading("fresh text", True, [torch.rand(3, 50)])]
    assert draw_png(readings).startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_generated_titans_memory_errs_less_on_a_second_reading() -> None:
    keys, values = Projection(DIM, SEED)(load_passages(2 * CHUNK)[0])
    reader = Reader(GENERATED, SEED)
    first, second = (
        torch.cat([reader.read(*piece)[1] for piece in zip(torch.split(keys, CHUNK), torch.split(values, CHUNK), strict=True)]).mean()
        for _ in range(2)
    )
    assert second < first


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (InputError("specs/x.yaml is missing"), 2)])
def test_the_exit_code_says_how_it_ended(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> int:
        raise raised

    monkeypatch.setattr("miras_compiler.demo.run.run", stop)
    assert program.main() == code
    assert "Traceback" not in "".join(capsys.readouterr())
