"""The table of what OpenSSL says, row by row. `test_refusing.py` has the servers that make it say most of them."""

from __future__ import annotations

import ssl

import pytest

from rowkeeper.resilience.classifying import DEFAULT
from rowkeeper.resilience.outcomes import Effect, Outcome
from rowkeeper.resilience.rules.tls import REASONS
from rowkeeper.security.tls import TLS, explained
from rowkeeper.security.tls.explaining import BY_REASON, BY_VERIFY_CODE

TRUSTED = TLS(ca="/the/ca.pem", crl="/the/crl.pem")


def failed(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message, error.reason = code, "OpenSSL's word", "CERTIFICATE_VERIFY_FAILED"
    return error


def with_reason(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize("error", [*map(failed, BY_VERIFY_CODE), *map(with_reason, sorted(BY_REASON))], ids=str)
@pytest.mark.parametrize("tls", [None, TRUSTED])
def test_every_row_is_a_sentence_with_a_mend(error: ssl.SSLError, tls: TLS | None):
    """It names the host, leaves no blank, and keeps what OpenSSL said for the log."""
    told = explained(error, "db.example:5432", tls)
    assert told is not None
    assert "db.example:5432" in told.what
    assert told.hint
    assert not {"{", "}"} & set(told.what + told.hint)
    assert told.context["reason"] == error.reason


def test_whose_word_is_taken_is_named():
    """The file with the authorities, and that with the lists."""
    assert "/the/ca.pem" in explained(failed(20), "h", TRUSTED).what
    assert "/the/crl.pem" in explained(failed(12), "h", TRUSTED).what
    assert "those of this machine" in explained(failed(20), "h").what


def test_a_code_without_a_row_is_told_in_openssls_words():
    """Nothing is lost by a table that is not complete."""
    assert "OpenSSL's word" in explained(failed(49), "h").what


def test_what_is_explained_is_not_tried_again():
    """The two tables have the same reasons, and each is permanent."""
    assert set(BY_REASON) == REASONS
    for reason in REASONS:
        assert DEFAULT.judge(with_reason(reason), Effect.READ).outcome is Outcome.PERMANENT


def test_a_connection_that_ends_is_not_tls_business():
    """It may be tried again, so it is neither explained nor judged here."""
    for error in (
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        TimeoutError(),
        ConnectionResetError(104, ""),
    ):
        assert explained(error, "h") is None
        assert DEFAULT.judge(error, Effect.READ).outcome is Outcome.TRANSIENT
