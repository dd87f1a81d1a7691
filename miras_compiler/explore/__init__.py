"""A local page on which a spec is put together, and everything that follows from it is seen at once: `miras explore`.

    page  --HTTP on 127.0.0.1-->  server  --lines of JSON-->  workers

The server checks who asks, and keeps the folder; the workers, child processes with limits, do everything that reads a spec.
"""

from __future__ import annotations

from miras_compiler.explore.server import serve

__all__ = ["serve"]
