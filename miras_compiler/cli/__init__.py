"""The command line, `miras`: a thin layer over the stages. Every command imports its stages when it runs."""

from __future__ import annotations

from miras_compiler.cli.main import main

__all__ = ["main"]
