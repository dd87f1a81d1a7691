"""Generated packages are typed: mypy --strict finds nothing in them, without a setting of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.paths import SPECS
from miras_compiler.compiler import compile_spec
from miras_compiler.spec import load_spec

pytestmark = pytest.mark.slow

PACKAGES = ("gated_delta_net", "titans_lmm", "delta_product")  # a solve with kernels, a deep memory with kernels, several writes per token


def test_three_packages_pass_mypy_strict(tmp_path: Path) -> None:
    for name in PACKAGES:
        compile_spec(load_spec(SPECS / f"{name}.yaml")).write(tmp_path)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, *(part for name in PACKAGES for part in ("-p", name))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout
