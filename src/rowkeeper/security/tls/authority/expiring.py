"""What runs out, and when: certificates and lists that this installation shows or trusts.

The one seam for whoever must know before it happens: `rowkeeper doctor` today, health and alerts later.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from rowkeeper.errors import CertificateUnusable
from rowkeeper.security.tls.authority.authority import Authority
from rowkeeper.security.tls.material import CRL, chain_of, read
from rowkeeper.settings import Settings

AUTHORITY_SOON = timedelta(days=180)
LIST_SOON = timedelta(days=10)
FOREIGN_SOON = timedelta(days=20)


@dataclasses.dataclass(frozen=True, slots=True)
class Expiry:
    """One thing that runs out.

    Attributes:
        what: in words, such as `the certificate web`.
        at: when; None of one that cannot be read, of which `fault` says why.
        soon: from then on somebody should see to it.
        mend: how.
    """

    what: str
    path: Path
    at: datetime | None
    soon: datetime | None
    mend: str
    fault: str = ""


def expiries(authority: Authority, settings: Settings) -> Iterator[Expiry]:
    """All that runs out: the private authority's, and what the settings name."""
    folder = authority.folder
    if folder.ca.exists():
        mend = "move certs/ away, rowkeeper certs init, and give the new ca.pem to whoever trusts it"
        yield from _certificates("the private authority", folder.ca, AUTHORITY_SOON, mend)
        yield from _lists("its revocation list", folder.crl, "rowkeeper certs renew")
        for name in folder.names():
            try:
                leaf = authority.issued(name)
            except CertificateUnusable as error:
                yield Expiry(f"the certificate {name}", folder.cert(name), None, None, error.hint, error.what)
                continue
            yield Expiry(
                f"the certificate {name}", leaf.cert, leaf.not_after, leaf.renew_at, f"rowkeeper certs renew {name}"
            )
    own = {folder.ca, folder.crl, *(folder.cert(each) for each in folder.names())}
    if settings.tls_cert is not None and settings.tls_cert.absolute() not in own:
        mend = "put a new one from its authority into that file"
        yield from _certificates("the client certificate", settings.tls_cert, FOREIGN_SOON, mend)
    if settings.tls_ca is not None and settings.tls_ca.absolute() not in own:
        yield from _certificates("an authority", settings.tls_ca, FOREIGN_SOON, "take it out, or put its successor in")
    if settings.tls_crl is not None and settings.tls_crl.absolute() not in own:
        yield from _lists("a revocation list", settings.tls_crl, "fetch the new one from its authority")
    if settings.server_cert is not None and settings.server_cert.expanduser().absolute() not in own:
        mend = "put a new one from its authority into that file"
        yield from _certificates("the server's certificate", settings.server_cert.expanduser(), FOREIGN_SOON, mend)


def due(authority: Authority, now: datetime) -> list[str]:
    """What of the authority's own `rowkeeper certs renew` would renew now: names of leaves, and `crl.pem`."""
    folder = authority.folder
    if not folder.ca.exists():
        return []
    found = []
    for name in folder.names():
        try:
            if now >= authority.issued(name).renew_at:
                found.append(name)
        except CertificateUnusable:
            continue  # doctor tells of it: there is nothing to renew it from
    if any(each.soon is not None and now >= each.soon for each in _lists("", folder.crl, "")):
        found.append(folder.crl.name)
    return found


def _certificates(what: str, path: Path, before: timedelta, mend: str) -> Iterator[Expiry]:
    """The one in a file that runs out first."""
    try:
        end = min(each.not_valid_after_utc for each in chain_of(path.expanduser(), what))
    except CertificateUnusable as error:
        yield Expiry(what, path, None, None, error.hint, error.what)
    else:
        yield Expiry(what, path, end, end - before, mend)


def _lists(what: str, path: Path, mend: str) -> Iterator[Expiry]:
    try:
        parts = read(path.expanduser(), what).split(CRL)[1:]
        ends = [x509.load_pem_x509_crl(CRL + each).next_update_utc for each in parts]
    except CertificateUnusable as error:
        yield Expiry(what, path, None, None, error.hint, error.what)
        return
    except ValueError:
        yield Expiry(what, path, None, None, mend, f"{what} {path} is damaged")
        return
    known = [each for each in ends if each is not None]
    if known:
        yield Expiry(what, path, min(known), min(known) - LIST_SOON, mend)
