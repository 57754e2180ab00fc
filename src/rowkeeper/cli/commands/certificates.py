"""`certs`: the private authority, its certificates, and what is to be said of a server's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from rowkeeper.cli.door import DONE, FAILED, json_option, load_settings, out, print_json, tell_of_key
from rowkeeper.cli.findings import show_findings
from rowkeeper.operations.certificates import (
    Certificates,
    certificates,
    found_authority,
    issue_certificate,
    look_at_authority,
    renew_certificates,
    revoke_certificate,
)
from rowkeeper.resilience.calls import Calls
from rowkeeper.runs.reaching import gateway_of
from rowkeeper.runs.secrets import secrets_of

if TYPE_CHECKING:
    from rowkeeper.security.tls.authority import Issued

FILE = click.Path(path_type=Path)
SPOKEN = "What is spoken there before TLS begins."
HOST_HELP = "A name or an address that it is for; several times for several. Default: NAME."


@click.group()
def certs() -> None:
    """A private authority: certificates for servers and clients of one's own, and a look at those of others."""


@contextmanager
def _certificates() -> Iterator[Certificates]:
    with certificates(load_settings()) as opened:
        tell_of_key(opened.state)
        yield opened


@certs.command()
@click.option("--name", default="Rowkeeper private authority", show_default=True, help="What it is called.")
@click.option("--days", type=click.IntRange(61, 36_500), default=3650, show_default=True, help="How long it is valid.")
@click.option("--permit", multiple=True, help="A domain or a network that it may issue for. Default: any.")
@json_option
def init(name: str, days: int, permit: tuple[str, ...], as_json: bool) -> None:
    """Make the authority: its certificate, its key (sealed), and its revocation list."""
    with _certificates() as opened:
        certificate = found_authority(opened, name, days, permit)
        document = {
            "authority": name,
            "ca": str(opened.authority.folder.ca),
            "crl": str(opened.authority.folder.crl),
            "not_after": _moment(certificate.not_valid_after_utc),
        }
    if as_json:
        print_json(document)
        return
    out.print(
        f"made the authority [bold]{escape(name)}[/]: give {escape(str(document['ca']))} to whoever shall trust it"
    )
    out.print("then: rowkeeper certs issue NAME")


@certs.command()
@click.argument("name")
@click.option("--host", "hosts", multiple=True, help=HOST_HELP)
@click.option("--client", is_flag=True, help="For a client that shows it to servers.")
@click.option("--server", is_flag=True, help="For a server; the default without --client.")
@click.option("--days", type=click.IntRange(1, 60), default=60, show_default=True, help="How long it is valid.")
@click.option("--passphrase", help="A reference to what its key is encrypted with: env:NAME or file:PATH.")
@click.option("--replace", is_flag=True, help="Put it in the place of one of that name.")
@json_option
def issue(
    name: str,
    hosts: tuple[str, ...],
    *,
    client: bool,
    server: bool,
    days: int,
    passphrase: str | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Make a certificate and its key."""
    from rowkeeper.security.tls.authority import Wish  # noqa: PLC0415

    uses = [use for use, asked in (("server", server or not client), ("client", client)) if asked]
    with _certificates() as opened:
        made = issue_certificate(opened, name, Wish(hosts or (name,), uses, days, passphrase), replace=replace)
    _tell([made], as_json, "made")


@certs.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--keep-key", is_flag=True, help="Keep the keys, for servers whose key is pinned.")
@json_option
def renew(names: tuple[str, ...], keep_key: bool, as_json: bool) -> None:
    """Renew these certificates, or those that are due, and the revocation list. Servers need no restart."""
    with _certificates() as opened:
        renewed = renew_certificates(opened, names, keep_key=keep_key)
    _tell(renewed, as_json, "renewed")


@certs.command()
@click.argument("name")
@json_option
def revoke(name: str, as_json: bool) -> None:
    """Put every certificate of this name on the revocation list, and take it out of use."""
    with _certificates() as opened:
        serials = revoke_certificate(opened, name)
        crl = str(opened.authority.folder.crl)
    if as_json:
        print_json({"name": name, "revoked": serials, "crl": crl})
        return
    out.print(f"revoked [bold]{escape(name)}[/] ({len(serials)}): whoever looks it up needs {escape(crl)} as it is now")


@certs.command()
@json_option
def show(as_json: bool) -> None:
    """The authority, its certificates, and when they run out."""
    from rowkeeper.security.tls.authority.signing import permitted_by  # noqa: PLC0415

    with _certificates() as opened:
        authority = look_at_authority(opened)
        ca, crl, leaves = authority.certificate, authority.revocations, authority.leaves()
        permitted = permitted_by(ca)
        name = ca.subject.rfc4514_string().removeprefix("CN=")
        document = {
            "authority": name,
            "ca": str(authority.folder.ca),
            "not_after": _moment(ca.not_valid_after_utc),
            "permitted": permitted,
            "crl": str(authority.folder.crl),
            "crl_next_update": None if crl.next_update_utc is None else _moment(crl.next_update_utc),
            "revoked": [f"{each.serial_number:x}" for each in crl],
            "certificates": [_document(each) for each in leaves],
        }
    if as_json:
        print_json(document)
        return
    out.print(f"[bold]{escape(name)}[/]  until {ca.not_valid_after_utc:%Y-%m-%d}  {escape(str(document['ca']))}")
    out.print(f"may issue for {escape(', '.join(permitted) or 'any host')}; {len(list(crl))} revoked")
    _table(leaves)


def _tell(made: Sequence[Issued], as_json: bool, done: str) -> None:
    if as_json:
        print_json({"certificates": [_document(each) for each in made]})
        return
    if not made:
        out.print("no certificate is due; the revocation list was published anew")
    for each in made:
        out.print(
            f"{done} [bold]{escape(each.name)}[/] for {escape(', '.join(each.hosts))}, until {each.not_after:%Y-%m-%d}"
        )
        out.print(f"      certificate {escape(str(each.cert))}\n      key         {escape(str(each.key))}")


def _table(leaves: Sequence[Issued]) -> None:
    for each in leaves:
        days = (each.not_after - datetime.now(UTC)).days
        out.print(
            f"{escape(each.name):<20} {'+'.join(each.uses):<14} {days:>4} days left  {escape(', '.join(each.hosts))}"
        )


def _document(leaf: Issued) -> dict[str, object]:
    return {
        "name": leaf.name,
        "hosts": leaf.hosts,
        "uses": leaf.uses,
        "certificate": str(leaf.cert),
        "key": str(leaf.key),
        "serial": leaf.serial,
        "not_before": _moment(leaf.not_before),
        "not_after": _moment(leaf.not_after),
        "renew_at": _moment(leaf.renew_at),
    }


def _moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


@certs.command()
@click.argument("place", metavar="HOST:PORT")
@click.option("--protocol", type=click.Choice(["tls", "postgresql"]), default="tls", show_default=True, help=SPOKEN)
@click.option("--ca", type=FILE, help="The authorities that are trusted. Default: ROWKEEPER_TLS_CA.")
@click.option("--crl", type=FILE, help="The revocation lists. Default: ROWKEEPER_TLS_CRL.")
@click.option("--cert", type=FILE, help="The client certificate that is shown. Default: ROWKEEPER_TLS_CERT.")
@click.option("--key", type=FILE, help="Its key. Default: ROWKEEPER_TLS_KEY.")
@click.option("--passphrase", help="A reference to the key's passphrase: env:NAME or file:PATH.")
@click.option("--pin", "pins", multiple=True, help="A pin that is expected; several times for several.")
@json_option
def check(place: str, protocol: str, pins: tuple[str, ...], as_json: bool, **files: Path | str | None) -> int:
    """Connect to a server as our clients do, and say what is to be said of its certificate."""
    from rowkeeper.operations.peercheck import Place, examine_peer, way_to  # noqa: PLC0415
    from rowkeeper.security.tls import default_tls  # noqa: PLC0415

    given = {name: value for name, value in files.items() if value is not None}
    named, settings = Place.of(place, protocol), load_settings()
    asked = dataclasses.replace(default_tls(settings), **given, pins=pins)  # type: ignore[arg-type]
    with secrets_of(settings, Calls(), gateway_of(settings)):
        findings = list(examine_peer(named, asked, way_to(named, settings)))
    if as_json:
        print_json({"place": place, "findings": [each.as_dict() for each in findings]})
    else:
        show_findings(findings)
    return DONE if all(each.ok for each in findings) else FAILED
