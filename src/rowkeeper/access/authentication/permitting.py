"""Who may set up how an account of somebody else is recognised."""

from __future__ import annotations

from rowkeeper.access.access import Access
from rowkeeper.access.resource import of_user
from rowkeeper.caller import CallerKind, current_caller
from rowkeeper.errors import AccessDenied


def require_person(access: Access, user: str) -> None:
    """Passes if the caller may `user.change`, and is no token and no certificate. Raises AccessDenied."""
    caller = current_caller()
    if caller.kind is not CallerKind.OS_USER and not caller.is_session:
        raise AccessDenied(
            f"{caller} may not set up how somebody is recognised by a token or a certificate",
            hint="sign in with a password",
        )
    access.require("user.change", of_user(user))
