"""Local web server of a review: loopback only, behind a random token, and without other origins."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from curate.errors import CurateError, ImageError, InputError, MissingExtra
from curate.review.review_session import Review

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["create_app", "serve"]

_PAGE = Path(__file__).with_name("page")
_FILES = {"review.css": "text/css", "review.js": "text/javascript"}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MAX_BODY = 16_384
"""Bytes of a request's body."""
_HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def create_app(review: Review, token: str) -> Starlette:
    """Return the web application of a review, all of it below `/<token>/`.

    Raises:
        MissingExtra: if Starlette isn't installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.routing import Route
    except ImportError as error:
        raise MissingExtra("curate review", "review") from error
    routes = _Routes(review)
    below = f"/{token}"
    return Starlette(
        routes=[
            Route(f"{below}/", routes.page),
            Route(f"{below}/page/{{name}}", routes.file),
            Route(f"{below}/api/state", routes.state),
            Route(f"{below}/api/images", routes.images),
            Route(f"{below}/api/images/{{id}}", routes.image),
            Route(f"{below}/api/images/{{id}}/{{view}}", routes.view),
            Route(f"{below}/api/bounds", routes.bounds),
            Route(f"{below}/api/verdicts", routes.give, methods=["POST"]),
            Route(f"{below}/api/undo", routes.undo, methods=["POST"]),
        ],
        middleware=[Middleware(_Guard, token=token)],
        exception_handlers={CurateError: _refuse, Exception: _fail},
    )


class _Guard:
    """Refuses requests of other pages and other machines, and adds headers to every answer.

    A name that a stranger's DNS points at this machine is no loopback name. A page of another
    origin can neither know the token nor send its own origin as ours.
    """

    def __init__(
        self, app: Callable[[_Scope, _Receive, _Send], Awaitable[None]], token: str
    ) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                names = {name.lower() for name, _ in message["headers"]}
                if b"cache-control" not in names:
                    own.append((b"cache-control", b"no-store"))
                message["headers"] = [*message["headers"], *own]
            await send(message)

        fault = self._fault(scope)
        if fault is None:
            await self._app(scope, receive, send_with_headers)
            return
        from starlette.responses import PlainTextResponse

        await PlainTextResponse(f"{fault}\n", 403)(scope, receive, send_with_headers)

    def _fault(self, scope: _Scope) -> str | None:
        """Return why a request is refused; None if it isn't."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if _name_of(host) not in _LOOPBACK:
            return "this server answers on loopback names only"
        first = scope["path"].split("/")[1].encode()
        if not secrets.compare_digest(first, self._token):
            return "open the address that  curate review  printed: its token is missing here"
        origin = headers.get(b"origin", b"").decode("latin-1")
        if scope["method"] not in ("GET", "HEAD") and origin != f"http://{host}":
            return "only the page of this server may write"
        return None


def _name_of(host: str) -> str | None:
    """Return the name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


class _Routes:
    """Handlers of requests; handlers that aren't coroutines run in threads."""

    def __init__(self, review: Review) -> None:
        self._review = review

    def page(self, request: Request) -> Response:
        from starlette.responses import HTMLResponse

        return HTMLResponse((_PAGE / "index.html").read_bytes())

    def file(self, request: Request) -> Response:
        from starlette.responses import Response

        name = request.path_params["name"]
        if name not in _FILES:
            raise InputError(f"the page has no file {name!r}")
        return Response((_PAGE / name).read_bytes(), media_type=_FILES[name])

    def state(self, request: Request) -> Response:
        return _answer(self._review.state())

    def images(self, request: Request) -> Response:
        return _answer(self._review.images(request.query_params.multi_items()))

    def image(self, request: Request) -> Response:
        return _answer(self._review.image(request.path_params["id"]))

    def view(self, request: Request) -> Response:
        from starlette.responses import Response

        data, type_ = self._review.view(request.path_params["id"], request.path_params["view"])
        # the picture of an id never changes while the server runs, and its URL holds the token
        return Response(data, media_type=type_, headers={"cache-control": "private, max-age=3600"})

    def bounds(self, request: Request) -> Response:
        return _answer(self._review.bounds())

    async def give(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        body = await _read_json(request)
        return _answer(await run_in_threadpool(self._review.give, body))

    async def undo(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        return _answer(await run_in_threadpool(self._review.undo))


def _answer(value: Any, status: int = 200) -> Response:
    from starlette.responses import Response

    text = json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    return Response(text.encode(errors="replace"), status, media_type="application/json")


async def _read_json(request: Request) -> dict[str, Any]:
    """Read the body of a request.

    Raises:
        InputError: if it is too long, or no JSON object.
    """
    body = b""
    stream: AsyncIterator[bytes] = request.stream()
    async for piece in stream:
        body += piece
        if len(body) > _MAX_BODY:
            raise InputError(f"a verdict takes at most {_MAX_BODY:,} bytes")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError("a verdict is a JSON object") from error
    if not isinstance(value, dict):
        raise InputError("a verdict is a JSON object")
    return value


def _refuse(request: Request, error: Exception) -> Response:
    """Answer an error that the user can mend, by whose it is: the request's, a picture's, ours."""
    status = {InputError: 400, ImageError: 422}.get(type(error), 500)
    return _answer({"error": str(error)}, status)


def _fail(request: Request, error: Exception) -> Response:
    return _answer({"error": f"an error of this program: {type(error).__name__}: {error}"}, 500)


@contextmanager
def serve(review: Review, port: int = 0) -> Iterator[tuple[str, Callable[[], None]]]:
    """Open the server of a review on loopback.

    Args:
        review: what it serves.
        port: 0 for any free one.

    Yields:
        The URL with its token, and a function that serves until SIGINT or SIGTERM.

    Raises:
        InputError: if the port is taken.
        MissingExtra: if uvicorn or Starlette isn't installed.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtra("curate review", "review") from error
    token = secrets.token_urlsafe(24)
    config = uvicorn.Config(
        create_app(review, token),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    with socket.socket() as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except (OSError, OverflowError) as error:
            raise InputError(f"can't listen on port {port}: {error}; choose another") from error
        server = uvicorn.Server(config)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/{token}/"
        yield url, lambda: _run(server, listener)


def _run(server: Any, listener: socket.socket) -> None:
    """Serve until a signal; the server's own handling would send the signal on afterwards."""
    import signal
    import threading

    def stop(number: int, frame: object) -> None:
        server.should_exit = True

    server.capture_signals = nullcontext
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
