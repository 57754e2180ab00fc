"""A server that is short of something, or goes away: what is said again, what is looked up, what is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.errors import (
    CertificateRefused,
    ClientCertificateRefused,
    DatabaseError,
    DeadlineExceeded,
    PlaintextRefused,
    SecretUnavailable,
    ServerAway,
    ServerDown,
    ServerMemory,
    ServerUnauthorised,
)
from rowkeeper.protocols import Change, Site
from rowkeeper.resilience.deadline import deadline
from rowkeeper.security.tls import TLS
from rowkeeper.testing.cutting import Cutter
from tests.destinations.server.serving import MEMORY, TOO_MANY_PARTS, UNAVAILABLE, Front, serving
from tests.destinations.server.tables import load, rows, session, staged
from tests.security.tls.workshop import Use, authority


@pytest.fixture(autouse=True)
def calm(front: Front) -> Iterator[None]:
    front.disarm()
    yield
    front.disarm()


def test_too_many_parts_is_waited_for(front: Front, site: Site):
    """TOO_MANY_PARTS is throttling: the insert is said again, and its rows are there once."""
    with session(site, front.url(), "parts") as table:
        table.prepare()
        table.stage_open(1, 1)
        front.arm("^INSERT INTO", 2, **TOO_MANY_PARTS)
        table.stage(rows(0, 50))
        assert front.left() == []
        assert staged(table) == 50


def test_an_insert_that_is_too_much_for_the_memory_is_made_in_pieces(front: Front, site: Site):
    """MEMORY_LIMIT_EXCEEDED halves the insert, as often as it takes: every row is there once."""
    with session(site, front.url(), "memory") as table:
        table.prepare()
        table.stage_open(1, 1)
        front.arm("^INSERT INTO", 1_000, above_bytes=20_000, **MEMORY)
        table.stage(rows(0, 20_000))
        assert staged(table) == 20_000
        inserts = [each for each in front.said() if each.startswith("INSERT INTO")]
        assert 4 <= len(inserts) <= 32


def test_an_insert_that_no_piece_of_fits_is_one_clear_error(front: Front, site: Site):
    """The halving ends, with an error of its own, and nothing of the insert is left."""
    with session(site, front.url(), "hopeless") as table:
        table.prepare()
        table.stage_open(1, 1)
        front.arm("^INSERT INTO", 1_000, **MEMORY)
        with pytest.raises(ServerMemory) as refusal:
            table.stage(rows(0, 64))
        assert staged(table) == 0
        assert 900 < front.left()[0]["times"] < 1_000
        assert "more memory than it may take" in refusal.value.what


@pytest.mark.parametrize("cut", ["before", "after"])
def test_an_insert_whose_answer_is_lost_is_looked_up(front: Front, site: Site, cut: str):
    """Whether the connection broke before the insert or after it, its rows are there once."""
    with session(site, front.url(), f"insert_{cut}") as table:
        table.prepare()
        table.stage_open(1, 1)
        front.arm("^INSERT INTO", cut=cut)
        table.stage(rows(0, 50))
        assert staged(table) == 50
        assert len([each for each in front.said() if each.startswith("INSERT INTO")]) == 1


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_publish_whose_answer_is_lost_is_looked_up(front: Front, site: Site, cut: str):
    """The commit point itself: the exchange is run once, whichever way its answer was lost."""
    with session(site, front.url(), f"publish_{cut}") as table:
        record = load(table, 7, 0, 40)
        front.arm("^EXCHANGE TABLES", cut=cut)
        table.publish(record, Change())
        assert len([each for each in front.said() if each.startswith("EXCHANGE")]) == 1
        assert table.commit_record() == record
        assert table.rows(table.names.live) == 40


def test_a_publish_whose_answer_is_cut_by_the_network_is_not_said_twice(front: Front, site: Site):
    """The same with a proxy that cuts the answer of the exchange in the middle of its bytes."""
    with Cutter(front.ports[0]) as cutter, session(site, front.url(cutter.port), "network") as table:
        record = load(table, 8, 0, 30)
        front.arm("^EXCHANGE TABLES", cut="never")  # forgets what was said

        def cut_then(statement: str) -> None:
            cutter.cut_after = 5 if statement.startswith("EXCHANGE") else None

        do = table.statements.do

        def watched(sql: str, *args: object, **kwargs: object) -> None:
            cut_then(sql)
            do(sql, *args, **kwargs)

        table.statements.do = watched
        table.publish(record, Change())
        assert cutter.cuts == 1
        assert len([each for each in front.said() if each.startswith("EXCHANGE")]) == 1
        assert table.commit_record() == record
        assert table.rows(table.names.live) == 30


def test_a_proxy_that_has_no_server_is_asked_again(front: Front, site: Site):
    """503 without a word of ClickHouse: a question is asked again, an insert is looked up first."""
    with session(site, front.url(), "gateway") as table:
        table.prepare()
        table.stage_open(1, 1)
        front.arm("^(INSERT INTO|SELECT count)", 2, **UNAVAILABLE)
        table.stage(rows(0, 20))
        assert staged(table) == 20
        assert front.left() == []


def test_what_changes_something_and_cannot_be_looked_up_ends_the_run(front: Front, site: Site):
    """A statement whose outcome nobody can tell is not said again: one clear error, and the next run looks."""
    with session(site, front.url(), "unsure") as table:
        record = load(table, 9, 0, 10)
        front.arm("^ALTER TABLE .* ATTACH", cut="after")
        with pytest.raises(ServerAway, match="went away"):
            table.publish(record, Change())
        assert len([each for each in front.said() if "ATTACH" in each]) == 1
        assert not table.settle(9)
        assert table.commit_record() is None


def test_a_host_of_the_cluster_that_is_down_is_one_clear_error(front: Front, site: Site):
    """A statement that did not come to its end on all hosts has an outcome that nobody knows: it is not said again."""
    timeout = {"status": 500, "code": 159, "text": "Code: 159. DB::Exception: 1 of 2 hosts (TIMEOUT_EXCEEDED)"}
    with session(site, front.url(), "hosts") as table:
        front.arm("^CREATE TABLE", 5, **timeout)
        with pytest.raises(ServerAway, match="not on all of its hosts"):
            table.prepare()
        assert front.left()[0]["times"] == 4


def test_wrong_credentials_are_one_clear_error(front: Front, site: Site, monkeypatch: pytest.MonkeyPatch):
    """Tried once, told without the password, whether it is wrong or there is none."""
    monkeypatch.setenv("CH_PASSWORD", "s3cret-and-wrong")
    with pytest.raises(ServerUnauthorised) as refusal, session(site, front.url(), "t"):
        pass
    assert "s3cret" not in str(refusal.value)
    assert "does not take our credentials" in refusal.value.what
    monkeypatch.delenv("CH_PASSWORD")
    with pytest.raises(SecretUnavailable), session(site, front.url(), "t"):
        pass


def test_nobody_there_is_told_as_such(site: Site):
    """A port where nothing listens: unreachable, and nothing was said to anybody."""
    with pytest.raises(ServerDown, match="cannot be reached"), session(site, "http://loader@127.0.0.1:9/shop", "t"):
        pass


def test_another_machine_is_reached_by_tls_only(site: Site):
    """http:// to a host that is not this machine is refused before any connection is made."""
    with pytest.raises(PlaintextRefused), session(site, "http://loader@192.0.2.7:8123/shop", "t"):
        pass


def test_a_peer_that_falls_silent_is_left_at_the_deadline(front: Front, site: Site):
    """A server that takes a statement and says nothing more does not hold a run beyond its deadline."""
    with Cutter(front.ports[0]) as cutter, session(site, front.url(cutter.port), "silent") as table:
        table.prepare()
        cutter.fall_silent()
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded), deadline(1.0):
            table.exists("silent")
        assert time.monotonic() - began < 10


def test_what_the_server_refuses_is_refused_once(front: Front, site: Site):
    """An error of the statement itself is no reason to say it again; no value is told of it."""
    with session(site, front.url(), "refused") as table:
        front.disarm()
        with pytest.raises(DatabaseError) as refusal:
            table.statements.ask("SELECT toUInt8('a secret value')")
        assert len(front.said()) == 1
        assert "secret" not in refusal.value.what
        assert refusal.value.context["clickhouse"] == "CANNOT_PARSE_TEXT"


# ------------------------------------------------------------------------------------------------ TLS


def test_tls_with_and_without_a_client_certificate(tmp_path: Path, site: Site):
    """The server's certificate is checked; a certificate of ours says who we are in the place of a password."""
    trusted = authority()
    (tmp_path / "ca.pem").write_bytes(trusted.pem)
    cert, key = trusted.leaf().write(tmp_path, "server")
    mine, my_key = trusted.leaf("loader", uses=(Use.CLIENT_AUTH,)).write(tmp_path, "client")
    users = {"loader": {"certificate": "loader"}}
    options = {"cert": str(cert), "key": str(key), "clients": str(tmp_path / "ca.pem"), "users": users}
    ca = tmp_path / "ca.pem"
    with serving(tmp_path / "front", **options) as front:
        url = front.url(scheme="https", host="localhost")
        shown = TLS(ca=ca, cert=mine, key=my_key)
        with session(site, url, "secured", password=None, tls=shown) as table:
            table.prepare()
            assert table.exists("secured")
        with pytest.raises(CertificateRefused), session(site, url, "secured", tls=TLS(cert=mine, key=my_key)):
            pass
        with pytest.raises((ClientCertificateRefused, ServerAway, ServerDown)), session(site, url, "t", tls=TLS(ca=ca)):
            pass


def test_an_expired_certificate_is_told_as_such(tmp_path: Path, site: Site):
    """It is refused before anything is sent, and is not tried again."""
    trusted = authority()
    (tmp_path / "ca.pem").write_bytes(trusted.pem)
    cert, key = trusted.leaf(begins=-9, ends=-2).write(tmp_path, "server")
    with serving(tmp_path / "front", cert=str(cert), key=str(key)) as front:
        url = front.url(scheme="https", host="localhost")
        with (
            pytest.raises(CertificateRefused, match="expired"),
            session(site, url, "t", tls=TLS(ca=tmp_path / "ca.pem")),
        ):
            pass
