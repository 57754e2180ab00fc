"""Who may set up how an account of somebody else is recognised."""

from __future__ import annotations

from rowkeeper.access.access import Access
from rowkeeper.access.resource import of_user
from rowkeeper.caller import CallerKind, current_caller
from rowkeeper.errors import AuthenticationRequired


def require_person(access: Access, user: str) -> None:
    """Passes if the caller may `user.change`, and is no token and no certificate.

    Raises AccessDenied, AuthenticationRequired.
    """
    access.require("user.change", of_user(user))
    caller = current_caller()
    if caller.kind is not CallerKind.OS_USER and not caller.is_session:
        raise AuthenticationRequired(
            "how somebody is recognised is not set up by a token or a certificate", hint="sign in with a password"
        )
