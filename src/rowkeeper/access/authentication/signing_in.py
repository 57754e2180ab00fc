"""Signing in with a password, and a code where the account has a second factor.

Whatever is wrong, the answer is the same, and takes the same steps in the same order:

1. the attempt is counted against account and address, or found too early;
2. the account is looked up, with its hash and its second factor, in one statement;
3. the password is checked: where there is no account or no password, against a hash of nobody's;
4. a code is checked, where one was sent and there is a second factor;
5. one transaction begins the session, or puts the refusal on the record.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from rowkeeper.access.authentication.credentials import NewSession, csrf_of, hashed, new_id, new_secret
from rowkeeper.access.authentication.lockout import Counted, Lockout
from rowkeeper.access.authentication.passwords import Passwords
from rowkeeper.access.authentication.totp import FactorSeal, Sealed, recovery_hash, step_of
from rowkeeper.errors import AuthenticationFailed, SecondFactorRequired
from rowkeeper.ledger.signing_in import Account, Attempt, Proven, SigningIn

PASSWORD = "password"  # noqa: S105 - what a session began with, and no password
NAME_LENGTH_MAX = 100


def not_accepted() -> AuthenticationFailed:
    """The one answer to whatever is wrong."""
    return AuthenticationFailed("what was shown is not accepted", hint="try again; after several failures, later")


@dataclasses.dataclass(frozen=True, slots=True)
class _Shown:
    """An attempt as far as it has been looked at.

    Attributes:
        why: what is wrong; None if nothing is.
        step, recovery_code: what the code was, if one was sent and is wanted.
    """

    account: Account | None
    counted: Counted
    attempt: Attempt
    why: str | None
    step: int | None = None
    recovery_code: str | None = None


class SignIn:
    """Lets people in.

    Args:
        lasts: how long a session lasts at most.
    """

    def __init__(
        self, books: SigningIn, passwords: Passwords, lockout: Lockout, seal: FactorSeal, lasts: timedelta
    ) -> None:
        self._books = books
        self._passwords = passwords
        self._lockout = lockout
        self._seal = seal
        self._lasts = lasts

    def login(self, name: str, password: str, code: str | None, address: str) -> NewSession:
        """Begins a session.

        Args:
            code: of the authenticator, or a recovery code; None or empty where none was asked for yet.

        Raises AuthenticationFailed; SecondFactorRequired if all was right and a code is missing.
        """
        shown = self._shown(name, password, code or None, address)
        if shown.why == "code missing":
            self._books.throttles.forgive_once([shown.counted.account.key, shown.counted.address.key])
            raise SecondFactorRequired("a code is wanted besides the password", hint="send it as code")
        if shown.why is not None:
            raise self._refused(shown, shown.why, address)
        assert shown.account is not None
        assert shown.account.hash is not None
        outdated = self._passwords.is_outdated(shown.account.hash)
        proven = Proven(
            name,
            PASSWORD,
            address,
            hash=shown.account.hash,
            rehashed=self._passwords.hash(password) if outdated else None,
            step=shown.step,
            recovery_code=shown.recovery_code,
            forgiven_wholly=(shown.counted.account.key,),
            forgiven_once=(shown.counted.address.key,),
            known_as=shown.counted.known_as,
        )
        begun = self.begin(proven)
        if begun is None:  # the code was used before, or account or password were changed just now
            raise self._refused(shown, "code used" if proven.step or proven.recovery_code else "changed", address)
        self._reseal(shown.account)
        return begun

    def begin(self, proven: Proven) -> NewSession | None:
        """Begins a session for somebody who has proved who they are; None if that no longer holds."""
        secret, id = new_secret(), new_id("s")
        record = self._books.admissions.admit(proven, id, hashed(secret), self._lasts)
        return None if record is None else NewSession(id, record.user, secret, csrf_of(secret), record.expires_at)

    def prove(self, name: str, password: str, address: str, code: str | None = None) -> None:
        """Asks somebody who has a session for the password once more, before what is grave.

        Args:
            code: of the second factor, or a recovery code; None where it is not asked for.

        Raises AuthenticationFailed; failures count as at signing in.
        """
        shown = self._shown(name, password, code, address)
        if shown.why not in (None, "code missing") or (shown.why and code is not None):
            raise self._refused(shown, str(shown.why), address)
        if code is not None and not self._books.factors.use(name, shown.step, shown.recovery_code):
            raise self._refused(shown, "code used", address)
        self._books.throttles.forgive_once([shown.counted.account.key, shown.counted.address.key])

    def end_waiting(self, name: str) -> None:
        """Forgets the failures of an account that has been given another password."""
        self._books.throttles.forget([self._lockout.counted(name, "", known=False).account.key])

    def _shown(self, name: str, password: str, code: str | None, address: str) -> _Shown:
        counted = self._lockout.counted(name, address, known=self._is_known(name, address))
        attempt = self._books.throttles.attempt([counted.account, counted.address])
        account = self._books.passwords.account(name) if len(name) <= NAME_LENGTH_MAX else None
        right = self._passwords.is_right(account.hash if account else None, password)
        if attempt.early:
            return _Shown(account, counted, attempt, "early")
        if account is None:
            return _Shown(account, counted, attempt, "unknown")
        if not account.enabled:
            return _Shown(account, counted, attempt, "disabled")
        if not right:
            return _Shown(account, counted, attempt, "password")
        return self._with_code(account, counted, attempt, code)

    def _with_code(self, account: Account, counted: Counted, attempt: Attempt, code: str | None) -> _Shown:
        if account.sealed is None or account.key_id is None:
            return _Shown(account, counted, attempt, None)
        if code is None:
            return _Shown(account, counted, attempt, "code missing")
        recovery = recovery_hash(code)
        if recovery is not None:
            return _Shown(account, counted, attempt, None, recovery_code=recovery)
        secret = self._seal.open(account.name, Sealed(account.sealed, account.key_id))
        step = step_of(secret, code, self._books.clock())
        return _Shown(account, counted, attempt, None if step is not None else "code", step=step)

    def _is_known(self, name: str, address: str) -> bool:
        return self._books.throttles.is_known(self._lockout.known_as(name, address))

    def _refused(self, shown: _Shown, why: str, address: str) -> AuthenticationFailed:
        user = shown.account.name if shown.account else None
        locked = shown.attempt.locked.get(shown.counted.account.key)
        self._books.admissions.refuse(address, user, why, locked)
        return not_accepted()

    def _reseal(self, account: Account) -> None:
        """A secret that an older key seals is sealed with today's, so that the older one can be revoked some day."""
        if account.sealed is None or account.key_id is None or self._seal.is_newest(account.key_id):
            return
        secret = self._seal.open(account.name, Sealed(account.sealed, account.key_id))
        sealed = self._seal.seal(account.name, secret)
        self._books.factors.reseal(account.name, account.sealed, sealed.data, sealed.key_id)
