"""Files of ours that cannot be used: each is refused before anything is connected, with what is wrong and the mend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from rowkeeper.errors import CertificateUnusable, DeclarationError, SettingsError
from rowkeeper.resilience.classifying import DEFAULT
from rowkeeper.resilience.outcomes import Effect, Outcome
from rowkeeper.security.tls import TLS, client_context, default_tls, server_context
from rowkeeper.settings import Settings
from tests.security.tls import workshop
from tests.security.tls.workshop import Made


@pytest.fixture(scope="module")
def root() -> Made:
    return workshop.authority()


def write(path: Path, data: bytes | str, mode: int = 0o600) -> Path:
    path.touch(mode)
    path.chmod(mode)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def pair(made: Made, folder: Path, name: str = "own") -> dict[str, Path]:
    cert, key = made.write(folder, name)
    return {"cert": cert, "key": key}


def without_key(root: Made, at: Path) -> TLS:
    return TLS(cert=pair(root.leaf(), at)["cert"])


def key_missing(root: Made, at: Path) -> TLS:
    return TLS(cert=pair(root.leaf(), at)["cert"], key=at / "none.key")


def key_of_another(root: Made, at: Path) -> TLS:
    return TLS(cert=pair(root.leaf(), at)["cert"], key=pair(root.leaf(), at, "other")["key"])


def key_open(root: Made, at: Path) -> TLS:
    files = pair(root.leaf(), at)
    files["key"].chmod(0o640)
    return TLS(**files)


def key_encrypted(root: Made, at: Path) -> TLS:
    cert, key = root.leaf().write(at, "own", "open sesame")
    return TLS(cert=cert, key=key)


def wrong_passphrase(root: Made, at: Path) -> TLS:
    cert, key = root.leaf().write(at, "own", "open sesame")
    write(at / "passphrase", "canary-passphrase")
    return TLS(cert=cert, key=key, passphrase=f"file:{at / 'passphrase'}")


def no_passphrase(root: Made, at: Path) -> TLS:
    cert, key = root.leaf().write(at, "own", "open sesame")
    return TLS(cert=cert, key=key, passphrase="env:ROWKEEPER_TEST_NOT_THERE")


def key_damaged(root: Made, at: Path) -> TLS:
    files = pair(root.leaf(), at)
    files["key"].write_bytes(files["key"].read_bytes().replace(b"M", b"N"))
    return TLS(**files)


def bit_flipped(root: Made, at: Path) -> TLS:
    files = pair(root.leaf(), at)
    text = bytearray(files["cert"].read_bytes())
    text[100] = ord("A") if text[100] != ord("A") else ord("B")
    files["cert"].write_bytes(text[: len(text) // 2])
    return TLS(**files)


FAULTS: dict[str, tuple[Callable[[Made, Path], TLS], str, str]] = {
    "certificate without its key": (without_key, "holds no key", "give key="),
    "key that is not there": (key_missing, "cannot be read: No such file", "put it there"),
    "key of another certificate": (key_of_another, "is not the key of the certificate", "made together"),
    "key open to others": (key_open, "is open to others (mode 0640)", "chmod 600"),
    "key encrypted": (key_encrypted, "is encrypted, and no passphrase was given", "env:NAME"),
    "wrong passphrase": (wrong_passphrase, "the passphrase does not open the key", "reference"),
    "no passphrase there": (no_passphrase, "ROWKEEPER_TEST_NOT_THERE", "put"),
    "key damaged": (key_damaged, "is damaged", "copy"),
    "certificate damaged": (bit_flipped, "is damaged", "source"),
    "certificate that is none": (
        lambda root, at: TLS(cert=write(at / "own.pem", "nothing")),
        "holds no certificate in PEM",
        "openssl x509 -inform der",
    ),
    "own certificate expired": (
        lambda root, at: TLS(**pair(root.leaf(begins=-90, ends=-1), at)),
        "expired on",
        "renew",
    ),
    "own certificate of tomorrow": (
        lambda root, at: TLS(**pair(root.leaf(begins=1, ends=2), at)),
        "is not valid before",
        "clock",
    ),
    "own certificate weak": (
        lambda root, at: TLS(**pair(root.leaf(key=workshop.weak_rsa()), at)),
        "is weak: its RSA key has 1024 bits",
        "strong key",
    ),
    "CA bundle not there": (lambda root, at: TLS(ca=at / "none.pem"), "none.pem cannot be read", "put it there"),
    "CA bundle a folder": (lambda root, at: TLS(ca=at), "cannot be read: Is a directory", "name the file"),
    "CA bundle empty": (lambda root, at: TLS(ca=write(at / "ca.pem", "")), "holds no certificate", "DER"),
    "CA bundle in DER": (
        lambda root, at: TLS(ca=write(at / "ca.der", root.certificate.public_bytes(Encoding.DER))),
        "holds no certificate in PEM",
        "openssl x509 -inform der",
    ),
    "list empty": (lambda root, at: TLS(crl=write(at / "crl.pem", "")), "holds none in PEM", "openssl crl -inform der"),
    "list damaged": (
        lambda root, at: TLS(crl=write(at / "crl.pem", root.crl().replace(b"M", b"N"))),
        "is damaged",
        "fetch it again",
    ),
    "list that would add an authority": (
        lambda root, at: TLS(crl=write(at / "crl.pem", root.crl() + root.pem)),
        "would be trusted by its side",
        "CA bundle",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_used_is_refused(fault: str, root: Made, tmp_path: Path):
    """One clear error that names the file; nothing of a secret in it; not tried again."""
    make, what, mend = FAULTS[fault]
    with pytest.raises(CertificateUnusable) as caught:
        client_context(make(root, tmp_path))
    error = caught.value
    assert what in error.what
    assert mend in error.hint
    assert "canary" not in error.what + error.hint
    assert str(tmp_path) in error.what or "env:" in error.what
    assert DEFAULT.judge(error, Effect.READ).outcome is Outcome.PERMANENT


def test_a_context_is_kept_until_a_file_changes(root: Made, tmp_path: Path):
    """Equal declarations share one; a file that is replaced, or written in place, brings a new one."""
    ca = root.write(tmp_path, "ca")[0]
    first = client_context(TLS(ca=ca))
    assert client_context(TLS(ca=str(ca))) is first
    ca.write_bytes(workshop.authority().pem)
    second = client_context(TLS(ca=ca))
    assert second is not first
    other = write(tmp_path / "other.pem", root.pem)
    other.replace(ca)
    assert client_context(TLS(ca=ca)) is not second


def test_a_server_that_asks_for_clients_names_whose(root: Made, tmp_path: Path):
    """Any public authority's certificate would do otherwise."""
    files = pair(root.leaf(), tmp_path)
    with pytest.raises(CertificateUnusable, match="no authority is named"):
        server_context(files["cert"], files["key"], clients=TLS())


PIN = "sha256/" + "A" * 43 + "="


@pytest.mark.parametrize(
    "text", [PIN, PIN.removeprefix("sha256/"), "sha256//" + "A" * 43 + "=", "00" * 32, ":".join(["00"] * 32)]
)
def test_a_pin_may_be_written_in_many_ways(text: str):
    """As here, as curl has it, and as openssl prints digests."""
    assert TLS(pins=[text]).pins == (PIN,)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"pins": ["sha256/abc"]}, "is no pin"),
        ({"pins": ["sha1/" + "A" * 27 + "="]}, "is no pin"),
        ({"pins": PIN}, "pins is one text"),
        ({"key": "a.key"}, "a key or a passphrase without a certificate"),
        ({"passphrase": "env:A"}, "a key or a passphrase without a certificate"),
    ],
)
def test_a_wrong_declaration_is_refused(arguments: dict[str, object], what: str):
    """When it is made, not when it is used."""
    with pytest.raises(DeclarationError, match=what):
        TLS(**arguments)


def test_the_settings_are_the_default(tmp_path: Path):
    """Each has its place in it; a key alone is refused as the setting that it is."""
    settings = Settings(
        home=tmp_path, tls_ca="/ca", tls_cert="/cert", tls_key="/key", tls_key_passphrase="env:P", tls_crl="/crl"
    )
    assert default_tls(settings) == TLS(ca="/ca", cert="/cert", key="/key", passphrase="env:P", crl="/crl")
    with pytest.raises(SettingsError, match="without a certificate"):
        default_tls(Settings(home=tmp_path, tls_key="/key"))
