"""All that the ledger keeps of signing in, by subject."""

from __future__ import annotations

from sqlalchemy import Engine

from rowkeeper.ledger.audit import Trail
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.signing_in.admitting import LedgerAdmissions
from rowkeeper.ledger.signing_in.certificates import LedgerCertificates
from rowkeeper.ledger.signing_in.factors import LedgerFactors
from rowkeeper.ledger.signing_in.first_user import LedgerFirstUser
from rowkeeper.ledger.signing_in.oidc import LedgerOidc
from rowkeeper.ledger.signing_in.passwords import LedgerPasswords
from rowkeeper.ledger.signing_in.sessions import LedgerSessions
from rowkeeper.ledger.signing_in.throttles import LedgerThrottles
from rowkeeper.ledger.signing_in.tokens import LedgerTokens


class SigningIn:
    """The books of `access.authentication`; whoever changes something there leaves an audit entry by it.

    Attributes:
        clock: now, UTC: what expires is judged by the clock by which it was made.
    """

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self.clock = clock
        self.admissions = LedgerAdmissions(engine, clock, audit)
        self.certificates = LedgerCertificates(engine, clock, audit)
        self.factors = LedgerFactors(engine, clock, audit)
        self.first_user = LedgerFirstUser(engine, clock, audit)
        self.oidc = LedgerOidc(engine, clock, audit)
        self.passwords = LedgerPasswords(engine, clock, audit)
        self.sessions = LedgerSessions(engine, clock, audit)
        self.throttles = LedgerThrottles(engine, clock)
        self.tokens = LedgerTokens(engine, clock, audit)
