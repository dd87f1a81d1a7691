"""Checks that constraints.txt installs on machines other than this one: `python tests/campaigns/check_pins.py`, from the root.

A CPU build of torch, or an index of one's own, hides the requirements of the public index. uv resolves the project with its test extra, and
the build backend, from the public index alone, once for every Python and platform; it reads metadata and wheels' names, and downloads no
wheel. Every package that a resolution holds must be pinned. Exit code 1, with uv's reason, where one fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin")
INDEX = "https://pypi.org/simple"
# Pure Python without a wheel, which pip builds, with its own requirements; lm-eval asks for them.
SOURCES = {"rouge-score": ("absl-py", "nltk", "numpy", "six"), "sqlitedict": (), "word2number": ()}
MACOS = {"MACOSX_DEPLOYMENT_TARGET": "14.0"}  # the oldest that torch has wheels for


def resolve(requirements: str, python: str, platform: str, *options: str) -> tuple[list[Requirement], str]:
    """The packages, at exact versions, that the requirements need on a platform; and uv's reason where there is no resolution."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--no-config", "--default-index", INDEX, "--only-binary", ":all:"]
    command += ["--python", sys.executable, "--no-python-downloads", "--quiet", "--no-annotate", "--no-header"]
    command += ["--python-version", python, "--python-platform", platform, *options]
    own = {key: value for key, value in os.environ.items() if not key.startswith("UV_") or key == "UV_CACHE_DIR"} | MACOS
    requirements = "\n".join([requirements, *(need for needs in SOURCES.values() for need in needs)])
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as overrides:
        overrides.writelines(f"{name} ; python_version < '0'\n" for name in SOURCES)
        overrides.flush()
        done = subprocess.run([*command, "--overrides", overrides.name], input=requirements, capture_output=True, text=True, env=own)
    return [Requirement(line) for line in done.stdout.splitlines()], done.stderr if done.returncode else ""


def wanted() -> tuple[str, str]:
    """The requirements of pyproject.toml: to run with the test extra and those that it names, and to be built."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runs = [*project["project"]["dependencies"], *needed(project["project"], "test")]
    return "\n".join(runs), "\n".join(project["build-system"]["requires"])


def needed(project: Mapping[str, Any], extra: str) -> Iterator[str]:
    """The requirements of an extra; in the place of the project itself, those of the extras that are asked of it."""
    for text in project["optional-dependencies"][extra]:
        asked = Requirement(text)
        if asked.name != project["name"]:
            yield text
        for each in asked.extras if asked.name == project["name"] else ():
            yield from needed(project, each)


def pins() -> set[tuple[str, str]]:
    """Names of constraints.txt, with "==version" each; of some packages it depends on the Python."""
    lines = (line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return {(canonicalize_name(pin.name), str(pin.specifier)) for pin in map(Requirement, lines)}


def main() -> int:
    runs, builds = wanted()
    pinned = pins()
    wrong = 0
    for python in PYTHONS:
        for platform in PLATFORMS:
            resolved, reason = resolve(runs, python, platform, "--constraints", str(ROOT / "constraints.txt"))
            loose = sorted(each.name for each in resolved if (canonicalize_name(each.name), str(each.specifier)) not in pinned)
            reason = reason or (f"not pinned: {', '.join(loose)}" if loose else "") or resolve(builds, python, platform)[1]
            print(f"Python {python} on {platform}: {reason.strip() or f'{len(resolved)} packages, all pinned'}")
            wrong += bool(reason)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
