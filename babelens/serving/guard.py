"""What every request passes before anything else looks at it: headers, the token, and whether there is room."""

import hmac
import sys
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from typing import Any

import msgspec

from babelens.serving.refusal import Refusal
from babelens.serving.service import Service

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PREDICT = "/v1/predict"
_SECRET = ("/v1/", "/metrics")
_PROGRAM = ("/v1/", "/livez", "/readyz", "/metrics", "/openapi.json")
_COMMON = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
_API = (
    *_COMMON,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"cache-control", b"no-store"),
)
# The page shows pictures that the reader chose (blob:), and speaks with nobody but this service.
_PAGE = (
    *_COMMON,
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self'; "
        b"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
        b"require-trusted-types-for 'script'",
    ),
    (b"cache-control", b"no-cache"),
)


class Guard:
    """Stands before an application (ASGI).

    It adds headers, compares the token in constant time, refuses requests to predict while there is no room before
    their body is read, and keeps what goes wrong inside from being told outside.
    """

    def __init__(self, app: App, service: Service) -> None:
        self._app = app
        self._service = service
        token = service.settings.token
        self._token = None if token is None else _digest(token.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            raise RuntimeError(f"expected a request over HTTP, found {scope['type']}")
        path = scope["path"]
        send = self._dressed(send, path)
        try:
            if self._token is not None and path.startswith(_SECRET):
                self._check_token(scope)
            if path == PREDICT and scope["method"] == "POST":
                self._check_length(scope)
                self._service.enter()
                try:
                    await self._app(scope, receive, send)
                finally:
                    self._service.leave()
            else:
                await self._app(scope, receive, send)
        except Refusal as refusal:
            if path == PREDICT:
                self._service.metrics.requests.labels(refusal.status).inc()
            await _send_refusal(send, refusal)
        except Exception as error:  # its answer was sent: see `app.failed`
            # The message may quote what was asked; where it happened does not.
            frames = "".join(traceback.format_tb(error.__traceback__))
            print(f"error: {frames}{type(error).__name__}", file=sys.stderr, flush=True)

    def _dressed(self, send: Send, path: str) -> Send:
        """`send`, with the headers that belong to every answer."""

        async def dress(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = _API if path.startswith(_PROGRAM) else _PAGE
                # A client that keeps its connection would ask this service again, which is about to end.
                closing = ((b"connection", b"close"),) if self._service.draining else ()
                message["headers"] = [*message.get("headers", ()), *more, *closing]
            await send(message)

        return dress

    def _check_token(self, scope: Scope) -> None:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, token = given.partition(b" ")
        right = hmac.compare_digest(_digest(token.strip()), self._token or b"")
        if kind.lower() != b"bearer" or not right:
            raise Refusal(401, "expected the header Authorization: Bearer with the token of this service")

    def _check_length(self, scope: Scope) -> None:
        limit = self._service.settings.limits.body
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not length.isdigit() or int(length) > limit:
            raise Refusal(413, f"expected a body of at most {limit:,} bytes, found a longer one")


async def _send_refusal(send: Send, refusal: Refusal) -> None:
    headers = [(b"content-type", b"application/json"), *((n.encode(), v.encode()) for n, v in refusal_headers(refusal))]
    body = msgspec.json.encode({"error": str(refusal)})
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def refusal_headers(refusal: Refusal) -> list[tuple[str, str]]:
    """The headers that belong to a refusal."""
    headers = []
    if refusal.retry is not None:
        headers.append(("retry-after", str(refusal.retry)))
    if refusal.status == 401:
        headers.append(("www-authenticate", "Bearer"))
    return headers


def _digest(token: bytes) -> bytes:
    """What is compared instead of a token, so that not even its length can be told from the time that it takes."""
    return sha256(token).digest()
