"""The answers of the server: the page with its files, questions in JSON, and comparisons."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, NamedTuple

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from miras_compiler.errors import InputError
from miras_compiler.explore import requests as asked
from miras_compiler.explore.folder import Folder
from miras_compiler.explore.guard import COMPARISON_POLICY, HEADERS, PAGE_POLICY, Forbidden, Guard, body_of
from miras_compiler.explore.worker import Refused, Unanswered, Worker
from miras_compiler.spec.shipped import shipped_specs

MEDIA = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
SHARED = ("page.css", "links.js", "theme.js")  # of the page of `miras compare`
COMPARISONS = 8  # that are kept


class Endpoint(NamedTuple):
    """A question that a worker answers: its shape, which worker, and the seconds that it may take."""

    shape: type[asked.Request]
    slow: bool
    seconds: float


QUESTIONS = {
    "start": Endpoint(asked.Nothing, False, 30),
    "look": Endpoint(asked.SpecRequest, False, 20),
    "change": Endpoint(asked.Change, False, 20),
    "graph": Endpoint(asked.Expanded, False, 20),
    "cost": Endpoint(asked.SpecRequest, False, 20),
    "advice": Endpoint(asked.SpecRequest, True, 60),
    "code": Endpoint(asked.CodeRequest, False, 20),
    "package": Endpoint(asked.CodeRequest, True, 120),
}
COMPARING = 240.0  # seconds
FIRST = "my_rule.yaml"  # the spec that the page begins with
STARTING = 120.0


class Application:
    """The state of a server: two workers, one for questions that the page shows at once, the pairs to compare, and the folder."""

    def __init__(self, guard: Guard, folder: Folder, start: str) -> None:
        self.guard, self.folder, self.start = guard, folder, start
        self.quick, self.slow = Worker(), Worker()
        self.comparisons: OrderedDict[str, Mapping[str, str]] = OrderedDict()
        self.static = _static_files()
        self.own: dict[str, tuple[type[asked.Request], Callable[[Any], Awaitable[Any]]]] = {
            "folder": (asked.Nothing, self._folder),
            "open": (asked.OpenRequest, self._open),
            "save": (asked.Saved, self._save),
            "compare": (asked.Comparison, self._compare),
        }

    def starlette(self) -> Starlette:
        """The routes; every answer has the headers that keep a page to itself."""
        routes = [
            Route("/", self.page),
            Route("/static/{name}", self.page),
            Route("/comparison/{key}", self.comparison),
            Route("/ask/{question}", self.answer, methods=["POST"]),
        ]
        return Starlette(
            routes=routes,
            middleware=[Middleware(BaseHTTPMiddleware, dispatch=self._guarded)],
            exception_handlers={Forbidden: _forbidden},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, site: Starlette) -> AsyncIterator[None]:
        """The compiler is imported, and the first page derived, before anybody asks."""
        warm = [
            asyncio.create_task(worker.ask("look", {"text": self.start, "file": FIRST}, STARTING)) for worker in (self.quick, self.slow)
        ]
        yield
        for task in warm:
            task.cancel()
        await self.quick.close()
        await self.slow.close()

    async def _guarded(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            self.guard.check_host(request.headers)
            response = await call_next(request)
        except Forbidden as refusal:
            response = _forbidden(request, refusal)
        for name, value in {**HEADERS, "Content-Security-Policy": PAGE_POLICY}.items():
            response.headers.setdefault(name, value)
        return response

    async def page(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in self.static:
            raise Forbidden(404, "there is nothing here")
        return Response(self.static[name], media_type=MEDIA[name.rpartition(".")[2]])

    async def answer(self, request: Request) -> Response:
        """A question of the page: 200 with the answer, 422 where the compiler refuses, 503 where there is no answer."""
        self.guard.check_page(request.headers)
        question = request.path_params["question"]
        if question not in QUESTIONS and question not in self.own:
            raise Forbidden(404, "there is no such question")
        shape = QUESTIONS[question].shape if question in QUESTIONS else self.own[question][0]
        try:
            given = shape.model_validate_json(await body_of(request))
        except ValidationError:
            raise Forbidden(400, "no question that the page asks") from None
        try:
            return _json(await self._answered(question, given))
        except (Refused, InputError) as refusal:
            return _json({"refused": str(refusal)}, 422)
        except Unanswered as problem:
            return _json({"failed": str(problem)}, 503)

    async def _answered(self, question: str, given: asked.Request) -> Any:
        if question in self.own:
            return await self.own[question][1](given)
        _, slow, seconds = QUESTIONS[question]
        answer = await (self.slow if slow else self.quick).ask(question, given.model_dump(), seconds)
        return {**answer, **self._files(), "text": self.start, "file": FIRST} if question == "start" else answer

    def _files(self) -> dict[str, Any]:
        return {"folder": str(self.folder.path), "files": self.folder.names()}

    async def _folder(self, given: asked.Nothing) -> dict[str, Any]:
        return self._files()

    async def _open(self, given: asked.OpenRequest) -> dict[str, Any]:
        return self._spec(given.name, given.shipped)

    def _spec(self, name: str, shipped: bool) -> dict[str, Any]:
        """A spec that comes with the compiler, or a file of the folder."""
        if not shipped:
            return self.folder.read(name)._asdict()
        specs = shipped_specs()
        if name not in specs:
            raise InputError(f"'{name[:100]}' is not a spec that comes with the compiler")
        return {"name": f"{name}.yaml", "text": specs[name].path.read_text(encoding="utf-8-sig"), "mark": None}

    async def _save(self, given: asked.Saved) -> dict[str, Any]:
        """The file as saved; where one is there that `over` does not name, that one, and nothing is written."""
        there = self.folder.there(given.file)
        if there is not None and there.mark != given.over:
            return {"there": there._asdict(), "same": there.text == given.text}
        return {**self.folder.save(given.file, given.text, given.over)._asdict(), **self._files()}

    async def _compare(self, given: asked.Comparison) -> dict[str, str]:
        """The address of a comparison, which is made when it is opened; nobody who was not given it can guess it."""
        other = self._spec(given.other, given.shipped)
        key = secrets.token_urlsafe(24)
        self.comparisons[key] = {"text": given.text, "file": given.file, "other_text": other["text"], "other_file": other["name"]}
        while len(self.comparisons) > COMPARISONS:
            self.comparisons.popitem(last=False)
        return {"address": f"/comparison/{key}"}

    async def comparison(self, request: Request) -> Response:
        given = self.comparisons.get(request.path_params["key"])
        if given is None:
            raise Forbidden(404, "this comparison is over; compare again")
        try:
            text = (await self.slow.ask("comparison", given, COMPARING))["html"]
        except (Refused, Unanswered) as problem:
            return _json({"failed": str(problem)}, 503)
        return HTMLResponse(text, headers={"Content-Security-Policy": COMPARISON_POLICY})


def _forbidden(request: Request, refusal: Exception) -> Response:
    return _json({"refused": str(refusal)}, refusal.status if isinstance(refusal, Forbidden) else 500)


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value, ensure_ascii=False), status, media_type="application/json")


def _static_files() -> dict[str, bytes]:
    """The page's files by name; files that it shares with the page of a comparison lie there."""
    own = {entry.name: entry.read_bytes() for entry in files("miras_compiler.explore").joinpath("static").iterdir() if entry.is_file()}
    shared = files("miras_compiler.compare").joinpath("templates")
    return {**own, **{name: shared.joinpath(name).read_bytes() for name in SHARED}}
