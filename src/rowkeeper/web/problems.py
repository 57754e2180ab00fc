"""Errors as answers: `application/problem+json` (RFC 9457), with the code, the sentence and the next step of each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from rowkeeper.errors import (
    AccessDenied,
    AuthenticationFailed,
    AuthenticationRequired,
    Category,
    CircuitOpenError,
    DatabaseError,
    DeadlineExceeded,
    DiskFull,
    EngineDied,
    EngineDown,
    EngineMemory,
    FrameworkError,
    IntegrityError,
    LeaseError,
    LedgerBusy,
    PipelineError,
    ProviderUnusable,
    QueryError,
    QueryFailed,
    RateExceeded,
    RequestRefused,
    RetryError,
    RevealRefused,
    SecondFactorRequired,
    ServerBusy,
    StateError,
    UnknownAlert,
    UnknownError,
    UnknownJob,
    UnknownRun,
    UnknownSchedule,
    UnknownUser,
    UserExists,
)
from rowkeeper.logs.secrets import scrubbed

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:rowkeeper:error:"

# The first that an error is an instance of counts: the narrower stand before the wider.
STATUSES: Sequence[tuple[type[FrameworkError], HTTPStatus]] = (
    (RateExceeded, HTTPStatus.TOO_MANY_REQUESTS),
    (ServerBusy, HTTPStatus.SERVICE_UNAVAILABLE),
    (RequestRefused, HTTPStatus.BAD_REQUEST),
    (AuthenticationRequired, HTTPStatus.UNAUTHORIZED),
    (AuthenticationFailed, HTTPStatus.UNAUTHORIZED),
    (SecondFactorRequired, HTTPStatus.UNAUTHORIZED),
    (ProviderUnusable, HTTPStatus.SERVICE_UNAVAILABLE),
    (UnknownAlert, HTTPStatus.NOT_FOUND),
    (UnknownJob, HTTPStatus.NOT_FOUND),
    (UnknownRun, HTTPStatus.NOT_FOUND),
    (UnknownSchedule, HTTPStatus.NOT_FOUND),
    (UnknownUser, HTTPStatus.NOT_FOUND),
    (UserExists, HTTPStatus.CONFLICT),
    (AccessDenied, HTTPStatus.FORBIDDEN),
    (RevealRefused, HTTPStatus.FORBIDDEN),
    (QueryError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (QueryFailed, HTTPStatus.UNPROCESSABLE_ENTITY),
    (EngineMemory, HTTPStatus.UNPROCESSABLE_ENTITY),
    (LeaseError, HTTPStatus.CONFLICT),
    (LedgerBusy, HTTPStatus.SERVICE_UNAVAILABLE),
    (EngineDied, HTTPStatus.SERVICE_UNAVAILABLE),
    (EngineDown, HTTPStatus.SERVICE_UNAVAILABLE),
    (DiskFull, HTTPStatus.INSUFFICIENT_STORAGE),
    (StateError, HTTPStatus.INTERNAL_SERVER_ERROR),
    (DatabaseError, HTTPStatus.INTERNAL_SERVER_ERROR),
    (CircuitOpenError, HTTPStatus.SERVICE_UNAVAILABLE),
    (DeadlineExceeded, HTTPStatus.GATEWAY_TIMEOUT),
    (RetryError, HTTPStatus.SERVICE_UNAVAILABLE),
    (IntegrityError, HTTPStatus.INTERNAL_SERVER_ERROR),
    (UnknownError, HTTPStatus.INTERNAL_SERVER_ERROR),
    (PipelineError, HTTPStatus.CONFLICT),  # a run is not in a state for what was asked
)


def status_of(error: FrameworkError) -> HTTPStatus:
    """The status of an answer that tells an error. One that says its own (`http_status` in its context) has that."""
    own = error.context.get("http_status")
    if isinstance(own, int):
        return HTTPStatus(own)
    for kind, status in STATUSES:
        if isinstance(error, kind):
            return status
    if error.category is Category.CONFIGURATION:
        return HTTPStatus.UNPROCESSABLE_ENTITY
    return HTTPStatus.FORBIDDEN if error.category is Category.SECURITY else HTTPStatus.INTERNAL_SERVER_ERROR


def problem(error: FrameworkError, status: HTTPStatus | None = None, **more: Any) -> dict[str, Any]:
    """The document. A sentence that quotes somebody else's words is for the log, and is not repeated here."""
    status = status or status_of(error)
    return {
        "type": f"{TYPE}{error.code}",
        "title": type(error).__name__,
        "status": int(status),
        "detail": scrubbed(error.what),
        "hint": scrubbed(error.hint),
        "code": error.code,
        "retryable": error.retryable,
        **more,
    }


def encoded(document: Mapping[str, Any]) -> bytes:
    """As it is sent."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str).encode()


def headers_of(error: FrameworkError) -> dict[str, str]:
    """What goes with it: when to come again, how to sign in, which methods there are."""
    found: dict[str, str] = {}
    seconds = error.context.get("retry_after")
    status = status_of(error)
    if isinstance(seconds, (int, float)):
        found["retry-after"] = str(max(1, math.ceil(seconds)))
    elif status is HTTPStatus.SERVICE_UNAVAILABLE:
        found["retry-after"] = "5"
    if status is HTTPStatus.UNAUTHORIZED:
        found["www-authenticate"] = 'Bearer realm="rowkeeper"'
    if isinstance(allowed := error.context.get("allow"), str):
        found["allow"] = allowed
    return found
