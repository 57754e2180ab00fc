"""What the errors of obstore mean: which are tried again, and in which words the others are told.

They are texts, with the status of the answer and S3's own code for what is wrong in them. The text is never told: it
has the URL, and what the store says of it.
"""

from __future__ import annotations

import re

from rowkeeper.errors import (
    BucketMissing,
    FrameworkError,
    ObjectChanged,
    ObjectExists,
    ObjectMissing,
    StoreError,
    StoreForbidden,
    StoreUnauthorised,
    StoreUnavailable,
    StoreUnfit,
)
from rowkeeper.resilience.classifying import DEFAULT
from rowkeeper.resilience.outcomes import Judgement, Outcome
from rowkeeper.resilience.rules import http

STATUS = re.compile(r"\bstatus: (\d{3})\b")
CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,80})</Code>")
KIND = re.compile(r"HttpError \{\s*kind: (\w+)")
BY_CLASS = {
    "NotFoundError": 404,
    "FileNotFoundError": 404,
    "PreconditionError": 412,
    "AlreadyExistsError": 409,
    "PermissionDeniedError": 403,
}
NOT_SENT = ("Connect",)
AGAIN = frozenset({"RequestTimeout", "OperationAborted", "ConditionalRequestConflict", "ServerBusy"})
SLOWER = frozenset({"SlowDown", "ServiceUnavailable", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded"})
NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound", "InvalidBucketName", "ResourceNotFound"})
WHO = frozenset(
    {
        "AuthenticationFailed",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidAuthenticationInfo",
        "InvalidSecurity",
        "InvalidToken",
        "NoAuthenticationInformation",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
SPENT = frozenset({"ExpiredToken", "TokenRefreshRequired"})
ELSEWHERE = frozenset({"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"})


class Failure(Exception):  # noqa: N818 - handled in this room, never seen outside
    """A request that failed, as far as it is known why.

    Attributes:
        status: of the answer; None if there was none.
        code: what the store calls it; empty if it does not say.
        kind: what became of a request that was not answered, in reqwest's word; empty otherwise.
    """

    def __init__(
        self, status: int | None, code: str, kind: str, *, elsewhere: bool = False, short: bool = False
    ) -> None:
        super().__init__(f"{status or kind} {code}".strip())
        self.status, self.code, self.kind = status, code, kind
        self.elsewhere, self.short = elsewhere, short


def is_of_obstore(error: Exception) -> bool:
    """Whether obstore raised it; some of its errors are Python's own classes."""
    return type(error).__module__.startswith("obstore") or "\nDebug source:" in str(error)


def failure_of(error: Exception) -> Failure:
    """What an error of obstore says."""
    text = str(error)
    status, code, kind = STATUS.search(text), CODE.search(text), KIND.search(text)
    return Failure(
        int(status[1]) if status else BY_CLASS.get(type(error).__name__),
        code[1] if code else "",
        kind[1] if kind else "" if status else type(error).__name__,
        elsewhere="BareRedirect" in text or (status is not None and status[1].startswith("3") and status[1] != "304"),
    )


def judge(error: BaseException) -> Judgement | None:
    """Whether a request is to be made again, as for one that changes something."""
    if not isinstance(error, Failure):
        return None
    if error.code in SLOWER or error.status in (429, 503):
        return Judgement(Outcome.THROTTLED)
    if error.short or error.code in AGAIN or error.kind in NOT_SENT:
        return Judgement(Outcome.TRANSIENT)
    if error.status is not None:
        return http.status(error.status, {})
    return Judgement(Outcome.PERMANENT if error.elsewhere else Outcome.AMBIGUOUS)


STORE_ERRORS = DEFAULT.with_rules(judge)


def told(failure: Failure, place: str, name: str) -> FrameworkError:
    """What is wrong, for people.

    Args:
        place: the store, such as `s3://bucket`.
        name: the file that was asked for; empty for the place itself.
    """
    what = f"{place}/{name}" if name else place
    error, sentence, hint = _words(failure, place, name, what)
    return error(sentence, hint=hint, context={"status": failure.status, "store_code": failure.code})


def _words(failure: Failure, place: str, name: str, what: str) -> tuple[type[StoreError], str, str]:
    """The error, its sentence and the next step."""
    rows: tuple[tuple[bool, type[StoreError], str, str], ...] = (
        (
            failure.elsewhere or failure.code in ELSEWHERE,
            StoreUnfit,
            f"{place} is somewhere else: the store answers with a redirect, or names another region",
            "see to region= and endpoint=",
        ),
        (
            failure.code in WHO or failure.status == 401,
            StoreUnauthorised,
            f"{place} does not take our credentials: {_why(failure)}",
            "see to what access= refers to",
        ),
        (failure.code in NO_BUCKET, BucketMissing, f"there is no {place}", "see to its name, and to endpoint="),
        (failure.status == 404, ObjectMissing, f"{what} is not there", "see to its name; run again"),
        (
            failure.status == 403,
            StoreForbidden,
            f"{place} does not let us {'at ' + name if name else 'list what is there'}",
            "let its owner allow it; or, where listing is not allowed, name the files one by one",
        ),
        (failure.status in (412, 409), ObjectChanged, f"{what} was changed meanwhile", "run again"),
        (
            failure.status is not None and failure.status < 500 and failure.status not in (408, 429),
            StoreUnfit,
            f"{place} refuses what it is asked: {_why(failure)}",
            "see whether it speaks the protocol that the address names",
        ),
    )
    found = next((row[1:] for row in rows if row[0]), None)
    return found or (
        StoreUnavailable,
        f"{what} cannot be had: {_why(failure)}",
        "see whether the store is up, and run again: it goes on where it stopped",
    )


def exists(place: str, name: str) -> ObjectExists:
    """For a file that was to be made only if there was none."""
    return ObjectExists(f"{place}/{name} is there already", hint="run again: what is there is looked at")


def changed(place: str, name: str) -> ObjectChanged:
    """For a file that is no longer what it was."""
    return ObjectChanged(
        f"{place}/{name} changed meanwhile",
        hint="let its writer finish, and run again",
    )


def _why(failure: Failure) -> str:
    if failure.short:
        return "an answer is shorter than it says"
    if failure.code in SPENT:
        return f"they have run out ({failure.code})"
    if failure.status is None:
        return f"a request is not answered as a whole ({failure.kind})"
    return f"it answers {failure.status}" + (f" ({failure.code})" if failure.code else "")
