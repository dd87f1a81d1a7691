"""The server of the page, on this machine alone."""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from miras_compiler.errors import InputError
from miras_compiler.explore.application import Application
from miras_compiler.explore.folder import Folder
from miras_compiler.explore.guard import Guard

HOST = "127.0.0.1"


def serve(folder: Path, port: int, start: str, tell: Callable[[str], None]) -> None:
    """Serves the page until an interrupt; port 0 takes a free one. `start` is the spec that it begins with, `tell` is given its address.

    Raises InputError where the port cannot be had, or `folder` is none.
    """
    specs = Folder(folder)
    with _listening(port) as listener:
        port = listener.getsockname()[1]
        token = secrets.token_urlsafe(24)
        site = Application(Guard(port, token), specs, start).starlette()
        settings = uvicorn.Config(
            site, log_config=None, log_level="critical", access_log=False, server_header=False, loop="asyncio", http="h11", ws="none",
            limit_concurrency=128, timeout_keep_alive=5, timeout_graceful_shutdown=1, h11_max_incomplete_event_size=16384,
        )  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):  # the way to end it
            tell(f"http://{HOST}:{port}/#token={token}")
            uvicorn.Server(settings).run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror}"
        raise InputError(f"port {port} {why}; choose another one with --port, or --port 0 for any that is free") from None
    return listener
