"""What seals and signs: certificates that run out, keys that get old, checkpoints that are not where they belong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rowkeeper.operations.elsewhere import FAILURES_MAX
from rowkeeper.operations.health.check import Check, State
from rowkeeper.operations.health.context import HealthContext

if TYPE_CHECKING:
    from rowkeeper.security.tls.authority import Expiry


def look_at_certificates(context: HealthContext) -> Iterator[Check]:
    """A check for each: the private authority's and what the settings name."""
    from rowkeeper.security.tls.authority import Authority, expiries  # noqa: PLC0415 - nothing else needs `x509`

    for each in expiries(Authority.of(context.workspace.folder), context.settings):
        yield _certificate(each, context.now)


def _certificate(expiry: Expiry, now: datetime) -> Check:
    subject = expiry.what
    if expiry.at is None or expiry.soon is None:
        return Check("certificate", subject, State.BAD, expiry.fault, mend=expiry.mend)
    if now >= expiry.at:
        told = f"ran out on {expiry.at:%Y-%m-%d}"
        return Check("certificate", subject, State.BAD, told, mend=expiry.mend, since=expiry.at)
    told, limit = f"{(expiry.at - now).days:,} days left", f"to be renewed from {expiry.soon:%Y-%m-%d} on"
    if now >= expiry.soon:
        return Check("certificate", subject, State.WARNING, told, limit, expiry.mend)
    return Check("certificate", subject, State.GOOD, told, limit)


def look_at_keys(context: HealthContext) -> Iterator[Check]:
    """A check for each keyset: how long its newest key has been sealing, and how many former ones still open."""
    days_max = context.settings.health_key_days_max
    for purpose, stored in sorted(context.workspace.folder.keysets.records().items()):
        made = stored.keys[stored.primary].made
        age = context.now - made
        former = sum(each.revoked is None for each in stored.keys.values()) - 1
        told = f"its key is {age.days:,} days old" + (f"; {former:,} former ones still open" if former else "")
        old = age > timedelta(days=days_max)
        mend = f"rowkeeper keys rotate {purpose}" if old else ""
        limit = f"{days_max:g} days (health_key_days_max)"
        yield Check("key", purpose, State.WARNING if old else State.GOOD, told, limit, mend)


def look_at_checkpoints(context: HealthContext) -> Iterator[Check]:
    """A check for each place that gets checkpoints of the audit trail: how much of it the place lacks."""
    for place, has, lag in context.workspace.checkpoints.lags():
        if not lag:
            yield Check("audit", place.name, State.GOOD, f"has all {has.size:,} entries")
            continue
        told = f"lacks the last {lag:,} entries"
        if not has.failures:
            yield Check("audit", place.name, State.GOOD, f"{told}; the worker sends them", mend="")
            continue
        state = State.BAD if has.failures >= FAILURES_MAX else State.WARNING
        told += f"; {has.failures:,} tries failed: {has.told}"
        mend = "mend that, then rowkeeper audit send"
        yield Check("audit", place.name, state, told, f"{FAILURES_MAX} tries in a row", mend, has.delivered_at)
