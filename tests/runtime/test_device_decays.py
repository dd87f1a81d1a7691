"""Products under decays per channel as kernels compute them, in Triton's interpreter, against autograd through the literal sum."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from kit.paths import ROOT

SINGLE = 5e-7  # float32 has 1.2e-7; the sums are of 32 terms


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_products_under_decays_keep_all_digits_of_float32_between_resets() -> None:
    """Decays near 1, between 1/e and 1, near 0, and resets of −60 among decays near 1; every derivative."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "tests/kit/interpret_decays.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told) == 12
    assert {(case, name): error for case, each in told.items() for name, error in each.items() if not error <= SINGLE} == {}
