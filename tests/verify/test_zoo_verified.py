"""Every spec of the zoo, verified against the literal model; chunks are made short, so that sequences of a few tokens cross them.

Without kernels: those of every package as it is shipped are run in tests/emit/test_every_kernel.py, over chunk borders in
tests/emit/test_emit_decode.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kit.paths import SPEC_FILES
from miras_compiler import compile_spec, load_spec, verify_package

pytestmark = pytest.mark.slow

LONGEST_CHUNK = 8


@pytest.mark.parametrize("path", SPEC_FILES, ids=lambda path: path.stem)
def test_a_spec_of_the_zoo_compiles_to_a_package_that_passes_every_check(path: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    size = load_spec(path).chunk.size
    spec = load_spec(path, {"chunk.size": min(size, LONGEST_CHUNK)})
    compilation = compile_spec(spec)
    report = verify_package(spec, compilation.write(tmp_path), quick=True, compilation=compilation, kernels=False)
    failed = [f"{row.check}, {row.subject}: {row.error} ({row.note})" for row in report.tried if not row.passed]
    assert not failed, "\n".join(failed)
    assert len(report.tried) > 15
