"""What the ledger tells of sessions, API tokens and second factors. No secret is among it: the ledger holds hashes."""

from __future__ import annotations

import dataclasses
from datetime import datetime

NOBODY = "nobody"  # who asks, in entries of those who were not let in


@dataclasses.dataclass(frozen=True, slots=True)
class SessionRecord:
    """Somebody who has signed in.

    Attributes:
        id: what lists and the audit trail call it; no secret.
        roles: those of the account when it began: a session does not outlive one of them.
        by: `password` or `oidc`.
        address: from where it was begun.
        seen_at: when it was last used, to a minute.
        expires_at: when it ends at the latest.
        ended_by: `logout`, `revoked`, `password`, `role`, `disabled`, `idle` or `expired`; None of one that goes on.
    """

    id: str
    user: str
    roles: frozenset[str]
    by: str
    address: str | None
    made_at: datetime
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token by which a program asks on an account's behalf.

    Attributes:
        id: what lists and the audit trail call it; no secret.
        label: what its maker calls it.
        roles, actions, pipelines: what it is limited to; None where it may whatever the account may.
        seen_at: when it was last used, to a minute.
    """

    id: str
    user: str
    label: str
    roles: frozenset[str] | None
    actions: frozenset[str] | None
    pipelines: frozenset[str] | None
    made_at: datetime
    expires_at: datetime
    seen_at: datetime | None
    revoked_at: datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class FactorRecord:
    """An account's second factor.

    Attributes:
        sealed: the TOTP secret, as `access.authentication.totp` seals it.
        key_id: of the key that it is sealed with.
        confirmed_at: since when it is asked for; None while its first code is waited for.
        used_step: the newest time step whose code was used.
        recovery_codes: how many are left.
    """

    user: str
    sealed: bytes = dataclasses.field(repr=False)
    key_id: int
    made_at: datetime
    confirmed_at: datetime | None
    used_step: int
    recovery_codes: int
