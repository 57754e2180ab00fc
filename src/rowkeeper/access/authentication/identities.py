"""Whom of the identity provider's people an account is of, where an admin says so rather than a claim."""

from __future__ import annotations

from collections.abc import Callable

from rowkeeper.access.access import Access
from rowkeeper.access.authentication.permitting import require_person
from rowkeeper.access.resource import of_user
from rowkeeper.caller import CallerKind
from rowkeeper.errors import CredentialUnfit
from rowkeeper.ledger.signing_in import SigningIn
from rowkeeper.ledger.users import LedgerUsers


class Identities:
    """Binds people of the provider's to accounts.

    Args:
        issuer: gives the provider.
    """

    def __init__(self, books: SigningIn, users: LedgerUsers, access: Access, issuer: Callable[[], str]) -> None:
        self._books = books
        self._users = users
        self._access = access
        self._issuer = issuer

    def of(self, user: str) -> list[str]:
        """The subjects that an account is of. Raises AccessDenied, UnknownUser."""
        self._access.require("user.list", of_user(user))
        self._users.get(user)
        return self._books.oidc.subjects_of(self._issuer(), user)

    def bind(self, user: str, subject: str) -> None:
        """From now on whoever the provider names by this subject (`sub`) signs in to this account.

        Raises AccessDenied, UnknownUser; CredentialUnfit if the account is a service's, or the subject is bound.
        """
        require_person(self._access, user)
        if self._users.get(user).kind is not CallerKind.USER:
            raise CredentialUnfit(f"{user} is a service, and signs in nowhere", hint="rowkeeper tokens make")
        if not subject.strip() or not subject.isprintable() or not self._books.oidc.bind(self._issuer(), subject, user):
            raise CredentialUnfit("this subject is none, or is bound to an account already", hint="loose it there")

    def loose(self, user: str) -> bool:
        """The account is nobody's of the provider's any more. Raises AccessDenied, UnknownUser."""
        require_person(self._access, user)
        self._users.get(user)
        return self._books.oidc.loose(self._issuer(), user)
