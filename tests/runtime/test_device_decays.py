"""Products under decays per channel as kernels compute them, in Triton's interpreter: against autograd through the literal sum, and within
whole rules.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from kit.interpreter import interpreted
from kit.paths import SPECS
from miras_compiler import compile_spec, load_spec

SINGLE = 5e-7  # float32 has 1.2e-7; the sums are of 16 terms
pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")


@pytest.mark.slow
def test_products_under_decays_keep_all_digits_of_float32_between_resets() -> None:
    """Decays near 1, between 1/e and 1, near 0, and resets of −60 among decays near 1; every derivative."""
    told = json.loads(interpreted("tests/kit/interpret_decays.py"))
    assert len(told) == 12
    assert {(case, name): error for case, each in told.items() for name, error in each.items() if not error <= SINGLE} == {}


@pytest.mark.slow
def test_rules_with_decays_per_channel_are_the_float64_form_beyond_a_tile_and_at_widths_that_are_padded(tmp_path: Path) -> None:
    """66 tokens at a width of 12; the features of a padded key are 1, and no part of a score."""
    features = {"feature_map": {"kind": "elu_plus_one"}, "name": "features"}
    specs = [load_spec(SPECS / "gla.yaml", features), load_spec(SPECS / "kda.yaml")]
    folders = [str(compile_spec(spec).write(tmp_path)) for spec in specs]
    told = json.loads(interpreted("tests/kit/interpret_packages.py", "12", "66", *folders))
    assert told.keys() == {"features", "kda"}
    assert {(name, entry): pair for name, each in told.items() for entry, pair in each.items() if not pair[0] <= pair[1]} == {}
