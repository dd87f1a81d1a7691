"""Settings of all tests: one thread per process, no terminal's width, settings of hypothesis, and the option that rewrites `generated/`."""

from __future__ import annotations

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch and numpy when they are imported: workers shall not fight over the cores
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.pop("COLUMNS", None)  # tests read the output of commands unfolded; a test of the folding sets it itself

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from kit.paths import SPEC_FILES

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a job of a shell's background; tests and their children shall be interruptible
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="run what takes minutes, too")
    parser.addoption("--update-generated", action="store_true", help="rewrite generated/ with what the compiler writes now")


SHIPPED = {path.stem for path in SPEC_FILES}
MANY = len(SHIPPED) // 2  # shipped specs that a test goes through, if it goes through all of them
FEW = {
    "elastic_net_memory", "gated_delta_net", "kda", "linear_attention", "omega_net", "vector_gate",
}  # these are quick, one of every form  # fmt: skip


HEAVY = {"memora", "moneta", "tnt_local", "titans_exact", "titans_lmm", "yaad"}  # these compile in seconds


def spec_of(item: pytest.Item) -> str | None:
    """The shipped spec that is a parameter of a test, as a name or as a file."""
    values = item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
    names = (value.stem if isinstance(value, Path) else value for value in values)
    return next((name for name in names if isinstance(name, str) and name in SHIPPED), None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test over all shipped specs is slow but for a few of them, and over several of them for those that are heavy.

    Tests of minutes are left out, if `--thorough` does not ask for them.
    """
    by_test: dict[str, dict[pytest.Item, str]] = defaultdict(dict)
    for item in items:
        if (name := spec_of(item)) is not None:
            by_test[item.nodeid.partition("[")[0]][item] = name
    for found in by_test.values():
        names = set(found.values())
        for item, name in found.items():
            if (name not in FEW and len(names) > MANY) or (name in HEAVY and names - HEAVY):
                item.add_marker(pytest.mark.slow)
    if not config.getoption("--thorough"):
        late = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=late)
        items[:] = [item for item in items if item not in late]
