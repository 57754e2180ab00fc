"""The application: routes, what becomes of errors, and the description of both."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from rowkeeper.errors import FrameworkError, RequestRefused, UnknownError
from rowkeeper.logs import logger
from rowkeeper.logs.failure import failure
from rowkeeper.web.api import ROUTES
from rowkeeper.web.governed import Routes
from rowkeeper.web.house import House
from rowkeeper.web.identity import SESSION_COOKIE
from rowkeeper.web.problems import MEDIA_TYPE, encoded, headers_of, problem, status_of

TITLE = "Rowkeeper"
ABOUT = "Double-entry bookkeeping for data pipelines. Whoever asks signs in; errors are as RFC 9457 has them."
VERSION = "1"  # of the API: it changes when something is taken away

log = logger("server")


def made_app(house: House | None, routes: Sequence[Routes] = ROUTES) -> FastAPI:
    """The application of a house; without one it can be described, and not asked."""
    app = FastAPI(
        title=TITLE,
        description=ABOUT,
        version=VERSION,
        openapi_url=None,  # a route like the others, for whoever has signed in
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=TelemetryConfig(tracing=False, metrics=False, logs=False, auto_configure=False),
    )
    app.state.house = house
    app.state.ways = [way for each in routes for way in each.ways]
    for each in routes:  # not `include_router`, which looks for routes router by router, at each request
        app.router.routes.extend(each.router.routes)
    app.add_exception_handler(FrameworkError, _told)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _unforeseen)
    app.openapi = lambda: described(app)  # type: ignore[method-assign]
    return app


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = get_openapi(title=TITLE, version=VERSION, description=ABOUT, routes=app.routes)
    parts = document.setdefault("components", {})
    parts.setdefault("schemas", {})["Problem"] = _PROBLEM
    parts["schemas"].pop("HTTPValidationError", None)
    parts["schemas"].pop("ValidationError", None)
    parts["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "An API token."},
        "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
    }
    document["security"] = [{"token": []}, {"session": []}]
    for methods in document["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)  # as all others: a problem
    app.openapi_schema = document
    return document


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, FrameworkError)
    status = status_of(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, UnknownError):
        log.warning("a request failed", **failure(error))
    return Response(encoded(problem(error)), int(status), headers_of(error), MEDIA_TYPE)


async def _invalid(request: Request, error: Exception) -> Response:
    """What of a request is wrong: where and in which way, never the value, which may be a secret or a person's."""
    assert isinstance(error, RequestValidationError)
    faults = [
        {"loc": [str(part) for part in each["loc"]], "type": each["type"], "msg": _without_value(each)}
        for each in error.errors()
    ]
    where = ", ".join(sorted({".".join(each["loc"]) for each in faults}))
    refused = RequestRefused(
        f"the request is not as it is described: {where}",
        hint="GET /api/v1/openapi.json describes it",
        context={"http_status": HTTPStatus.UNPROCESSABLE_ENTITY},
    )
    return Response(encoded(problem(refused, errors=faults)), 422, None, MEDIA_TYPE)


def _without_value(fault: dict[str, Any]) -> str:
    """Pydantic's own sentences name what is wanted. Those of validators of others may quote what was given."""
    return "not as it is described" if fault["type"] in ("value_error", "assertion_error") else str(fault["msg"])


_WORDS = {
    404: ("there is no such route", "GET /api/v1/openapi.json lists them"),
    405: ("the route does not take this method", "see Allow"),
}


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what, hint = _WORDS.get(error.status_code, (error.detail, "see docs/server.md for what is taken"))
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:  # a path may have a route for each of several methods
        path, ways = request.scope["path"], request.app.state.ways
        headers = {"allow": ", ".join(sorted({method for form, method in ways if form.match(path)}))}
    refused = RequestRefused(what, hint=hint, context={"http_status": error.status_code})
    return Response(encoded(problem(refused)), error.status_code, headers, MEDIA_TYPE)


async def _unforeseen(request: Request, error: Exception) -> Response:
    log.error("a request failed as nobody foresaw", **failure(error))
    return Response(encoded(problem(UnknownError.of(error))), 500, None, MEDIA_TYPE)


_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail", "hint", "code", "retryable"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "The error's name."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, and to what."},
        "hint": {"type": "string", "description": "What to do next."},
        "code": {"type": "string", "pattern": "^RK-[0-9]{4}$", "description": "rowkeeper errors CODE explains it."},
        "retryable": {"type": "boolean", "description": "Whether the same request may succeed later."},
        "errors": {
            "type": "array",
            "description": "Of a request that is not as described: what is wrong with it.",
            "items": {
                "type": "object",
                "required": ["loc", "type", "msg"],
                "properties": {
                    "loc": {"type": "array", "items": {"type": "string"}},
                    "type": {"type": "string"},
                    "msg": {"type": "string"},
                },
            },
        },
    },
}
