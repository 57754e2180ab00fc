"""What can be set up for an account: password, second factor, API tokens; and its sessions. Each is asked for first.

People do it for themselves in a session, and have to give their password once more for what is grave. Whoever may
`user.change` does it for others. A token or a certificate sets up nothing: whoever steals one gains no other.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import timedelta

from rowkeeper.access.access import Access
from rowkeeper.access.actions import ACTIONS
from rowkeeper.access.authentication.credentials import NewToken, hashed, new_id
from rowkeeper.access.authentication.passwords import Passwords, refuse_weak
from rowkeeper.access.authentication.permitting import require_person
from rowkeeper.access.authentication.recognising import Recognition
from rowkeeper.access.authentication.signing_in import SignIn
from rowkeeper.access.resource import of_user
from rowkeeper.caller import CallerKind, current_caller
from rowkeeper.errors import CredentialUnfit, TokenUnfit
from rowkeeper.ledger.signing_in import SessionRecord, SigningIn, TokenRecord
from rowkeeper.ledger.users import LedgerUsers, User
from rowkeeper.nearest import did_you_mean
from rowkeeper.security.apitoken import new_token

LABEL_LENGTH_MAX = 100
TOKEN_DAYS_MAX = 366
ID = re.compile(r"[st]_[0-9a-f]{16}", re.ASCII)


class Accounts:
    """Sets up how accounts are recognised."""

    def __init__(
        self,
        books: SigningIn,
        users: LedgerUsers,
        access: Access,
        *,
        passwords: Passwords,
        sign_in: SignIn,
        recognition: Recognition,
    ) -> None:
        self._books = books
        self._users = users
        self._access = access
        self._passwords = passwords
        self._sign_in = sign_in
        self._recognition = recognition

    # -------------------------------------------------------------------------------- passwords

    def change_password(self, name: str, new: str, current: str | None = None) -> list[str]:
        """Gives an account another password. All its sessions end, this one too.

        Args:
            current: the password so far; of somebody who changes their own.

        Returns the ids of the sessions that ended. Raises PasswordUnfit, AuthenticationFailed, AccessDenied,
        UnknownUser, CredentialUnfit of a service.
        """
        self.require(name, current)
        if self._users.get(name).kind is not CallerKind.USER:
            raise CredentialUnfit(f"{name} is a service, and has no password", hint="rowkeeper tokens make")
        refuse_weak(new, name)
        ended = self._books.passwords.change(name, self._passwords.hash(new))
        self._sign_in.end_waiting(name)
        self._recognition.forget()
        return ended

    # --------------------------------------------------------------------------------- sessions

    def sessions(self, name: str) -> list[SessionRecord]:
        """An account's sessions, the newest first. Raises AccessDenied, UnknownUser."""
        self.may_see(name)
        self._users.get(name)
        return self._books.sessions.of(name)

    def revoke_sessions(self, name: str, ids: Collection[str] | None = None) -> list[str]:
        """Ends an account's sessions, or some of them. Returns the ids of those that ended.

        Raises AccessDenied, UnknownUser.
        """
        self.require(name, None, grave=False)
        self._users.get(name)
        if ids is None:
            ended = self._books.sessions.end_all(name, "revoked")
        else:
            own = {each.id for each in self._books.sessions.of(name)}
            ended = self._books.sessions.end(own & set(ids), "revoked")
        self._recognition.forget()
        return ended

    # ----------------------------------------------------------------------------------- tokens

    def tokens(self, name: str | None = None) -> list[TokenRecord]:
        """All API tokens, or an account's, the newest first. Raises AccessDenied, UnknownUser."""
        if name is None:
            found = self._books.tokens.all()
            return [each for each in found if self._sees(each.user)]
        self.may_see(name)
        self._users.get(name)
        return self._books.tokens.all(name)

    def make_token(
        self,
        name: str,
        label: str,
        lasts: timedelta,
        *,
        roles: Collection[str] | None = None,
        actions: Collection[str] | None = None,
        pipelines: Collection[str] | None = None,
    ) -> NewToken:
        """Makes an API token for an account.

        Args:
            roles: to which of the account's roles it is limited; None does not limit it.
            actions, pipelines: to which it is limited besides.

        Raises TokenUnfit, AccessDenied, UnknownUser.
        """
        self.require(name, None, grave=False)
        user = self._users.get(name)
        _refuse_unfit(user, label, lasts, roles, actions)
        text, now = new_token(secrets.randbelow), self._books.clock()
        record = TokenRecord(
            new_id("t"), name, label, _set(roles), _set(actions), _set(pipelines), now, now + lasts, None, None
        )
        self._books.tokens.add(record, hashed(text))
        return NewToken(text, record)

    def revoke_token(self, id: str, name: str | None = None) -> TokenRecord:
        """Revokes a token.

        Args:
            name: the account that it has to be of; None if of any.

        Raises TokenUnfit if there is none, or none that the caller may know of.
        """
        found = {each.id: each for each in self._books.tokens.all(name) if self._sees(each.user)}.get(id)
        if found is None:
            raise TokenUnfit("there is no token of this id", hint="rowkeeper tokens list")
        self.require(found.user, None, grave=False)
        self._books.tokens.revoke([id])
        self._recognition.forget()
        return next(each for each in self._books.tokens.all(found.user) if each.id == id)

    # ------------------------------------------------------------------------------- permission

    def require(self, name: str, current: str | None, *, grave: bool = True, code: str | None = None) -> None:
        """Passes if the caller may set something up for an account.

        Args:
            current: the password, if it was given.
            grave: people have to give it for themselves.
            code: of the second factor; None where it is not asked for.

        Raises AccessDenied, AuthenticationFailed.
        """
        caller = current_caller()
        own = caller.kind is CallerKind.USER and caller.name == name and caller.is_session
        if not own:
            require_person(self._access, name)
        elif grave:
            self._sign_in.prove(name, current or "", caller.address or "", code)

    def may_see(self, name: str) -> None:
        """Passes if the caller may know of an account. Raises AccessDenied."""
        if not self._is_own(name):
            self._access.require("user.list", of_user(name))

    def _sees(self, name: str) -> bool:
        return self._is_own(name) or self._access.may("user.list", of_user(name))

    @staticmethod
    def _is_own(name: str) -> bool:
        caller = current_caller()
        return caller.name == name and caller.is_session


def _set(names: Collection[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _refuse_unfit(
    user: User, label: str, lasts: timedelta, roles: Collection[str] | None, actions: Collection[str] | None
) -> None:
    if not user.enabled:
        raise TokenUnfit(f"{user.name} is disabled", hint=f"rowkeeper users enable {user.name}")
    if not (label.strip() and label.isprintable() and len(label) <= LABEL_LENGTH_MAX):
        raise TokenUnfit(f"a token's label has 1 to {LABEL_LENGTH_MAX} letters", hint="such as nightly load")
    if not timedelta(minutes=1) <= lasts <= timedelta(days=TOKEN_DAYS_MAX):
        raise TokenUnfit(f"a token lasts a minute to {TOKEN_DAYS_MAX} days", hint="--days 90")
    for role in sorted(set(roles or ()) - user.roles):
        raise TokenUnfit(
            f"{user.name} has no role {role}", hint=did_you_mean(role, sorted(user.roles), "rowkeeper users list")
        )
    for action in sorted(set(actions or ()) - set(ACTIONS)):
        raise TokenUnfit(
            f"there is no action {action}", hint=did_you_mean(action, sorted(ACTIONS), "rowkeeper tokens make --help")
        )
