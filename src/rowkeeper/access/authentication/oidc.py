"""Signing in at an identity provider: authorisation code with PKCE, in the browser that began it.

Nothing secret is kept of an attempt. The browser gets a random text in a cookie; nonce and verifier are made from that
and the state, and the ledger holds hashes of both. So an answer that somebody else's browser brings, with a state of
ours and a code of the attacker's, is not accepted: nobody is signed in as somebody else unawares.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rowkeeper.access.authentication.credentials import NewSession, hashed, new_secret
from rowkeeper.access.authentication.first_user import NAME
from rowkeeper.access.authentication.provider import Provider
from rowkeeper.access.authentication.signing_in import SignIn
from rowkeeper.caller import Caller, CallerKind, acting
from rowkeeper.errors import ProviderRefused
from rowkeeper.ledger.signing_in import Proven, SigningIn
from rowkeeper.ledger.users import LedgerUsers, User

OIDC = "oidc"
GOOD_FOR = timedelta(minutes=10)
SUBJECT_LENGTH_MAX = 255
EMAIL, EMAIL_VERIFIED = "email", "email_verified"


@dataclasses.dataclass(frozen=True, slots=True)
class Mapped:
    """Which account somebody of the provider's is, and with which roles.

    Attributes:
        user_claim: what an account is found by at the first time, such as `preferred_username`.
        creates: an account is made for whoever has none.
        roles_claim: what says the roles; None if the provider has no say in them.
        roles: by the claim's values. These roles are given and taken at each signing in; others are left alone.
    """

    user_claim: str
    creates: bool = False
    roles_claim: str | None = None
    roles: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Started:
    """An attempt.

    Attributes:
        url: where the browser is sent.
        browser: for a cookie of it, until it comes back.
    """

    url: str
    browser: str = dataclasses.field(repr=False)


class Oidc:
    """Sends people to the provider, and lets them in with its answer."""

    def __init__(
        self, books: SigningIn, users: LedgerUsers, provider: Provider, mapped: Mapped, sign_in: SignIn
    ) -> None:
        self._books = books
        self._users = users
        self._provider = provider
        self._mapped = mapped
        self._sign_in = sign_in

    @property
    def issuer(self) -> str:
        """The provider."""
        return self._provider.rules.issuer

    def start(self) -> Started:
        """Begins an attempt. Raises ProviderUnusable."""
        state, browser = new_secret(), new_secret()
        digest = hashlib.sha256(_made(browser, "verifier", state).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        url = self._provider.authorize_url(state, _made(browser, "nonce", state), challenge)
        self._books.oidc.begin(hashed(state), hashed(browser), GOOD_FOR)
        return Started(url, browser)

    def finish(
        self, state: str, code: str | None, browser: str, address: str, *, issuer: str | None = None
    ) -> NewSession:
        """Ends an attempt, and begins a session.

        Args:
            state, code: of the provider's answer; without a code it refused.
            browser: of the cookie.
            issuer: of the answer, where it has one (RFC 9207).

        Raises ProviderRefused, ProviderUnusable.
        """
        try:
            user = self._user(state, code, browser, issuer)
        except ProviderRefused as refused:
            why = str(refused.context.get("why", "provider"))
            self._books.admissions.refuse(address, None, why, by=OIDC)
            raise
        begun = self._sign_in.begin(Proven(user, OIDC, address))
        if begun is None:
            self._books.admissions.refuse(address, user, "disabled", by=OIDC)
            raise _refused("disabled")
        return begun

    def _user(self, state: str, code: str | None, browser: str, issuer: str | None) -> str:
        if not self._books.oidc.take(hashed(state), hashed(browser)):
            raise _refused("state")
        if issuer is not None and issuer != self.issuer:
            raise _refused("issuer of the answer")
        if not code:
            raise _refused("no code")
        claims = self._provider.claims(code, _made(browser, "verifier", state), _made(browser, "nonce", state))
        subject = claims["sub"]
        if not (isinstance(subject, str) and 0 < len(subject) <= SUBJECT_LENGTH_MAX):
            raise _refused("sub")
        user = self._known(subject, claims)
        self._set_roles(user, claims)
        return user.name

    # ------------------------------------------------------------------------------ whose account

    def _known(self, subject: str, claims: Mapping[str, Any]) -> User:
        """The account of a subject. A claim finds it at the first time alone: its value may pass to somebody else."""
        bound = self._books.oidc.user_of(self.issuer, subject)
        if bound is not None:
            return self._person(self._users.get(bound))
        name = claims.get(self._mapped.user_claim)
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise _refused("user claim")
        if self._mapped.user_claim == EMAIL and claims.get(EMAIL_VERIFIED) is not True:
            raise _refused("email not verified")
        with acting(Caller(CallerKind.USER, name)):
            user = self._users.find(name)
            if user is None:
                if not self._mapped.creates:
                    raise _refused("no account")
                user = self._users.add(name)
            else:
                self._refuse_taken(user)
            if not self._books.oidc.bind(self.issuer, subject, user.name):
                raise _refused("bound meanwhile")
        return user

    def _refuse_taken(self, user: User) -> None:
        """An account that somebody else signs in to already is not handed over by a name that the provider tells."""
        self._person(user)
        account = self._books.passwords.account(user.name)
        if account is None or account.hash is not None:
            raise _refused("has a password")
        if self._books.oidc.subjects_of(self.issuer, user.name):
            raise _refused("is another's")

    @staticmethod
    def _person(user: User) -> User:
        if user.kind is not CallerKind.USER or not user.enabled:
            raise _refused("disabled" if not user.enabled else "a service")
        return user

    def _set_roles(self, user: User, claims: Mapping[str, Any]) -> None:
        if self._mapped.roles_claim is None:
            return
        told = claims.get(self._mapped.roles_claim)
        listed = told if isinstance(told, list) else [told]
        values = {each for each in listed if isinstance(each, str)}
        wanted = {self._mapped.roles[each] for each in values if each in self._mapped.roles}
        with acting(Caller(CallerKind.USER, user.name)):
            for role in sorted(wanted - user.roles):
                self._users.give(user.name, role)
            for role in sorted((user.roles & set(self._mapped.roles.values())) - wanted):
                self._users.take(user.name, role)


def _made(browser: str, use: str, state: str) -> str:
    """A text that the browser alone makes possible: 43 letters, as RFC 7636 asks of a verifier at least."""
    key = browser.encode(errors="surrogatepass")
    digest = hmac.new(key, f"rowkeeper oidc {use} {state}".encode(errors="surrogatepass"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _refused(why: str) -> ProviderRefused:
    return ProviderRefused(
        "what the identity provider sent is not accepted", hint="sign in again", context={"why": why}
    )
