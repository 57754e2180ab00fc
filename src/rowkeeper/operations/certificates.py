"""What `rowkeeper certs` does with the private authority, for who may, and on the record.

The ledger may be on the very server whose certificate is to be renewed here. Where it is out of reach there are no
roles to ask and no trail to write: the owner of the state folder may, as on one machine, and the log says that no entry
was written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from rowkeeper.access import OwnerOnly, of_installation
from rowkeeper.caller import current_caller
from rowkeeper.errors import (
    AccessDenied,
    DatabaseError,
    DeadlineExceeded,
    EgressRefused,
    NameUnresolved,
    RetryError,
    TLSError,
)
from rowkeeper.ledger.audit import Event
from rowkeeper.logs import failure, logger
from rowkeeper.resilience.deadline import deadline
from rowkeeper.runs.workspace import Workspace, state_folder
from rowkeeper.security.statefolder import StateFolder
from rowkeeper.settings import Settings

if TYPE_CHECKING:
    from cryptography import x509

    from rowkeeper.security.tls.authority import Authority, Issued, Wish

REACHED_SECONDS_MAX = 10.0
OUT_OF_REACH = (DatabaseError, RetryError, TLSError, DeadlineExceeded, NameUnresolved, EgressRefused)
log = logger("certs")


@dataclasses.dataclass(frozen=True, slots=True)
class Certificates:
    """The private authority of a state folder, and who is asked whether the caller may."""

    state: StateFolder
    authority: Authority
    _workspace: Workspace | None

    def require(self, action: str, **on: Any) -> None:
        """Passes if the caller may. Raises AccessDenied."""
        if self._workspace is not None:
            self._workspace.access.require(action, of_installation(), **on)
        elif not OwnerOnly(self.state.path).decide(current_caller(), action, of_installation()).allowed:
            raise AccessDenied(
                f"{current_caller()} may not {action} {of_installation()}",
                hint="the ledger is out of reach: the owner of the state folder alone may",
            )

    def note(self, event: Event) -> None:
        """Puts a change on the record before it is made: certificates are files."""
        if self._workspace is not None:
            self._workspace.ledger.audit.record(event)
        else:
            log.warning("no audit entry, as the ledger is out of reach", operation=event.action)


@contextmanager
def certificates(settings: Settings) -> Iterator[Certificates]:
    """The private authority, whether or not it was founded, with the ledger if that can be reached.

    Raises SecurityError or StateError if the state folder cannot be opened; AuditBroken for a trail that was changed.
    """
    from rowkeeper.security.tls.authority import Authority  # noqa: PLC0415 - not quick to import

    with ExitStack() as opened:
        workspace = _reached(settings, opened)
        state = opened.enter_context(state_folder(settings)) if workspace is None else workspace.folder
        yield Certificates(state, Authority.of(state), workspace)


def _reached(settings: Settings, opened: ExitStack) -> Workspace | None:
    try:
        with deadline(REACHED_SECONDS_MAX):
            return opened.enter_context(Workspace.open(settings))
    except OUT_OF_REACH as error:
        log.warning("ledger out of reach", **failure(error))
        return None


def found_authority(certs: Certificates, name: str, days: int, permitted: Sequence[str]) -> x509.Certificate:
    """Makes the authority, once. Raises AccessDenied; AuthorityError if there is one."""
    certs.require("certificate.change", change="found")
    certs.note(Event("certificate.found", {"authority": name}))
    return certs.authority.found(name, days, permitted)


def issue_certificate(certs: Certificates, name: str, wish: Wish, *, replace: bool) -> Issued:
    """Makes a certificate and its key. Raises AccessDenied; AuthorityError if there is one of that name."""
    certs.require("certificate.change", change="issue", certificate=name)
    on = {"certificate": name, "hosts": list(wish.hosts), "uses": list(wish.uses)}
    certs.note(Event("certificate.issue", on, detail={"days": wish.days, "replace": replace}))
    return certs.authority.issue(name, wish, replace=replace)


def renew_certificates(certs: Certificates, names: Sequence[str], *, keep_key: bool) -> list[Issued]:
    """Renews these, or those that are due. Raises AccessDenied, AuthorityError, CertificateUnusable."""
    certs.require("certificate.change", change="renew")
    certs.note(Event("certificate.renew", {"certificates": list(names) or "due"}))
    return certs.authority.renew(names, keep_key=keep_key)


def revoke_certificate(certs: Certificates, name: str) -> list[str]:
    """Puts every certificate of a name on the revocation list; their serial numbers. Raises AccessDenied."""
    certs.require("certificate.change", change="revoke", certificate=name)
    certs.note(Event("certificate.revoke", {"certificate": name}))
    return certs.authority.revoke(name)


def look_at_authority(certs: Certificates) -> Authority:
    """The authority, to be shown. Raises AccessDenied."""
    certs.require("certificate.list")
    return certs.authority
