"""The service over HTTP: paths, bodies, statuses."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from babelens.serving.engine import Reply
from babelens.serving.guard import PREDICT, App, Guard, refusal_headers
from babelens.serving.openapi import MODEL, PREDICTION, PROBE, document
from babelens.serving.questions import Asked
from babelens.serving.refusal import Refusal
from babelens.serving.service import Service

TIMEOUT = "babelens-timeout"
PAGE = Path(__file__).with_name("page")
_JSON = "application/json"


def build_app(service: Service) -> App:
    """The application (ASGI) of a service."""
    app = FastAPI(title="babelens", openapi_url=None, docs_url=None, redoc_url=None)

    @app.post(PREDICT, **PREDICTION)
    async def predict(request: Request) -> Response:
        return await answer_request(service, request)

    @app.get(PREDICT, include_in_schema=False)
    async def no_question() -> Response:
        return JSONResponse({"error": f"expected POST {PREDICT}, found GET"}, 405, {"allow": "POST"})

    @app.get("/v1/model", **MODEL)
    async def model() -> Response:
        facts = service.model.facts
        if facts is None:
            return JSONResponse({"error": "the model is not ready yet"}, 503, {"retry-after": "5"})
        return Response(msgspec.json.encode(facts), media_type=_JSON)

    @app.get("/livez", **PROBE)
    async def livez() -> Response:
        return JSONResponse({"alive": True})

    @app.get("/readyz", **PROBE)
    async def readyz() -> Response:
        return JSONResponse({"ready": service.ready}, 200 if service.ready else 503)

    @app.get("/metrics", **PROBE)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    described = json.dumps(document(app), ensure_ascii=False).encode()

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return Response(described, media_type=_JSON)

    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, failed)
    if (PAGE / "index.html").is_file():
        app.mount("/", StaticFiles(directory=PAGE, html=True))
    return Guard(app, service)


async def _refused(_: Request, error: Exception) -> Response:
    """Paths and methods that there are not, in the shape of all our errors."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def failed(_: Request, error: Exception) -> Response:
    """What went wrong on our side is told on our side only."""
    return JSONResponse({"error": "the service failed over this request"}, 500)


async def answer_request(service: Service, request: Request) -> Response:
    """Answer a request to predict, note what it took, and say why where there is no answer."""
    started = time.monotonic()
    noted: dict[str, object] = {}
    try:
        body, status, headers = await _answer(service, request, noted), 200, {}
    except Refusal as refusal:
        body, status = msgspec.json.encode({"error": str(refusal)}), refusal.status
        headers = dict(refusal_headers(refusal))
    seconds = time.monotonic() - started
    service.metrics.requests.labels(status).inc()
    service.metrics.seconds.observe(seconds)
    if service.settings.log_requests:
        line = {"status": status, "ms": round(1000 * seconds, 2), **noted, "bytes_out": len(body)}
        print(json.dumps(line), file=sys.stderr, flush=True)
    return Response(body, status, headers, _JSON)


async def _answer(service: Service, request: Request, noted: dict[str, object]) -> bytes:
    deadline = asyncio.get_running_loop().time() + read_timeout(request, service)
    size = 0
    try:
        body = bytearray()
        try:
            async with asyncio.timeout_at(deadline):
                async for piece in request.stream():
                    if len(body) + len(piece) > service.settings.limits.body:
                        raise Refusal(413, f"expected a body of at most {service.settings.limits.body:,} bytes")
                    service.hold(len(piece))
                    size += len(piece)
                    body += piece
        except TimeoutError:
            raise Refusal(408, "expected the whole request before its deadline") from None
        noted["bytes_in"] = size
        try:
            async with asyncio.timeout_at(deadline):
                rows, listed = await service.read(bytes(body), request.headers.get("content-type", ""))
                del body
                _note(rows, noted, service.settings.log_texts)
                replies = await service.answer(rows)
        except TimeoutError:
            raise Refusal(504, "the deadline of this request is over", 1) from None
        return _told(rows, replies) if listed else _alone(replies[0])
    finally:
        service.hold(-size)


def read_timeout(request: Request, service: Service) -> float:
    """The seconds within which a request is to be answered: those of its header, else the service's own.

    Raises:
        Refusal: the header holds no number of seconds that the service grants (422).
    """
    given = request.headers.get(TIMEOUT)
    limits = service.settings.limits
    if given is None:
        return limits.deadline
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not limits.shortest_deadline <= seconds <= limits.longest_deadline:
        bounds = f"{limits.shortest_deadline:g} to {limits.longest_deadline:g}"
        raise Refusal(422, f"{TIMEOUT}: expected seconds from {bounds}, found something else")
    return seconds


def _note(rows: Sequence[Asked | Refusal], noted: dict[str, object], texts: bool) -> None:
    asked = [row for row in rows if isinstance(row, Asked)]
    noted["rows"] = len(rows)
    noted["words"] = sum(row.words for row in asked)
    noted["pictures"] = sum(len(row.pictures) + len(row.urls) for row in asked)
    if texts:
        noted["texts"] = [row.text if row.text is not None else row.tokens for row in asked]


def _alone(reply: Reply) -> bytes:
    if reply.status == 200:
        return reply.body
    raise Refusal(reply.status, msgspec.json.decode(reply.body, type=str), 5 if reply.status == 503 else None)


def _told(rows: Sequence[Asked | Refusal], replies: Sequence[Reply]) -> bytes:
    """The answers to a list: a row that got none says why in its place; where we failed, all of it fails."""
    told = []
    for row, reply in zip(rows, replies, strict=True):
        if reply.status >= 500:
            _alone(reply)
        if reply.status == 200:
            told.append(reply.body)
        else:
            error = {"error": msgspec.json.decode(reply.body, type=str), "status": reply.status}
            named = {"id": row.id} if isinstance(row, Asked) and row.id is not None else {}
            told.append(msgspec.json.encode({**named, **error}))
    return b"[" + b",".join(told) + b"]"
