"""A ledger on another machine is reached by TLS, and by nothing else unless its settings say so by name.

Only libpq's drivers can be told whose word to take. What they are told stands in the options of each connect, and
comes before what libpq reads from the environment (PGSSLMODE and its like).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import Dialect

from rowkeeper.errors import CertificateUnusable, PlaintextRefused, TLSError
from rowkeeper.ledger.pinning import kept, pinned
from rowkeeper.ledger.places import BY_LIBPQ
from rowkeeper.protocols import WayOut
from rowkeeper.security.tls import TLS, client_context, is_local, store_file
from rowkeeper.security.tls.plaintext import note_plaintext

CHECKED = "verify-full"
OPTION = "rowkeeper_transport"
SAYS_SO = "ROWKEEPER_LEDGER_PLAINTEXT=true"
OF_TLS = ("ssl", "certificate", "tls")


@dataclasses.dataclass(frozen=True, slots=True)
class Transport:
    """How a ledger on another machine is reached.

    Attributes:
        tls: whose word is taken, and what is shown.
        plaintext: it may be reached without TLS, or without checking who answers; each connect is logged.
        what: what is reached, for messages; where its URL stands, where its authority is named, and how it is said that
            plaintext is meant.
    """

    tls: TLS = dataclasses.field(default_factory=TLS)
    plaintext: bool = False
    what: str = "ledger"
    url: str = "ROWKEEPER_LEDGER_URL"
    authority: str = "ROWKEEPER_TLS_CA"
    says_so: str = SAYS_SO


def remember(engine: Engine, transport: Transport | None) -> None:
    """Notes with an engine how its database is reached, for whoever connects it."""
    engine.update_execution_options(**{OPTION: transport or Transport()})


def connect_securely(engine: Engine, transport: Transport, way_out: WayOut | None = None) -> None:
    """Lets every connect of an engine go by it, to checked addresses: of one that `remote.reach` does not connect."""
    remember(engine, transport)

    def connect(dialect: Dialect, _record: object, args: list[Any], options: dict[str, Any]) -> Any:
        demanded = secured(dialect.driver, options, transport)
        return kept(dialect, dialect.connect(*args, **pinned(dialect, demanded, way_out)), way_out)

    event.listen(engine, "do_connect", connect)


def transport_of(engine: Engine) -> Transport:
    """What was noted with it."""
    found: Transport = engine.get_execution_options().get(OPTION) or Transport()
    return found


def secured(driver: str, options: Mapping[str, Any], transport: Transport) -> dict[str, Any]:
    """The options of a connect, with what TLS demands.

    Raises:
        PlaintextRefused: another machine would be reached without TLS, or without checking who answers.
        CertificateUnusable: a file that the settings name cannot be used.
    """
    elsewhere = [each for each in _places(driver, options) if not is_local(each)]
    mode = options.get("sslmode")
    if not elsewhere and mode not in (CHECKED, "verify-ca"):
        return dict(options)
    if transport.plaintext and mode != CHECKED:
        note_plaintext(transport.what, elsewhere[0] if elsewhere else None)
        return dict(options)
    if driver not in BY_LIBPQ:
        raise PlaintextRefused(
            f"the {transport.what} on {elsewhere[0]} would be reached by {driver}, which cannot be told to check "
            "certificates",
            hint=f"write postgresql+psycopg://...; if it must be this driver, say so: {transport.says_so}",
        )
    if elsewhere and mode not in (None, CHECKED):
        raise PlaintextRefused(
            f"the {transport.what} on {elsewhere[0]} would be reached with sslmode={mode}: without TLS, or without "
            "checking who answers",
            hint=f"take sslmode out of {transport.url}, and name its authority in {transport.authority}; if it must be "
            f"so, say so of the {transport.what} by name: {transport.says_so}",
        )
    return _demanded(options, transport, mode or CHECKED)


def _demanded(options: Mapping[str, Any], transport: Transport, mode: str) -> dict[str, Any]:
    """libpq's words for it; those that stand in the URL stay."""
    tls = transport.tls
    if tls.pins:
        raise CertificateUnusable(
            f"the {transport.what}'s driver cannot check pins", hint="name its authority instead: ca="
        )
    client_context(tls)  # refuses files of ours that cannot be used, each with its reason: libpq has no words for it
    words: dict[str, Any] = {
        "sslmode": mode,
        "sslrootcert": str(tls.ca or store_file() or "system"),
        "ssl_min_protocol_version": "TLSv1.2",
        "gssencmode": "disable",  # it would come before TLS, and nobody would look at the certificate
    }
    if tls.crl is not None:
        words["sslcrl"] = str(tls.crl)
    if tls.cert is not None:
        words["sslcert"], words["sslkey"] = str(tls.cert), str(tls.key or tls.cert)
        if tls.passphrase is not None:
            from rowkeeper.security.references import resolve  # noqa: PLC0415 - only where there is one

            words["sslpassword"] = resolve(tls.passphrase).reveal()
    own = {name: value for name, value in options.items() if value and name != "gssencmode"}
    return {**options, **words, **own}


def _places(driver: str, options: Mapping[str, Any]) -> list[str]:
    """The hosts that it would connect to; one that is not known is another machine."""
    environment: Mapping[str, str] = os.environ if driver in BY_LIBPQ else {}
    if options.get("service") or environment.get("PGSERVICE"):
        return ["the service's host"]
    for option, variable in (("hostaddr", "PGHOSTADDR"), ("host", "PGHOST")):
        given = options.get(option) or environment.get(variable)
        if given:
            return str(given).split(",")
    return [] if driver in BY_LIBPQ else ["its host"]  # libpq's default is a Unix socket


def explained(error: BaseException, driver: str, options: Mapping[str, Any], transport: Transport) -> TLSError | None:
    """Why a connect failed, if it was over TLS; None otherwise."""
    words = str(error).lower()
    if driver not in BY_LIBPQ or transport.plaintext or not any(each in words for each in OF_TLS):
        return None
    from rowkeeper.security.tls.postgresql import why_refused  # noqa: PLC0415 - only where it failed

    host = str(options.get("host") or options.get("hostaddr") or os.environ.get("PGHOST") or "").split(",")[0]
    address = str(options.get("hostaddr") or host).split(",")[0]
    port = str(options.get("port") or os.environ.get("PGPORT") or 5432).split(",")[0]
    if not host or host.startswith(("/", "@")):
        return None
    return why_refused(host, address, int(port), transport.tls)
