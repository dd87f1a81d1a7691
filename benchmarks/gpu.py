"""`miras bench` of compiled packages, for a machine that has torch and Triton and nothing else of the compiler's dependencies."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from miras_compiler.bench.comparison import Wanted
from miras_compiler.bench.machine import find_gpu
from miras_compiler.bench.run import Bench
from miras_compiler.errors import CheckFailed, InputError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("kernels", "peers", "tune", "check"))
    parser.add_argument("packages", nargs="+", type=Path, metavar="PACKAGE")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--shape", action="append", default=[], metavar="'B2 T8192 H16 D128'")
    parser.add_argument("--cases", type=int, default=5)
    parser.add_argument("--limit", type=float, default=300)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--journal", type=Path, default=Path(".tune"))
    given = vars(parser.parse_args())
    try:
        shapes, command = tuple(map(Wanted.read, given.pop("shape"))), " ".join(["python", *sys.argv])
        Bench(packages=tuple(given.pop("packages")), machine=find_gpu(), shapes=shapes, command=command, **given).run()
    except CheckFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except InputError as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
