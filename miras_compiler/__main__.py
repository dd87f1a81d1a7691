"""`python -m miras_compiler`: the command line."""

from __future__ import annotations

import sys

from miras_compiler.cli import main

if __name__ == "__main__":
    sys.exit(main())
