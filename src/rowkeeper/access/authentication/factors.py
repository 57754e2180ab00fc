"""Second factors, set up and taken away: enrolled with a secret, in force once a first code has shown that it works."""

from __future__ import annotations

from rowkeeper.access.authentication.accounts import Accounts
from rowkeeper.access.authentication.credentials import hashed
from rowkeeper.access.authentication.totp import (
    Enrolment,
    FactorSeal,
    Sealed,
    enrolment,
    recovery_codes,
    step_of,
)
from rowkeeper.caller import CallerKind
from rowkeeper.errors import CredentialUnfit
from rowkeeper.ledger.signing_in import FactorRecord, SigningIn
from rowkeeper.ledger.users import LedgerUsers


class Factors:
    """Sets up second factors. Who may is asked as for passwords."""

    def __init__(self, books: SigningIn, users: LedgerUsers, accounts: Accounts, seal: FactorSeal) -> None:
        self._books = books
        self._users = users
        self._accounts = accounts
        self._seal = seal

    def find(self, name: str) -> FactorRecord | None:
        """An account's second factor. Raises AccessDenied, UnknownUser."""
        self._accounts.may_see(name)
        self._users.get(name)
        return self._books.factors.find(name)

    def enrol(self, name: str, current: str | None = None) -> Enrolment:
        """A secret for the authenticator; told this once, and not asked for before `confirm`.

        Args:
            current: the password; of somebody who does it for themselves.

        Raises AccessDenied, AuthenticationFailed, UnknownUser; CredentialUnfit if there is a second factor already.
        """
        self._accounts.require(name, current)
        if self._users.get(name).kind is not CallerKind.USER:
            raise CredentialUnfit(f"{name} is a service, and signs in nowhere", hint="rowkeeper tokens make")
        found = self._books.factors.find(name)
        if found is not None and found.confirmed_at is not None:
            raise CredentialUnfit(
                f"{name} has a second factor already", hint=f"rowkeeper users totp {name} --remove takes it away"
            )
        made = enrolment(name)
        sealed = self._seal.seal(name, made.secret)
        self._books.factors.put(name, sealed.data, sealed.key_id)
        while not self._seal.is_newest(sealed.key_id):  # rotated meanwhile: the key may be revoked as unused
            before, sealed = sealed, self._seal.seal(name, made.secret)
            self._books.factors.reseal(name, before.data, sealed.data, sealed.key_id)
        return made

    def confirm(self, name: str, code: str) -> list[str]:
        """From now on codes are asked for. Returns recovery codes, each for one use; told this once.

        Raises AccessDenied, UnknownUser; CredentialUnfit if nothing waits to be confirmed, or the code is wrong.
        """
        self._accounts.require(name, None, grave=False)
        self._users.get(name)
        found = self._books.factors.find(name)
        if found is None or found.confirmed_at is not None:
            raise CredentialUnfit(f"no second factor of {name} waits for its first code", hint="enrol first")
        secret = self._seal.open(name, Sealed(found.sealed, found.key_id))
        step = step_of(secret, code, self._books.clock())
        codes = recovery_codes()
        hashes = [hashed(each.replace("-", "")) for each in codes]
        if step is None or not self._books.factors.confirm(name, step, hashes):
            raise CredentialUnfit(
                "the code is not what the authenticator shows now", hint="see to the clocks of both, and try again"
            )
        return codes

    def remove(self, name: str, current: str | None = None, code: str | None = None) -> bool:
        """Takes a second factor away. Returns whether there was one.

        Args:
            current, code: of somebody who does it for themselves: as at signing in.

        Raises AccessDenied, AuthenticationFailed, SecondFactorRequired, UnknownUser.
        """
        self._accounts.require(name, current, code=code or "")
        self._users.get(name)
        return self._books.factors.remove(name)
