"""What holds for every request: limits, token, time-outs, headers, metrics, and the routes.

The path of a request: `_Gate` (host, headers, metrics) -> a route -> `_Api` (token, body, checks)
-> `_Work` (a turn in the pool of threads) -> `calls`.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import Any, TypeAlias

from anyio import move_on_after
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lightfm_clone._checks import check_num_threads, is_integer, is_real
from lightfm_clone.server.calls import CALLS, MAX_PEOPLE, Call
from lightfm_clone.server.document import document
from lightfm_clone.server.kept import Kept, Version
from lightfm_clone.server.problems import Problem
from lightfm_clone.server.shop import moment, shortened

_PAGES = {
    "/": ("explorer.html", "text/html; charset=utf-8"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/static/explorer.js": ("explorer.js", "text/javascript; charset=utf-8"),
    "/static/common.js": ("common.js", "text/javascript; charset=utf-8"),
    "/static/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/static/style.css": ("style.css", "text/css; charset=utf-8"),
}
# A page may load from here alone, and nobody may frame it.
_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
# ASCII, for texts of a file may hold what UTF-8 does not.
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
_TOLD = 1000  # mistakes of a body that are looked at
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


@dataclass(frozen=True)
class Limits:
    """The settings of `create_app`, checked."""

    max_k: int
    max_people: int
    max_body: int
    max_waiting: int
    timeout: float
    num_threads: int | None
    token: str | None
    hosts: Sequence[str] | None

    def __post_init__(self) -> None:
        for name in ("max_k", "max_people", "max_body", "max_waiting"):
            value = getattr(self, name)
            if not is_integer(value) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.max_people > MAX_PEOPLE:
            raise ValueError(f"max_people must be at most {MAX_PEOPLE:,}, got {self.max_people}")
        if not is_real(self.timeout) or not 0 < self.timeout < 1e6:
            raise ValueError(f"timeout must be a number of seconds above 0, got {self.timeout!r}")
        check_num_threads(self.num_threads)
        token = self.token
        if token is not None and not (isinstance(token, str) and token and _is_printable(token)):
            raise ValueError(
                "token must be a text of printable ASCII without blanks, as "
                "secrets.token_urlsafe() makes; what was given is not shown"
            )
        if isinstance(self.hosts, str):
            raise TypeError(
                f"hosts must be a list of names, got {self.hosts!r}; put it into a list"
            )

    def check(self, asked: Any) -> None:
        """Refuse what asks for too much."""
        if hasattr(asked, "k") and "k" not in asked.model_fields_set:
            asked.k = min(asked.k, self.max_k)
        for name, most in (("k", self.max_k), ("people", self.max_people)):
            value = getattr(asked, name, 0)
            n = value if isinstance(value, int) else len(value)
            if n > most:
                raise Problem(422, f"{name}: at most {most} here, got {n}")


def _is_printable(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


def application(kept: Kept, limits: Limits) -> Starlette:
    """See `create_app`."""
    api = _Api(kept, limits, _Work(limits))
    metrics = _Metrics(kept)
    routes = [
        Route(call.path, api.of(call), methods=["POST" if call.asked else "GET"]) for call in CALLS
    ]
    described = json.dumps(document(limits)).encode()
    plain = {
        "/openapi.json": lambda: (described, "application/json"),
        "/health/live": lambda: (_as_json({"status": "ok"}), "application/json"),
        "/health/ready": lambda: (_as_json(_health(kept)), "application/json"),
        **{path: _file(*page) for path, page in _PAGES.items()},
    }
    routes += [Route(path, _answering(content)) for path, content in plain.items()]
    routes.append(Route("/metrics", api.guarded(metrics.answer)))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        kept.start()
        try:
            yield
        finally:
            kept.stop()

    paths = {route.endpoint: route.path for route in routes}
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(_Gate, hosts=limits.hosts, metrics=metrics, paths=paths)],
        exception_handlers={Problem: _of_problem, HTTPException: _of_http, 500: _of_error},
    )
    app.router.redirect_slashes = False  # what the document does not name is not there
    return app


# ---- answers -------------------------------------------------------------------------------------


def _as_json(content: Any) -> bytes:
    return _ENCODER.encode(content).encode()


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(_as_json(content), status, headers, "application/json")


def _of_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _json(error.content, error.status, error.headers)


def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {
        404: f"there is nothing at {request.url.path[:100]!r}; /docs lists all calls",
        405: f"{request.method} is not answered here; /docs says how to call",
    }
    headers = None if error.headers is None else dict(error.headers)
    return _json({"error": said.get(error.status_code, error.detail)}, error.status_code, headers)


def _of_error(request: Request, error: Exception) -> Response:
    return _json({"error": "something is wrong with this server; its log says what"}, 500)


def _answering(content: Callable[[], tuple[bytes, str]]) -> _Endpoint:
    async def answer(request: Request) -> Response:
        body, kind = content()
        return Response(body, media_type=kind)

    return answer


def _file(name: str, kind: str) -> Callable[[], tuple[bytes, str]]:
    """A page of this package, read once: no request reads a file."""
    body = resources.files(__package__).joinpath("static", name).read_bytes()
    return lambda: (body, kind)


def _health(kept: Kept) -> dict[str, Any]:
    now = kept.now
    return {
        "status": "ok" if kept.refused is None else "stale",
        "version": now.number,
        "modified": moment(now.modified),
        "loaded": moment(now.loaded),
        "refused": kept.refused,
    }


# ---- what holds for all --------------------------------------------------------------------------


class _Gate:
    """Host names, headers and metrics of every request."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Sequence[str] | None,
        metrics: _Metrics,
        paths: dict[Any, str],
    ) -> None:
        self._app = app
        self._hosts = None if hosts is None else {host.casefold().strip("[]") for host in hosts}
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        try:
            if self._hosts is not None and _host(scope) not in self._hosts:
                refusal = _json({"error": "this server is not called by that name"}, 421)
                await refusal(scope, receive, send_with_headers)
                return
            await self._app(scope, receive, send_with_headers)
        finally:
            path = self._paths.get(scope.get("endpoint"), "other")
            self._metrics.seen(path, status, time.perf_counter() - start)


def _host(scope: Scope) -> str:
    """The name that a request calls the server by, without the port."""
    given = next((value for name, value in scope["headers"] if name == b"host"), b"")
    host: str = given.decode("latin-1").casefold()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


class _Metrics:
    """What Prometheus asks for."""

    def __init__(self, kept: Kept) -> None:
        self._registry = registry = CollectorRegistry()
        prefix = "lightfm_clone_"
        self._requests = Counter(
            f"{prefix}requests", "Requests answered.", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            f"{prefix}request_seconds",
            "Time from a request's first line to the end of its answer.",
            ["path"],
            buckets=_BUCKETS,
            registry=registry,
        )
        for name, said, value in (
            (
                "version",
                "1 for the first file, then 2 ...",
                lambda: kept.now.number,
            ),
            ("modified_timestamp_seconds", "When the file was written.", lambda: kept.now.modified),
            ("loaded_timestamp_seconds", "When it was taken up.", lambda: kept.now.loaded),
            ("refused_files", "Files that were refused since the start.", lambda: kept.n_refused),
            ("stale", "1 where what is at the path is refused.", lambda: kept.refused is not None),
            ("users", "Users of the file.", lambda: len(kept.now.shop.users.shown)),
            ("items", "Items of the file.", lambda: len(kept.now.shop.items.shown)),
        ):
            gauge = Gauge(f"{prefix}model_{name}", said, registry=registry)
            gauge.set_function(value)
        ProcessCollector(registry=registry)
        self._counters: dict[tuple[str, int], Any] = {}

    def seen(self, path: str, status: int, seconds: float) -> None:
        kept = self._counters.get((path, status))
        if kept is None:  # finding these by their labels takes a while
            kept = self._requests.labels(path, str(status)), self._seconds.labels(path)
            self._counters[path, status] = kept
        kept[0].inc()
        kept[1].observe(seconds)

    async def answer(self, request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


class _Work:
    """Turns in a pool of threads: so many at once, so many that wait, none for ever."""

    def __init__(self, limits: Limits) -> None:
        n_threads = check_num_threads(limits.num_threads)
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="lists")
        self._most = n_threads + limits.max_waiting
        self._n = 0  # counted by the loop's thread alone

    async def turn(self, deadline: float, work: Callable[[], bytes]) -> bytes:
        """What the work returns, once it has had its turn."""
        if self._n >= self._most:
            raise Problem(503, "too many requests wait; come again", {"Retry-After": "1"})
        loop = asyncio.get_running_loop()
        self._n += 1
        job = self._pool.submit(work)
        try:
            with move_on_after(deadline - loop.time()):
                return await asyncio.wrap_future(job)
            if job.cancel():
                said = "it was not this request's turn in time; come again"
                raise Problem(503, said, {"Retry-After": "1"})
            raise Problem(504, "the answer took too long; ask for less at once")
        finally:
            if job.done():
                self._n -= 1
            else:  # nobody waits for it any more, but it still has its thread
                job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._has_ended))

    def _has_ended(self) -> None:
        self._n -= 1


class _Api:
    """The calls, behind the token."""

    def __init__(self, kept: Kept, limits: Limits, work: _Work) -> None:
        self._kept = kept
        self._limits = limits
        self._work = work
        self._token = None if limits.token is None else limits.token.encode()

    def guarded(self, answer: _Endpoint) -> _Endpoint:
        """Answered to those alone who send the token."""

        async def guarded(request: Request) -> Response:
            self._check_token(request)
            return await answer(request)

        return guarded

    def of(self, call: Call) -> _Endpoint:
        """The endpoint of a call."""

        async def answer(request: Request) -> Response:
            self._check_token(request)
            deadline = asyncio.get_running_loop().time() + self._limits.timeout
            asked = None
            if call.asked is not None:
                try:
                    asked = call.asked.model_validate_json(await self._body(request, deadline))
                except ValidationError as error:
                    raise _refusal(error) from None
                self._limits.check(asked)
            version = self._kept.now  # of all parts, whatever comes meanwhile
            found = [
                await self._work.turn(deadline, partial(_answer, call, version, part))
                for part in (call.parts(asked) if call.parts else [asked])
            ]
            return Response(_joined(found), media_type="application/json")

        return answer

    def _check_token(self, request: Request) -> None:
        if self._token is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        is_right = hmac.compare_digest(given.encode("latin-1", "replace"), self._token)
        if scheme.casefold() != "bearer" or not is_right:
            said = "this needs the server's token: the header Authorization: Bearer ..."
            raise Problem(401, said, {"WWW-Authenticate": "Bearer"})

    async def _body(self, request: Request, deadline: float) -> bytes:
        most = self._limits.max_body
        refusal = Problem(413, f"the body has more than {most:,} bytes", {"Connection": "close"})
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > most:
            raise refusal

        body = b""
        try:
            with move_on_after(deadline - asyncio.get_running_loop().time()):
                async for part in request.stream():
                    body += part
                    if len(body) > most:
                        raise refusal
                return body
        except ClientDisconnect:
            raise Problem(400, "the connection was closed") from None
        raise Problem(408, "the body did not arrive in time", {"Connection": "close"})


def _answer(call: Call, version: Version, asked: Any) -> bytes:
    """The answer of a call as JSON; this runs in the pool."""
    try:
        found = call.run(version, asked)
    except (ValueError, TypeError, OverflowError) as error:  # so the library refuses arguments
        raise Problem(422, str(error)) from None
    return _as_json(found)


def _joined(answers: list[bytes]) -> bytes:
    """The answers of the parts of a batch as one."""
    if len(answers) == 1:
        return answers[0]
    begin, end = b'{"lists":[', b"]}"
    return begin + b",".join(one[len(begin) : -len(end)] for one in answers) + end


def _refusal(error: ValidationError) -> Problem:
    """What is said of a body that is none."""
    if error.error_count() > _TOLD:  # to tell them would take seconds
        return Problem(422, f"the body has {error.error_count():,} mistakes; /docs says what it is")
    by_field: dict[str, dict[str, None]] = {}
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        if one["type"] == "json_invalid":
            return Problem(400, f"the body must be an object of JSON: {one['msg']}")
        field = str(one["loc"][0]) if one["loc"] else "the body"
        said = one["msg"].removeprefix("Value error, ")
        by_field.setdefault(shortened(field)[1:-1], {})[said] = None
    fields = [f"{field}: {', or '.join([*said][:3])}" for field, said in by_field.items()]
    return Problem(422, "; ".join(fields[:3]))
