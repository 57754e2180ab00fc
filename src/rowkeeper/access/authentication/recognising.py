"""Who a request is by: its token, session or certificate looked up in the ledger, as it is there within a second."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NoReturn

from rowkeeper.access.authentication.certificates import Certificates
from rowkeeper.access.authentication.credentials import Credentials, hashed
from rowkeeper.access.authentication.signing_in import not_accepted
from rowkeeper.caller import Caller, Scope
from rowkeeper.errors import AuthenticationRequired, ConfigurationError
from rowkeeper.ledger.signing_in import SessionRecord, SigningIn, TokenRecord
from rowkeeper.ledger.users import LedgerUsers, User
from rowkeeper.security.apitoken import is_token

CACHED_SECONDS = 1.0
REFUSED_EVERY_SECONDS = 60.0  # a token that is over gets an entry in the trail no more often
SEEN_EVERY = timedelta(minutes=1)  # a session that is used is written to the ledger no more often
CACHED_MAX = 10_000
PURPOSE_LENGTH_MAX = 64


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    """Somebody who was recognised.

    Attributes:
        until: by the steady clock: then the ledger is asked again.
        ends: by the wall clock.
    """

    caller: Caller
    until: float
    ends: datetime | None


class Recognition:
    """Recognises callers. For any number of threads.

    Args:
        idle: a session ends that is not used for so long.
        steady: seconds that never go back.
    """

    def __init__(
        self,
        books: SigningIn,
        users: LedgerUsers,
        certificates: Certificates,
        idle: timedelta,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._books = books
        self._users = users
        self._certificates = certificates
        self._idle = idle
        self._steady = steady
        self._known: dict[tuple[str, str], _Known] = {}
        self._noted: dict[str, float] = {}  # tokens that are over: until when their uses are not noted again
        self._turn = threading.Lock()

    def caller(self, credentials: Credentials, purpose: str | None) -> Caller:
        """Who it is.

        Raises AuthenticationRequired if nothing is shown, AuthenticationFailed if it is not accepted.
        """
        remembered = self.remembered(credentials, purpose)
        if remembered is not None:
            return remembered
        kind, shown = _shown(credentials)
        with self._turn:
            generation = self._known
        known = self._recognised(kind, shown, credentials)
        self._keep(generation, kind, shown, known)
        return _asking(known, credentials, _checked(purpose))

    def remembered(self, credentials: Credentials, purpose: str | None) -> Caller | None:
        """Who it is, if that was found out within the last second: waits for nothing. Raises as `caller`."""
        purpose = _checked(purpose)
        known = self._cached(*_shown(credentials))
        return None if known is None else _asking(known, credentials, purpose)

    def forget(self) -> None:
        """The next requests are looked up anew: something was ended or taken away by this process."""
        with self._turn:
            self._known = {}

    # ----------------------------------------------------------------------------------- cache

    def _cached(self, kind: str, shown: str) -> _Known | None:
        known = self._known.get((kind, shown))
        if known is None or self._steady() >= known.until:
            return None
        return None if known.ends is not None and self._books.clock() >= known.ends else known

    def _keep(self, generation: dict[tuple[str, str], _Known], kind: str, shown: str, known: _Known) -> None:
        """Keeps what was read, unless all was forgotten while it was being read."""
        with self._turn:
            if self._known is not generation:
                return
            if len(self._known) >= CACHED_MAX:
                self._known.clear()
            self._known[kind, shown] = known

    # ---------------------------------------------------------------------------------- ledger

    def _recognised(self, kind: str, shown: str, credentials: Credentials) -> _Known:
        until = self._steady() + CACHED_SECONDS  # from before it is read
        if kind == "token":
            caller, ends = self._by_token(shown, credentials.address)
        elif kind == "session":
            caller, ends = self._by_session(shown)
        else:
            assert credentials.client_certificate is not None
            caller, ends = self._by_certificate(credentials.client_certificate)
        return _Known(caller, until, ends)

    def _by_token(self, hash: str, address: str | None) -> tuple[Caller, datetime]:
        found = self._books.tokens.find(hash)
        now = self._books.clock()
        if found is None:
            raise not_accepted()
        user = self._users.find(found.user)
        if found.revoked_at is not None:
            self._refuse(found, "revoked", address)
        if found.expires_at <= now:
            self._refuse(found, "expired", address)
        if user is None or not user.enabled:
            self._refuse(found, "disabled", address)
        if found.seen_at is None or now - found.seen_at >= SEEN_EVERY:
            self._books.tokens.seen(found.id)
        return _caller_of_token(user, found), found.expires_at

    def _refuse(self, token: TokenRecord, why: str, address: str | None) -> NoReturn:
        """With an entry in the trail, but not one for each of many requests: a program tries again and again."""
        now = self._steady()
        with self._turn:
            due = now >= self._noted.get(token.id, now)
            if due:
                self._noted[token.id] = now + REFUSED_EVERY_SECONDS
        if due:
            self._books.tokens.refused(token, why, address or None)
        raise not_accepted()

    def _by_session(self, hash: str) -> tuple[Caller, datetime]:
        found = self._books.sessions.find(hash)
        now = self._books.clock()
        if found is None or found.ended_at is not None or found.expires_at <= now:
            raise not_accepted()
        if now - found.seen_at >= self._idle:
            self._end(found, "idle")
        user = self._enabled(found.user)
        if not found.roles <= user.roles:  # taken away by whatever way, also one that forgot the sessions
            self._end(found, "role")
        if now - found.seen_at >= SEEN_EVERY:
            self._books.sessions.seen(found.id)
        return Caller(user.kind, user.name, roles=user.roles, session=found.id), found.expires_at

    def _by_certificate(self, certificate: bytes) -> tuple[Caller, datetime]:
        name, ends = self._certificates.account_of(certificate)
        user = self._enabled(name)
        return Caller(user.kind, user.name, roles=user.roles), ends

    def _enabled(self, name: str) -> User:
        user = self._users.find(name)
        if user is None or not user.enabled:
            raise not_accepted()
        return user

    def _end(self, session: SessionRecord, by: str) -> None:
        self._books.sessions.end([session.id], by)
        raise not_accepted()


def _asking(known: _Known, credentials: Credentials, purpose: str | None) -> Caller:
    return dataclasses.replace(known.caller, address=credentials.address or None, purpose=purpose)


def _caller_of_token(user: User, token: TokenRecord) -> Caller:
    """With those roles of the token that the account has now."""
    roles = user.roles if token.roles is None else user.roles & token.roles
    limited = token.actions is not None or token.pipelines is not None
    scope = Scope(token.actions, token.pipelines) if limited else None
    return Caller(user.kind, user.name, roles=roles, session=token.id, limited=token.roles is not None, scope=scope)


def _shown(credentials: Credentials) -> tuple[str, str]:
    """What kind of thing is shown, and its hash: no secret is kept in the cache."""
    if credentials.bearer is not None:
        if not is_token(credentials.bearer):  # mistyped, or of somebody else: the ledger need not be asked
            raise not_accepted()
        return "token", hashed(credentials.bearer)
    if credentials.session is not None:
        return "session", hashed(credentials.session)
    if credentials.client_certificate is not None:
        return "certificate", hashed(credentials.client_certificate.hex())
    raise AuthenticationRequired(
        "nobody has signed in", hint="sign in, or send an API token: Authorization: Bearer rkt_..."
    )


def _checked(purpose: str | None) -> str | None:
    if purpose is not None and not (len(purpose) <= PURPOSE_LENGTH_MAX and purpose.isprintable() and purpose.strip()):
        raise ConfigurationError(
            f"a purpose is one word of at most {PURPOSE_LENGTH_MAX} letters", hint="such as billing"
        )
    return purpose
