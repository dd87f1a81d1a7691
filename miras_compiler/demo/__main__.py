"""`python -m miras_compiler.demo`: exit code 0, 1 if a claim did not hold, 2 for wrong input, 130 when interrupted."""

from __future__ import annotations

import io
import sys


def main() -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        from rich.console import Console

        from miras_compiler.demo.run import run
        from miras_compiler.errors import InputError

        console = Console()
        try:
            return run(console)
        except InputError as problem:
            console.print(str(problem), style="red", markup=False)
            return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
