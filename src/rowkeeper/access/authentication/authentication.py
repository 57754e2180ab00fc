"""Authentication: who a request is by, and how people sign in. The one thing that doors ask."""

from __future__ import annotations

import dataclasses
import functools
import hmac
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Self

from rowkeeper.access.access import Access
from rowkeeper.access.authentication.accounts import Accounts
from rowkeeper.access.authentication.certificates import Bindings, Certificates
from rowkeeper.access.authentication.configured import no_provider
from rowkeeper.access.authentication.credentials import Credentials, NewSession, csrf_of
from rowkeeper.access.authentication.factors import Factors
from rowkeeper.access.authentication.first_user import FirstUser
from rowkeeper.access.authentication.identities import Identities
from rowkeeper.access.authentication.lockout import Lockout
from rowkeeper.access.authentication.oidc import Mapped, Oidc
from rowkeeper.access.authentication.passwords import Passwords
from rowkeeper.access.authentication.provider import Provider
from rowkeeper.access.authentication.recognising import Recognition
from rowkeeper.access.authentication.signing_in import SignIn
from rowkeeper.access.authentication.totp import FactorSeal
from rowkeeper.caller import Caller, current_caller
from rowkeeper.errors import CsrfRefused
from rowkeeper.ledger import Ledger
from rowkeeper.security.keysets import LOGIN, Keysets
from rowkeeper.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """What is set about authentication.

    Attributes:
        idle: a session ends that is not used for so long.
        lasts: a session ends after so long, however it is used.
        client_ca, client_crl: which client certificates count, as files in PEM; without the first none do.
    """

    idle: timedelta = timedelta(minutes=30)
    lasts: timedelta = timedelta(hours=12)
    client_ca: Path | None = None
    client_crl: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say."""
        ca, crl = settings.server_client_ca, settings.server_client_crl
        return cls(
            timedelta(seconds=settings.session_idle_seconds),
            timedelta(seconds=settings.session_seconds_max),
            None if ca is None else ca.expanduser(),
            None if crl is None else crl.expanduser(),
        )


class Authentication:
    """Recognises callers, and lets people in and out. For any number of threads.

    Args:
        provider: makes the identity provider, when it is first needed; None where there is none.
        passwords: how they are hashed; None as is usual, made when it is first needed.
        steady: seconds that never go back.
    """

    def __init__(
        self,
        ledger: Ledger,
        keysets: Keysets,
        access: Access,
        rules: Rules = Rules(),
        *,
        provider: Callable[[], tuple[Provider, Mapped]] | None = None,
        passwords: Passwords | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._keysets = keysets
        self._access = access
        self._rules = rules
        self._given = passwords
        self._provider_of = provider
        books = ledger.signing_in
        certificates = Certificates(books, rules.client_ca, rules.client_crl)
        self._recognition = Recognition(books, ledger.users, certificates, rules.idle, steady)

    def caller(self, credentials: Credentials, purpose: str | None = None) -> Caller:
        """Who a request is by, with the roles of now: what was taken away counts no more within a second.

        Raises AuthenticationRequired if nothing is shown, AuthenticationFailed if it is not accepted.
        """
        return self._recognition.caller(credentials, purpose)

    def remembered(self, credentials: Credentials, purpose: str | None = None) -> Caller | None:
        """The same, if it was found out within the last second: for event loops, as it waits for nothing."""
        return self._recognition.remembered(credentials, purpose)

    def login(self, name: str, password: str, code: str | None, address: str) -> NewSession:
        """Begins a session.

        Raises AuthenticationFailed; SecondFactorRequired if all was right and a code is missing.
        """
        return self._sign_in.login(name, password, code, address)

    def logout(self) -> None:
        """Ends the session of the current caller, if it has one."""
        caller = current_caller()
        if caller.is_session and caller.session is not None:
            self._ledger.signing_in.sessions.end([caller.session], "logout")
            self._recognition.forget()

    def require_csrf(self, session: str, token: str | None) -> None:
        """Passes if a request with a session's cookie has the token that goes with it. Asked of all that change.

        Raises CsrfRefused.
        """
        if token is None or not hmac.compare_digest(csrf_of(session).encode(), token.encode(errors="replace")):
            raise CsrfRefused(
                "the request has not the token that goes with the session", hint="send it as X-CSRF-Token"
            )

    def change_password(self, name: str, new: str, current: str | None = None) -> list[str]:
        """Gives an account another password; see `Accounts.change_password`."""
        return self.accounts.change_password(name, new, current)

    @functools.cached_property
    def accounts(self) -> Accounts:
        """Passwords, API tokens and sessions of accounts."""
        return Accounts(
            self._ledger.signing_in,
            self._ledger.users,
            self._access,
            passwords=self._passwords,
            sign_in=self._sign_in,
            recognition=self._recognition,
        )

    @functools.cached_property
    def factors(self) -> Factors:
        """Second factors of accounts."""
        return Factors(self._ledger.signing_in, self._ledger.users, self.accounts, FactorSeal(self._keysets))

    @functools.cached_property
    def certificates(self) -> Bindings:
        """Which client certificates are which services."""
        return Bindings(self._ledger.signing_in, self._ledger.users, self._access)

    @functools.cached_property
    def first_user(self) -> FirstUser:
        """The first user of a server."""
        return FirstUser(self._ledger.signing_in, self._passwords)

    @functools.cached_property
    def oidc(self) -> Oidc:
        """Signing in at the identity provider. Raises ProviderUnusable if none is set, SettingsError."""
        provider, mapped = self._provider
        return Oidc(self._ledger.signing_in, self._ledger.users, provider, mapped, self._sign_in)

    @functools.cached_property
    def identities(self) -> Identities:
        """Whom of the provider's people accounts are of. What it does raises as `oidc`, once permission is asked."""
        issuer = lambda: self._provider[0].rules.issuer  # noqa: E731 - read when it is needed
        return Identities(self._ledger.signing_in, self._ledger.users, self._access, issuer)

    @functools.cached_property
    def _provider(self) -> tuple[Provider, Mapped]:
        if self._provider_of is None:
            raise no_provider()
        return self._provider_of()

    @functools.cached_property
    def _passwords(self) -> Passwords:
        return self._given or Passwords()

    @functools.cached_property
    def _sign_in(self) -> SignIn:
        books, seal = self._ledger.signing_in, FactorSeal(self._keysets)
        lockout = Lockout(lambda: self._keysets.of(LOGIN).primary.derive("failures to sign in"))
        return SignIn(books, self._passwords, lockout, seal, self._rules.lasts)
