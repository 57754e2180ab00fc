"""The private authority: makes, renews and revokes certificates for servers and clients of one's own.

signing.py      the certificates and revocation lists themselves
folder.py       where they lie, and how one takes the place of another
authority.py    Authority: what `rowkeeper certs` does
expiring.py     what runs out, and when: for doctor, and whoever else must know
"""

from rowkeeper.security.tls.authority.authority import Authority, Issued, Wish
from rowkeeper.security.tls.authority.expiring import Expiry, due, expiries
from rowkeeper.security.tls.authority.folder import CertificateFolder

__all__ = ["Authority", "CertificateFolder", "Expiry", "Issued", "Wish", "due", "expiries"]
