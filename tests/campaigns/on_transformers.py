"""Runs the tests of generation on versions of transformers, each in its own environment: python tests/campaigns/on_transformers.py 5.6.2 …

An environment has that transformers and its requirements; everything else, torch too, it takes from the environment of this Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("generation", "decoding", "folder", "values")
TESTS = tuple(f"tests/model/test_model_{name}.py" for name in MODELS)
SHARED = ("numpy", "torch")  # never installed a second time


def main(versions: list[str]) -> int:
    """Prints a line per version; 1 if the tests fail on one."""
    failed = [version for version in versions if not passes(version)]
    print(f"transformers {', '.join(versions)}: " + (f"failed on {', '.join(failed)}" if failed else "all pass"))
    return 1 if failed else 0


def passes(version: str) -> bool:
    """True if the tests pass on a version."""
    python = environment(version)
    print(f"transformers {version}", flush=True)
    command = [str(python), "-m", "pytest", "-n", "0", "-q", *TESTS]
    return subprocess.run(command, cwd=ROOT, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}).returncode == 0


def environment(version: str) -> Path:
    """The Python of an environment with that version, made if it is not there."""
    folder = ROOT / "build" / "transformers" / version
    python, stamp = folder / "bin" / "python", folder / ".installed"
    if not stamp.exists():
        venv.create(folder, clear=True, with_pip=True)
        constraints = folder / "constraints.txt"
        pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        constraints.write_text("\n".join(pin for pin in pins if pin.split("==")[0] in SHARED), encoding="utf-8")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(constraints)]
        subprocess.run([*pip, f"transformers=={version}"], check=True)
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "shared.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n", encoding="utf-8")
        stamp.touch()
    return python


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
