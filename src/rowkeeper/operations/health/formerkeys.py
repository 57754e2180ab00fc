"""What is still sealed with keys that were rotated away: until it is gone, such a key cannot be destroyed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType

from rowkeeper.operations.health.check import Check, State
from rowkeeper.operations.health.context import HealthContext
from rowkeeper.operations.keys import CERTIFICATES, NOUNS, FormerKeys, former_keys
from rowkeeper.security.keysets import AUDIT, ENGINE, LOGIN, QUARANTINE, SAMPLES, SPOOL

NAME = "former key"
OLD_ONES_GO = "ROWKEEPER_QUARANTINE_KEEP_DAYS=DAYS rowkeeper maintain"
MENDS: Mapping[str, str] = MappingProxyType(
    {
        ENGINE: "ROWKEEPER_MAINTAIN_PARTS_MAX=1 rowkeeper maintain, after the engine was started again; "
        "what is in one part is written anew by its next load or merge",
        QUARANTINE: f"rowkeeper quarantine replay RUN, then {OLD_ONES_GO}",
        SAMPLES: OLD_ONES_GO,
        SPOOL: "rowkeeper spool drain",
        LOGIN: "those who have such second factors set them up anew",
        AUDIT: "rowkeeper audit send",
        CERTIFICATES: "rowkeeper certs renew NAME",
    }
)


def look_at_former_keys(context: HealthContext) -> Iterator[Check]:
    """A check for each keyset that has former keys: how much is left that is sealed with them."""
    for found in former_keys(context.workspace):
        if found.numbers:
            yield _check(found, context)


def _check(found: FormerKeys, context: HealthContext) -> Check:
    days_max = context.settings.health_former_key_days_max
    limit = f"{days_max:g} days after the rotation (health_former_key_days_max)"
    several = len(found.numbers) > 1
    keys = f"{len(found.numbers):,} former keys" if several else f"former key {found.numbers[0]:08x}"
    revoke = f"rowkeeper keys revoke {found.numbers[0]:08x}"
    if found.left is None:
        told = f"{keys}: what {'they' if several else 'it'} protects in tables and backups is not counted"
        return Check(NAME, found.purpose, State.GOOD, told)
    if not found.left:
        told = f"nothing is left that is sealed with {keys}; {revoke} destroys {'the oldest' if several else 'it'}"
        return Check(NAME, found.purpose, State.GOOD, told, limit)
    thing, done = NOUNS.get(found.purpose, ("file", "sealed"))
    told = f"{found.left:,} {thing}{'s are' if found.left > 1 else ' is'} still {done} with {keys}"
    late = context.now - found.since > timedelta(days=days_max)
    mend = f"{MENDS[found.purpose]}; then {revoke}"
    return Check(NAME, found.purpose, State.WARNING if late else State.GOOD, told, limit, mend if late else "")
