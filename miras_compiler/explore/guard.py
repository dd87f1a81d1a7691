"""The guard of the server: pages of this server, opened with its token, may ask, and nobody else."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping

from starlette.requests import Request

BODY = 256 * 1024  # bytes
PATIENCE = 10.0  # seconds for a body to come
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
COMPARISON_POLICY = (  # one file with its own script, in an origin of its own: it can ask this server for nothing
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Forbidden(Exception):
    """A request that is refused, with its status and a sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


TOO_LONG = Forbidden(413, f"longer than {BODY // 1024} KiB")


class Guard:
    """The headers that a request to the server on this port must show."""

    def __init__(self, port: int, token: str) -> None:
        names = ("127.0.0.1", "localhost")
        self.hosts = {f"{name}:{port}" for name in names} | (set(names) if port == 80 else set())
        self.origins = {f"http://{host}" for host in self.hosts}
        self.token = token

    def check_host(self, headers: Mapping[str, str]) -> None:
        """A name of another host that leads here is an attack by DNS; a request from another site is none of ours."""
        if headers.get("host", "").lower() not in self.hosts:
            raise Forbidden(403, "this server answers to 127.0.0.1 and localhost, at its own port")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Forbidden(403, "this server answers to its own page only")

    def check_page(self, headers: Mapping[str, str]) -> None:
        """The origin and the token of a question, and that it is JSON."""
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins:
            raise Forbidden(403, "this server answers to its own page only")
        if not hmac.compare_digest(headers.get("x-miras-token", "").encode(), self.token.encode()):
            raise Forbidden(403, "the token is missing or old: open the address that `miras explore` prints")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Forbidden(415, "a question is JSON")


async def body_of(request: Request) -> bytes:
    """The whole body; Forbidden as soon as it is too long, or where it does not come."""
    try:
        length = int(request.headers.get("content-length", "0"))
    except ValueError:
        raise Forbidden(400, "a length that is not a number") from None
    parts = b""
    if length > BODY:
        raise TOO_LONG
    try:
        async with asyncio.timeout(PATIENCE):
            async for part in request.stream():
                parts += part
                if len(parts) > BODY:
                    raise TOO_LONG
    except TimeoutError:
        raise Forbidden(408, "the body did not come") from None
    return parts
