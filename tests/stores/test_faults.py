"""What errors of obstore mean, and that nothing of their text is told."""

from __future__ import annotations

import pytest

from rowkeeper.resilience.outcomes import Effect, Outcome
from rowkeeper.stores import faults

BODY = "<Error><Code>{}</Code><Message>said by the store</Message></Error>"
STATUS = 'Generic S3 error\n\nDebug source:\nStatus {{ status: {}, body: Some("{}") }}'
UPLOAD = (
    "Generic S3 error: Error performing PUT http://127.0.0.1:1/b/a?uploadId=1 in 5s"
    " - Server returned non-2xx status code: 500"
)


@pytest.mark.parametrize(
    ("status", "code", "error", "outcome"),
    [
        (503, "SlowDown", "RK-2141", Outcome.THROTTLED),
        (500, "InternalError", "RK-2141", Outcome.AMBIGUOUS),
        (400, "RequestTimeout", "RK-2148", Outcome.TRANSIENT),
        (403, "AccessDenied", "RK-2143", Outcome.PERMANENT),
        (403, "RequestTimeTooSkewed", "RK-2142", Outcome.PERMANENT),
        (400, "ExpiredToken", "RK-2142", Outcome.PERMANENT),
        (404, "NoSuchBucket", "RK-2144", Outcome.PERMANENT),
        (404, "NoSuchKey", "RK-2145", Outcome.PERMANENT),
        (412, "PreconditionFailed", "RK-2146", Outcome.PERMANENT),
        (301, "PermanentRedirect", "RK-2148", Outcome.PERMANENT),
    ],
)
def test_each_has_its_error_and_its_outcome(status: int, code: str, error: str, outcome: Outcome) -> None:
    """By the status and by S3's own code; a read is tried again where the outcome is not known."""
    failure = faults.failure_of(OSError(STATUS.format(status, BODY.format(code))))
    told = faults.told(failure, "s3://bucket", "a.csv")
    assert told.code == error
    assert "said by the store" not in f"{told} {told.hint} {dict(told.context)}"
    assert faults.STORE_ERRORS.judge(failure, Effect.WRITE).outcome is outcome


def test_what_an_upload_raises_is_understood_too() -> None:
    """Its errors are Python's own, with the URL in their text."""
    error = OSError(UPLOAD)
    assert faults.is_of_obstore(error)
    told = faults.told(faults.failure_of(error), "s3://bucket", "a.csv")
    assert told.code == "RK-2141"
    assert "uploadId" not in str(told)
    assert not faults.is_of_obstore(OSError(28, "No space left on device"))
