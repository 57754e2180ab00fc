"""HTTP answers that are errors, of any client: a status, and perhaps `Retry-After` (RFC 9110, 10.2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from rowkeeper.resilience.outcomes import Judgement, Outcome
from rowkeeper.resilience.rules.lineage import number

STATUS_ERROR_MIN, STATUS_MAX = 400, 599
# Refused before anything was done: too early, misdirected, request never complete, not available.
NOT_DONE = {408, 421, 425, 503}
THROTTLED = {429}
# A server or a gateway that broke off: the work may have been done.
UNKNOWN = {500, 502, 504, 520, 522, 524}


def status(code: int, headers: Mapping[str, str]) -> Judgement:
    """What an answer with this status stands for."""
    after = retry_after(_header(headers, "retry-after"))
    if code in THROTTLED or (code in NOT_DONE and after is not None):
        outcome = Outcome.THROTTLED
    elif code in NOT_DONE:
        outcome = Outcome.TRANSIENT
    else:
        outcome = Outcome.AMBIGUOUS if code in UNKNOWN else Outcome.PERMANENT
    if isinstance(after, datetime):
        return Judgement(outcome, retry_at=after)
    return Judgement(outcome, retry_after_seconds=after)


def retry_after(value: str | None) -> float | datetime | None:
    """`Retry-After` in either of its forms, seconds or a date; None if there is none or it is neither."""
    text = (value or "").strip()
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at.replace(tzinfo=at.tzinfo or UTC)  # "-0000" is UTC as well, but comes without a zone


def judge(error: BaseException) -> Judgement | None:
    """httpx and requests keep the answer on the error, urllib and many SDKs the status itself."""
    answer: Any = getattr(error, "response", None)
    if answer is None:
        answer = error
    code = number(answer, "status_code", "status")
    if code is None or not STATUS_ERROR_MIN <= code <= STATUS_MAX:
        return None
    headers: Any = getattr(answer, "headers", None)
    return status(code, headers if hasattr(headers, "items") else {})


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)
