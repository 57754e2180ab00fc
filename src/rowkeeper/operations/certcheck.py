"""What `rowkeeper doctor` says of certificates: which run out, and when somebody should see to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rowkeeper.operations.finding import Finding
from rowkeeper.runs.workspace import Workspace

if TYPE_CHECKING:
    from rowkeeper.security.tls.authority import Expiry

NAME = "certificates"


def examine_certificates(workspace: Workspace) -> Iterator[Finding]:
    """One finding for each that is out of date, or soon will be; one if all is well."""
    from rowkeeper.security.tls.authority import Authority, expiries  # noqa: PLC0415 - no other command needs `x509`

    known = list(expiries(Authority.of(workspace.folder), workspace.settings))
    now = datetime.now(UTC)
    told = [finding for each in known if (finding := _finding(each, now))]
    yield from told
    if not told:
        first = min((each.at for each in known if each.at), default=None)
        yield Finding(
            NAME, True, f"{len(known)}; the first runs out on {first:%Y-%m-%d}" if first else "none are in use"
        )


def _finding(expiry: Expiry, now: datetime) -> Finding | None:
    """None of what is well."""
    if expiry.at is None or expiry.soon is None:
        return Finding(NAME, False, expiry.fault, expiry.mend)
    if now >= expiry.at:
        return Finding(NAME, False, f"{expiry.what} ({expiry.path}) ran out on {expiry.at:%Y-%m-%d}", expiry.mend)
    if now >= expiry.soon:
        found = f"{expiry.what} ({expiry.path}) has {(expiry.at - now).days} days left"
        return Finding(NAME, True, found, expiry.mend)
    return None
