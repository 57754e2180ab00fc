"""A clickhouse-connect client for one replica: the ordinary driver, over connections that are made by the way out."""

from __future__ import annotations

import socket
import time
from typing import Any

import clickhouse_connect
import urllib3
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ProgrammingError

from rowkeeper.destinations.embedded.client import ANSWER_SECONDS_MAX
from rowkeeper.destinations.mergetree.oneplace import OnePlace
from rowkeeper.destinations.server.errors import REFUSALS, NoReplica
from rowkeeper.destinations.server.place import Place, Server
from rowkeeper.errors import DeadlineExceeded, ServerUnauthorised
from rowkeeper.protocols import Site
from rowkeeper.resilience.sockets import bounded, bounded_tls
from rowkeeper.security.references import resolve
from rowkeeper.security.tls import TLS, client_context, is_local, require_tls, secure

CONNECT_SECONDS_MAX = 10.0
# A server closes connections that nobody uses, after 10 s by default; one that is closed just then looks like a
# statement whose outcome is not known.
IDLE_SECONDS_MAX = 3.0
# A peer that is gone without a word is known after a minute and a half; one that is silent because it works is not
# given up.
KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 6))


class _Connection(urllib3.connection.HTTPConnection):
    """Made by the way out; secured by us, not by urllib3, which takes it for an ordinary one."""

    def __init__(self, place: Place, site: Site, tls: TLS | None) -> None:
        super().__init__(place.host, place.port)
        self._place, self._site, self._tls = place, site, tls
        self.used_at = time.monotonic()

    def _new_conn(self) -> Any:
        assert self._site.way_out is not None, "a server is reached from a workspace only"
        try:
            line = self._site.way_out.connect(self._place.host, self._place.port, seconds_max=CONNECT_SECONDS_MAX)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # head and body go out one after the other
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEPALIVE:
                line.setsockopt(socket.IPPROTO_TCP, option, value)
            if not self._place.secure:
                return bounded(line)
            bounded_tls(client_context(self._tls))  # the one that `secure` takes as well
            line.settimeout(CONNECT_SECONDS_MAX)
            return secure(line, self._place.host, self._tls)
        except DeadlineExceeded:
            raise
        except OSError as error:
            raise NoReplica(f"no connection to {self._place}") from error


class _Pool(urllib3.HTTPConnectionPool):
    def __init__(self, place: Place, site: Site, tls: TLS | None) -> None:
        super().__init__(place.host, place.port, maxsize=4)
        self._made_with = (place, site, tls)

    def _new_conn(self) -> Any:
        return _Connection(*self._made_with)

    def _get_conn(self, timeout: float | None = None) -> Any:
        line: Any = super()._get_conn(timeout)
        if time.monotonic() - line.used_at > IDLE_SECONDS_MAX:
            line.close()
        line.used_at = time.monotonic()
        return line

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.used_at = time.monotonic()
        super()._put_conn(conn)


def connected(site: Site, server: Server, place: Place, settings: dict[str, Any]) -> Client:
    """One try to connect to one replica, as the server's user.

    Args:
        settings: sent with every statement.

    Raises what the driver raises; ServerUnauthorised for a user who may not set them; PlaintextRefused, EgressRefused,
    TLSError, SecretUnavailable.
    """
    require_tls(
        f"{'https' if place.secure else 'http'}://{place}",
        plaintext=server.plaintext,
        name="the ClickHouse server",
        setting="plaintext=True, or ROWKEEPER_CLICKHOUSE_PLAINTEXT=true",
    )
    assert site.way_out is not None, "a server is reached from a workspace only"
    tls = server.tls or site.default_tls
    declared = Site(
        home=site.home,
        disk_keys=site.disk_keys,
        ledger_id=site.ledger_id,
        way_out=site.way_out.declaring(server.endpoints()),
    )
    pool = OnePlace(lambda: _Pool(place, declared, tls), retries=False, redirect=False)
    try:
        return clickhouse_connect.get_client(
            host=place.host,
            port=place.port,
            interface="http",  # as far as the driver knows: TLS is within the connection
            pool_mgr=pool,
            compress=False if is_local(place.host) else "lz4",
            query_retries=0,
            send_receive_timeout=ANSWER_SECONDS_MAX,
            autogenerate_session_id=False,
            autogenerate_query_id=True,
            show_clickhouse_errors=True,
            settings=settings,
            **_who(server, tls),
        )
    except ProgrammingError as error:  # said by the driver: the server told it which settings this user may not have
        pool.clear()
        raise ServerUnauthorised(
            f"the user {server.user} of the ClickHouse server {server.name} may not have the settings that are needed",
            hint="its profile is read only, or has constraints: docs/clickhouse-server.md lists what is set",
        ) from error
    except REFUSALS:
        pool.clear()
        raise


def _who(server: Server, tls: TLS | None) -> dict[str, Any]:
    """By password; by the client certificate where there is one and no password."""
    if server.password is not None:
        return {"username": server.user, "password": resolve(server.password).reveal()}
    if server.places[0].secure and tls is not None and tls.cert is not None:
        return {"headers": {"X-ClickHouse-User": server.user, "X-ClickHouse-SSL-Certificate-Auth": "on"}}
    return {"username": server.user, "password": ""}
