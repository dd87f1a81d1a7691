"""What all tests share: one thread per process, no terminal's width, settings of hypothesis, and the option that rewrites `generated/`."""

from __future__ import annotations

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch and numpy when they are imported: workers shall not fight over the cores
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.pop("COLUMNS", None)  # what commands print is read unfolded; a test of the folding sets it itself

import pytest
from hypothesis import HealthCheck, settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a job of a shell's background; tests and their children shall be interruptible
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="run what takes minutes, too")
    parser.addoption("--update-generated", action="store_true", help="rewrite generated/ with what the compiler writes now")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what takes minutes, where `--thorough` does not ask for it."""
    if not config.getoption("--thorough"):
        late = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=late)
        items[:] = [item for item in items if item not in late]
