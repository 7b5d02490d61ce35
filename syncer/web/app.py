"""The application: routes, who may ask, and what every answer carries.

- GET and HEAD only; nothing here writes, and the database is opened so that nothing could.
- A weak ETag comes before any other question: a 304 costs two seeks.
- An error of the person's is a page (or a problem document) with a sentence; a bug keeps its traceback in the log.
"""

import base64
import binascii
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from syncer import __version__
from syncer.core.text import json_line
from syncer.errors import SyncerError
from syncer.settings import Secret
from syncer.web import api, feeds, mirror, pages, problems
from syncer.web.events import Events
from syncer.web.metrics import CONTENT_TYPE, Monitor, exposition
from syncer.web.openapi import document
from syncer.web.pages.page import status_of
from syncer.web.query import Query
from syncer.web.rendering import Renderer, pictures, static_files
from syncer.web.site import Site, Visit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)

Trouble = Callable[[], str | None]
Answer = Callable[[Visit], Response]

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_OPEN_TO_PROBES = ("/healthz", "/readyz")
_LONGEST_QUERY = 16_384


class Access(msgspec.Struct, frozen=True):
    """Who may ask: with which token, under which names of this host (None: each)."""

    token: Secret | None = None
    hosts: frozenset[str] | None = None


class Face:
    """All that is served of one site."""

    def __init__(self, site: Site, access: Access, *, trouble: Trouble = lambda: None) -> None:
        self.site, self.access, self._trouble = site, access, trouble
        self.renderer = Renderer()
        self.monitor = Monitor(site)
        self.events = Events(site)

    def application(self) -> "ASGIApp":
        """The whole as an ASGI application."""
        routes = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
            *(Route(path, self._static(path, file)) for path, file in static_files().items()),
            *(Route(path, self._static(path, file, "no-cache")) for path, file in pictures().items()),
            *(Route(path, self._page(page)) for path, page in pages.PAGES.items()),
            *(Route(path, self.answering(found, ages=ages)) for path, found, ages in _answers()),
            Route("/openapi.json", self._openapi),
            Route("/events", self.events.answer),
        ]
        errors: Mapping[Any, Callable[..., Any]] = {
            HTTPException: self._refused,
            SyncerError: self._failed,
            Exception: self._broken,
        }
        app: ASGIApp = Starlette(routes=routes, exception_handlers=errors)
        return Guard(GZipMiddleware(app, minimum_size=1024), self.access)

    # -- health --------------------------------------------------------------------------------------------------------

    async def _healthz(self, _: Request) -> Response:  # async: it is answered while each thread waits for the database
        return _verdict(self._trouble())

    def _readyz(self, _: Request) -> Response:
        try:
            self.monitor.require_ready()
        except SyncerError as error:
            return _verdict(str(error))
        return _verdict(None)

    def _metrics(self, _: Request) -> Response:
        return Response(exposition(self.monitor.metrics()), headers={**_UNSTORED, "content-type": CONTENT_TYPE})

    # -- pages ---------------------------------------------------------------------------------------------------------

    def _page(self, page: pages.PageOf) -> Callable[[Request], Response]:
        def answer(visit: Visit) -> Response:
            return self._html(visit, page(visit))

        return self.answering(answer, ages=True)

    def _html(self, visit: Visit | None, page: pages.Page) -> Response:
        text = self.renderer.page(visit, page)
        return Response(text, page.status, media_type="text/html", headers=dict(page.headers))

    def answering(self, answer: Answer, *, ages: bool) -> Callable[[Request], Response]:
        """An endpoint: the tag first; the rest only if it is another one than the client has."""

        def endpoint(request: Request) -> Response:
            if len(request.url.query) > _LONGEST_QUERY:
                raise HTTPException(414, "the query is too long")
            query = Query(request.query_params.multi_items(), self.site.clock())
            with self.site.reading() as connection:
                visit = self.site.visit(connection, query, request.url.path)
                tag = visit.tag(ages=ages)
                cached = {"etag": tag, "cache-control": self._caching}
                if _has(request, tag):
                    return Response(status_code=304, headers=cached)
                response = answer(visit)
            if response.status_code == 200:
                for name, value in cached.items():
                    response.headers.setdefault(name, value)
            return response

        return endpoint

    @property
    def _caching(self) -> str:
        return "no-cache" if self.access.token is None else "private, no-cache"

    def _static(
        self, path: str, file: tuple[bytes, str], caching: str = "public, max-age=31536000, immutable"
    ) -> Callable[[Request], Awaitable[Response]]:
        body, media_type = file
        headers = {"cache-control": caching, "etag": f'W/"{path}-{len(body)}"'}

        async def endpoint(request: Request) -> Response:
            if _has(request, headers["etag"]):
                return Response(status_code=304, headers=headers)
            return Response(body, media_type=media_type, headers=headers)

        return endpoint

    async def _openapi(self, request: Request) -> Response:
        tag = f'W/"openapi-{__version__}"'
        if _has(request, tag):
            return Response(status_code=304, headers={"etag": tag})
        return Response(json_line(document()), media_type="application/json", headers={"etag": tag})

    # -- errors --------------------------------------------------------------------------------------------------------

    def _refused(self, request: Request, error: HTTPException) -> Response:
        return self._problem(request, error.status_code, str(error.detail), headers=error.headers or {})

    def _failed(self, request: Request, error: SyncerError) -> Response:
        return self._problem(request, status_of(error), str(error), error=error)

    def _broken(self, request: Request, _: Exception) -> Response:
        return self._problem(request, 500, "This is a bug in syncer; its log has the traceback.")

    def _problem(
        self,
        request: Request,
        status: int,
        text: str,
        *,
        headers: Mapping[str, str] | None = None,
        error: SyncerError | None = None,
    ) -> Response:
        more = {**_UNSTORED, **(headers or {})}
        if request.url.path.startswith(("/api/", "/mirror/", "/openapi", "/events")):
            return problems.document(status, text, more, error)
        body = self.renderer.page(None, pages.problem(status, text, error))
        return Response(body, status, media_type="text/html", headers=more)


def _answers() -> Iterator[tuple[str, Answer, bool]]:
    """The answers for programs: path, who answers, and whether the minute counts."""
    for name, endpoint in api.ENDPOINTS.items():
        base = f"{api.PREFIX}/{name}"
        for path, form in ((base, "json"), (f"{base}.json", "json"), (f"{base}.csv", "csv")):
            yield path, api.answer(endpoint, path, form), True
    yield "/feed.atom", feeds.atom, False
    yield "/feed.json", feeds.json_feed, False
    yield f"{mirror.PREFIX}/{{source}}", mirror.mirror, False
    yield f"{mirror.PREFIX}/{{source}}/{{path:path}}", mirror.mirror, False


_UNSTORED = {"cache-control": "no-store"}


def _verdict(reason: str | None) -> Response:
    return PlainTextResponse(f"{reason or 'ok'}\n", 503 if reason else 200, headers=_UNSTORED)


def _has(request: Request, tag: str) -> bool:
    """Whether the client holds the answer of this tag: weakly compared (RFC 9110, 8.8.3.2)."""
    held = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    return tag.removeprefix("W/") in held or "*" in held


# -- who may ask -------------------------------------------------------------------------------------------------------


class Guard:
    """Before the application: the name of the host, the token; after it: the headers of every answer."""

    def __init__(self, app: "ASGIApp", access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = None if scope["path"] in _OPEN_TO_PROBES else self._refusal(headers)
        await (refusal or self._app)(scope, receive, partial(_with_headers, send))

    def _refusal(self, headers: Mapping[str, str]) -> Response | None:
        if self._access.hosts is not None and host_name(headers.get("host", "")) not in self._access.hosts:
            return PlainTextResponse("This host is not served here; `syncer serve --host NAME` adds a name.\n", 421)
        if self._access.token is None or _is_token(headers.get("authorization", ""), self._access.token):
            return None
        refused = PlainTextResponse("Send the token: as Bearer, or as the password of any user.\n", 401)
        refused.headers.append("www-authenticate", 'Bearer realm="syncer"')
        refused.headers.append("www-authenticate", 'Basic realm="syncer", charset="UTF-8"')
        return refused


async def _with_headers(send: "Send", message: "Message") -> None:
    if message["type"] == "http.response.start":
        given = {name.lower() for name, _ in message["headers"]}
        more = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in given]
        message = {**message, "headers": [*message["headers"], *more]}
    await send(message)


def host_name(header: str) -> str:
    """The name of a Host header, without its port: `[::1]` keeps its brackets. Empty for what is none."""
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
    return f"[{name}]" if ":" in name else name


def _is_token(authorization: str, token: Secret) -> bool:
    """Whether the header carries the token; the time that takes says nothing about it."""
    scheme, _, given = authorization.partition(" ")
    given = given.strip()
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.reveal().encode())
