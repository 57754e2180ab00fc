"""What `rowkeeper certs` does: the authority founded, leaves issued, renewed and revoked."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from rowkeeper.errors import AuthorityError, CertificateUnusable, IntegrityError
from rowkeeper.logs import logger
from rowkeeper.security.references import resolve
from rowkeeper.security.sealing import Seal
from rowkeeper.security.statefolder import StateFolder
from rowkeeper.security.tls.authority import signing
from rowkeeper.security.tls.authority.folder import CertificateFolder
from rowkeeper.security.tls.authority.signing import Signer
from rowkeeper.security.tls.material import chain_of, key_of

RENEWED_DAYS_BEFORE = signing.LEAF_DAYS_MAX / 3
PURPOSE = "certificates"
KEY_NAME = "ca.key"

log = logger("network")


def utc_now() -> datetime:
    """The clock of the authority unless a test brings its own."""
    return datetime.now(UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What a leaf shall be.

    Attributes:
        hosts: names and addresses that it is for.
        uses: `server`, `client` or both.
        days: how long it is valid.
        passphrase: a reference to what its key is encrypted with; without, the key is in the clear, 0600.
    """

    hosts: Sequence[str]
    uses: Sequence[str] = ("server",)
    days: int = signing.LEAF_DAYS_MAX
    passphrase: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Issued:
    """A leaf in use.

    Attributes:
        name: under which it is renewed and revoked.
        hosts: that it is for.
        uses: `server`, `client` or both.
        cert: where the certificate is; the path stays when it is renewed.
        key: where its key is.
        serial: in hex.
        renew_at: from then on `rowkeeper certs renew` renews it: when a third of its time is left.
    """

    name: str
    hosts: list[str]
    uses: list[str]
    cert: Path
    key: Path
    serial: str
    not_before: datetime
    not_after: datetime
    renew_at: datetime


class Authority:
    """The private authority of a state folder.

    Args:
        folder: where it lies.
        seal: opens and seals its key.
        now: the clock.
    """

    def __init__(self, folder: CertificateFolder, seal: Seal, now: Callable[[], datetime] = utc_now) -> None:
        self.folder = folder
        self._seal = seal
        self._now = now

    @classmethod
    def of(cls, state: StateFolder, now: Callable[[], datetime] = utc_now) -> Authority:
        """The authority of an opened state folder, whether or not it was founded."""
        path = state.path / "certs"
        return cls(CertificateFolder(path), Seal(state.keysets, PURPOSE, path), now)

    def key_ids(self) -> Counter[int]:
        """With which key of the state folder the authority's own is sealed. Raises IntegrityError."""
        return self._seal.key_ids(KEY_NAME)

    # ------------------------------------------------------------------------------------------- the authority

    def found(self, name: str, days: int = signing.AUTHORITY_DAYS, permitted: Sequence[str] = ()) -> x509.Certificate:
        """Makes the authority, once.

        Raises AuthorityError if there is one.
        """
        with self.folder.alone():
            if self.folder.ca.exists():
                raise AuthorityError(
                    f"there is an authority already: {self.folder.ca}",
                    hint="rowkeeper certs show tells of it; whoever trusts it would not trust another of the same name",
                )
            key = signing.new_key()
            certificate = signing.root(name, key, self._now(), days, permitted)
            self._seal.write(KEY_NAME, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            self._publish(Signer(certificate, key), None, [])
            self.folder.replace(self.folder.ca, certificate.public_bytes(Encoding.PEM))
        log.info("authority founded", file=str(self.folder.ca))
        return certificate

    @property
    def certificate(self) -> x509.Certificate:
        """The authority's own. Raises AuthorityError if it was not founded, CertificateUnusable if it is damaged."""
        if not self.folder.ca.exists():
            raise AuthorityError("there is no authority in this state folder", hint="rowkeeper certs init makes it")
        return chain_of(self.folder.ca, "the authority")[0]

    @property
    def revocations(self) -> x509.CertificateRevocationList:
        """Its list. Raises AuthorityError if it is gone or damaged."""
        try:
            return x509.load_pem_x509_crl(self.folder.crl.read_bytes())
        except (OSError, ValueError) as error:
            raise AuthorityError(
                f"the revocation list {self.folder.crl} is gone or damaged",
                hint="put it back from a backup: what was revoked stands nowhere else",
            ) from error

    def _signer(self) -> Signer:
        """It with its key. Raises AuthorityError: not founded, the key cannot be opened, or is another's."""
        certificate = self.certificate
        try:
            key = load_pem_private_key(self._seal.read(KEY_NAME), None)
        except IntegrityError as error:
            raise AuthorityError(f"the authority's key cannot be opened: {error.what}", hint=error.hint) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise AuthorityError(
                f"the sealed key is not that of {self.folder.ca}", hint="put both back from the same backup"
            )
        return Signer(certificate, key)

    def _publish(
        self, signer: Signer, former: x509.CertificateRevocationList | None, revoked: Sequence[x509.Certificate]
    ) -> None:
        listed = signing.revocations(signer, former, revoked, self._now())
        self.folder.replace(self.folder.crl, listed.public_bytes(Encoding.PEM))

    # --------------------------------------------------------------------------------------------------- leaves

    def issue(self, name: str, wish: Wish, *, replace: bool = False) -> Issued:
        """Makes a leaf and its key.

        Args:
            replace: in the place of one of that name, which is not revoked by it.

        Raises AuthorityError: there is one of that name, or no authority. DeclarationError: a host is none.
        """
        signer = self._signer()
        with self.folder.alone():
            if self.folder.checked(name) in self.folder.names() and not replace:
                raise AuthorityError(
                    f"there is a certificate of the name {name}",
                    hint=f"rowkeeper certs renew {name} renews it; --replace puts another in its place",
                )
            return self._issue(signer, name, wish)

    def _issue(self, signer: Signer, name: str, wish: Wish, key: ec.EllipticCurvePrivateKey | None = None) -> Issued:
        closed: KeySerializationEncryption = NoEncryption()
        if wish.passphrase is not None:
            closed = BestAvailableEncryption(resolve(wish.passphrase).reveal().encode())
        key = key or signing.new_key()
        made = signing.leaf(wish.hosts, wish.uses, key.public_key(), signer, now=self._now(), days=wish.days)
        self.folder.put(
            name,
            made.serial_number,
            made.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, closed),
            {"passphrase": wish.passphrase, "days": wish.days},
        )
        log.info("certificate issued", operation=name, file=str(self.folder.cert(name)))
        return self.issued(name)

    def issued(self, name: str) -> Issued:
        """A leaf in use. Raises AuthorityError if there is none of this name, CertificateUnusable if it is damaged."""
        if self.folder.checked(name) not in self.folder.names():
            known = ", ".join(self.folder.names())
            raise AuthorityError(
                f"there is no certificate of the name {name}",
                hint=f"there are: {known}" if known else f"rowkeeper certs issue {name} makes one",
            )
        path = self.folder.cert(name)
        try:
            found = chain_of(path, "the certificate")[0]
        except CertificateUnusable as error:
            hint = f"rowkeeper certs issue {name} --replace makes it anew"
            raise CertificateUnusable(error.what, hint=hint) from error
        life = found.not_valid_after_utc - found.not_valid_before_utc
        return Issued(
            name=name,
            hosts=signing.names_of(found),
            uses=signing.uses_of(found),
            cert=path,
            key=self.folder.key(name),
            serial=f"{found.serial_number:x}",
            not_before=found.not_valid_before_utc,
            not_after=found.not_valid_after_utc,
            renew_at=found.not_valid_after_utc - min(life / 3, timedelta(days=RENEWED_DAYS_BEFORE)),
        )

    def leaves(self) -> list[Issued]:
        """All in use."""
        return [self.issued(each) for each in self.folder.names()]

    def renew(self, names: Sequence[str] = (), *, keep_key: bool = False) -> list[Issued]:
        """Renews leaves, by the same paths, and publishes the revocation list anew. Servers need no restart.

        Args:
            names: which; without, those of which no more than a third of their time is left.
            keep_key: for servers whose key is pinned; otherwise each gets a new one.

        Raises AuthorityError: one is not there, its key cannot be opened, or the authority itself has run out.
        CertificateUnusable: one is damaged; the others were renewed.
        """
        signer = self._signer()
        if self._now() >= signer.certificate.not_valid_after_utc:
            raise AuthorityError(
                f"the authority itself ran out on {signer.certificate.not_valid_after_utc:%Y-%m-%d}",
                hint="move certs/ away, rowkeeper certs init, and give the new ca.pem to whoever trusts it",
            )
        renewed: list[Issued] = []
        damaged: CertificateUnusable | None = None
        unknown = [name for name in names if self.folder.checked(name) not in self.folder.names()]
        with self.folder.alone():
            for name in unknown or names or self.folder.names():  # an unknown one raises before any is renewed
                try:
                    leaf = self.issued(name)
                except CertificateUnusable as error:
                    damaged = error  # the others are renewed all the same
                    continue
                if names or self._now() >= leaf.renew_at:
                    renewed.append(self._renew(signer, leaf, keep_key=keep_key))
            self._publish(signer, self.revocations, [])
        if damaged is not None:
            raise damaged
        return renewed

    def _renew(self, signer: Signer, leaf: Issued, *, keep_key: bool) -> Issued:
        notes = self.folder.notes(leaf.name)
        wish = Wish(leaf.hosts, leaf.uses, int(notes["days"]), notes["passphrase"])
        return self._issue(signer, leaf.name, wish, self._leaf_key(leaf, wish.passphrase) if keep_key else None)

    @staticmethod
    def _leaf_key(leaf: Issued, passphrase: str | None) -> ec.EllipticCurvePrivateKey:
        key = key_of(leaf.key, None if passphrase is None else resolve(passphrase))
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AuthorityError(f"the key {leaf.key} is not one of ours", hint="renew it without --keep-key")
        return key

    def revoke(self, name: str) -> list[str]:
        """Puts every certificate of a name that has not run out on the list, and takes the leaf out of use.

        Returns their serial numbers, in hex. Raises AuthorityError if there never was one.
        """
        signer = self._signer()
        with self.folder.alone():
            found = [chain_of(each, "the certificate")[0] for each in self.folder.versions(name)]
            if not found:
                raise AuthorityError(
                    f"there never was a certificate of the name {name}", hint="rowkeeper certs show lists them"
                )
            revoked = [each for each in found if each.not_valid_after_utc > self._now()]
            self._publish(signer, self.revocations, revoked)
            self.folder.remove(name)
        serials = [f"{each.serial_number:x}" for each in revoked]
        log.warning("certificates revoked", operation=name, file=str(self.folder.crl))
        return serials
