"""What a ledger promises, on a real PostgreSQL: writers in turn, one state for a reader, commits that are looked up."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url

from rowkeeper.errors import (
    CommitUnknown,
    DiskFull,
    FrameworkError,
    LeaseHeld,
    LedgerBusy,
    LedgerCrowded,
    LedgerForbids,
    LedgerLost,
    LedgerReadOnly,
    LedgerUnreachable,
)
from rowkeeper.ledger import Ledger, postgresql
from rowkeeper.ledger.audit import Event, verifying
from rowkeeper.ledger.database import reading, writing
from rowkeeper.resilience.breaker import Name
from rowkeeper.resilience.calls import Calls
from tests.auditing import AUDITING
from tests.ledger.steps import TARGET, publish, start
from tests.ledgers import Server, served
from tests.resilience.clocks import FakeClock
from tests.security.tls.servers import listening

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """For root it runs as a user of its own, who may not enter pytest's folders."""
    with served() as made:
        yield made


@pytest.fixture
def url(server: Server) -> str:
    """A ledger of the test's own."""
    return server.schema()


def opened(url: str, home: Path, **more: object) -> contextlib.AbstractContextManager[Ledger]:
    return Ledger.open(url, home, auditing=AUDITING, **more)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------- isolation


def test_of_many_who_want_a_lease_one_gets_it(url: str, tmp_path: Path):
    """Twelve at once, again and again: each time one has it, with a token that nobody had before."""
    tokens = []
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(12) as pool:
        ledgers = [stack.enter_context(opened(url, tmp_path)) for _ in range(4)]

        def take(number: int) -> object:
            try:
                return ledgers[number % 4].acquire_lease(TARGET, 30)
            except LeaseHeld:
                return None

        for _ in range(10):
            got = [each for each in pool.map(take, range(12)) if each is not None]
            assert len(got) == 1
            tokens.append(got[0].token)
            ledgers[0].release_lease(got[0])
    assert tokens == list(range(1, 11))


def test_founders_at_the_same_time_found_one_ledger(url: str, tmp_path: Path):
    """Six open what is empty: the schema is made once, and all see the same ledger."""

    def found(_: int) -> tuple[str, str]:
        with opened(url, tmp_path) as ledger:
            return ledger.id, ledger.schema()

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(found, range(6)))) == 1


def test_a_reader_sees_one_state(url: str, tmp_path: Path):
    """What is committed in the midst of its transaction, it does not see; nor does it wait for who is writing."""
    with opened(url, tmp_path) as ledger, opened(url, tmp_path) as other:
        count = "SELECT count(*) FROM leases"
        with reading(ledger._engine) as connection:
            before = connection.exec_driver_sql(count).scalar()
            other.acquire_lease("meanwhile", 30)
            with writing(other._engine, "under_way"):
                assert connection.exec_driver_sql(count).scalar() == before
        with reading(ledger._engine) as connection:
            assert connection.exec_driver_sql(count).scalar() == before + 1


def test_publishing_at_once_gives_each_run_an_order_of_its_own(url: str, tmp_path: Path):
    """Six threads publish to six targets: the orders have no gap, and the trail of all verifies."""
    with opened(url, tmp_path) as ledger, ThreadPoolExecutor(6) as pool:

        def load(number: int) -> None:
            lease = ledger.acquire_lease(f"{TARGET}{number}", 30)
            for _ in range(4):
                publish(ledger, lease, 3)
            ledger.release_lease(lease)

        list(pool.map(load, range(6)))
        with reading(ledger._engine) as connection:
            orders = list(connection.exec_driver_sql("SELECT publish_order FROM runs ORDER BY 1").scalars())
        assert orders == list(range(1, 25))
        verdict = verifying.verify(ledger.audit, {})
        assert verdict.sound, verdict.findings


def test_two_ledgers_of_one_database_do_not_wait_for_each_other(server: Server, tmp_path: Path):
    """The lock is of a schema."""
    with opened(server.schema(), tmp_path) as one, opened(server.schema(), tmp_path) as other:
        with writing(one._engine, "under_way"):
            other.release_lease(other.acquire_lease("free", 30))
        assert one.id != other.id


def test_breakers_are_shared_and_wait_for_no_writer(url: str, tmp_path: Path):
    """What one process tells of a host the other reads, also while a third is in the midst of a step."""
    with opened(url, tmp_path) as ledger, opened(url, tmp_path) as other, writing(ledger._engine, "under_way"):
        assert ledger.breakers.write(Name("host", "get"), 60.0, 1) == 1
        assert other.breakers.write(Name("host", "get"), None, 0) == 2
        (state,) = ledger.breakers.read()
        assert (state.name, state.open_seconds, state.version) == (Name("host", "get"), None, 2)


def test_who_falls_silent_in_a_step_holds_up_nobody_for_long(url: str, tmp_path: Path, monkeypatch):
    """The server ends its transaction; the others go on, and it is told that nothing of its step was written."""
    monkeypatch.setattr(postgresql, "SILENT_SECONDS", 1)
    with opened(url, tmp_path) as ledger, opened(url, tmp_path) as other:
        lease = ledger.acquire_lease("silent", 30)
        with pytest.raises(LedgerLost), writing(ledger._engine, "silent") as connection:  # noqa: PT012 - one step
            connection.exec_driver_sql("UPDATE leases SET pid = 1 WHERE name = 'silent'")
            other.acquire_lease("another", 30)  # waits until the server has ended the first
        ledger.renew_lease(lease, 30)
        assert [each.pid for each in other.leases() if each.name == "silent"] == [os.getpid()]


# --------------------------------------------------------------------------------------------- commits


class Wire:
    """A front of the server that loses a COMMIT, or its answer."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.loses = ""
        self.lost = threading.Event()

    @contextlib.contextmanager
    def url(self, url: str) -> Iterator[str]:
        with listening(self._pass_on) as port:
            made = make_url(url).set(host="127.0.0.1", port=port)
            query = {name: value for name, value in made.query.items() if name != "host"}
            yield made.set(query=query).render_as_string()

    def _pass_on(self, client: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as behind:
            behind.connect(f"{self.server.sockets}/.s.PGSQL.5432")
            client.settimeout(None)
            back = threading.Thread(target=self._answer, args=(behind, client))
            back.start()
            with contextlib.suppress(OSError):
                while data := client.recv(65536):
                    if self.loses and b"COMMIT\0" in data:
                        self._lose(behind, data)
                        break
                    behind.sendall(data)
            for each in (client, behind):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            back.join()

    def _lose(self, behind: socket.socket, data: bytes) -> None:
        loses, self.loses = self.loses, ""
        if loses == "answer":
            self.lost.clear()
            self.silent = True
            behind.sendall(data)
            assert self.lost.wait(10), "the server did not answer"
            self.silent = False

    silent = False

    def _answer(self, behind: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := behind.recv(65536):
                if self.silent:
                    self.lost.set()
                else:
                    client.sendall(data)


@pytest.fixture
def wire(server: Server) -> Wire:
    return Wire(server)


def test_a_commit_whose_answer_was_lost_is_found(url: str, wire: Wire, tmp_path: Path):
    """It took effect, and the step returns as if it had been answered; what it wrote is there once."""
    with wire.url(url) as through, opened(through, tmp_path) as ledger:
        lease = ledger.acquire_lease(TARGET, 30)
        start(ledger, lease)
        wire.loses = "answer"
        run = start(ledger, lease).run
        assert not wire.loses
        assert [each.run for each in ledger.runs(limit=9)] == [run, run - 1]
        ledger.audit.record(Event("data.query"))  # carries the trail on from what was found to be committed
        assert [each.event.action for each in ledger.audit.newest(9)][-3:] == ["run.start", "run.start", "data.query"]


def test_a_commit_that_never_arrived_is_an_error(url: str, wire: Wire, tmp_path: Path):
    """Nothing of the step was written, and the error says so; the step can be taken again."""
    with wire.url(url) as through, opened(through, tmp_path) as ledger:
        lease = ledger.acquire_lease(TARGET, 30)
        wire.loses = "request"
        with pytest.raises(LedgerLost) as caught:
            start(ledger, lease)
        assert "nothing of this step was written" in caught.value.what
        assert ledger.runs(limit=9) == []
        assert start(ledger, lease).run


def test_a_commit_is_unknown_while_the_server_is_away(url: str, server: Server, wire: Wire, tmp_path: Path):
    """The answer is lost and the server goes down: the error says that the next command finds out."""
    calls = Calls(clock=FakeClock())
    with wire.url(url) as through, opened(through, tmp_path, calls=calls) as ledger:
        lease = ledger.acquire_lease(TARGET, 30)
        try:
            with pytest.raises(CommitUnknown), writing(ledger._engine, "leaving") as connection:  # noqa: PT012 - one step
                connection.exec_driver_sql("UPDATE leases SET pid = 1")
                wire.loses = "request"
                server.stop()
        finally:
            server.start()
        wire.loses = ""
        ledger.renew_lease(lease, 30)


# ---------------------------------------------------------------------------------------------- errors


def of_keeper(server: Server, url: str, name: str, rights: str = "") -> str:
    """The URL for a user who owns the schema of it, and no more."""
    schema = url.rpartition("%3D")[2]
    server.by_hand(f"CREATE ROLE {name} LOGIN {rights}")
    server.by_hand(f"ALTER SCHEMA {schema} OWNER TO {name}")
    return url.replace("//postgres:@", f"//{name}@").replace("//postgres@", f"//{name}@")


def is_told_well(error: FrameworkError) -> None:
    """A next step, and nothing of what the server said."""
    assert error.hint
    assert not {"fatal", "select", "sql"} & set(f"{error.what} {error.hint}".lower().split())


def test_a_user_who_owns_a_schema_has_all_the_rights_that_are_needed(url: str, server: Server, tmp_path: Path):
    """Not a superuser, nothing else granted: all of a run, and its trail."""
    with opened(of_keeper(server, url, "humble", "NOSUPERUSER"), tmp_path) as ledger:
        assert publish(ledger, ledger.acquire_lease(TARGET, 30), 3)


def test_a_user_without_rights_is_told_so(server: Server, tmp_path: Path):
    """Nothing may be made in the schema."""
    server.by_hand("CREATE ROLE stranger LOGIN")
    url = server.schema().replace("//postgres:@", "//stranger@").replace("//postgres@", "//stranger@")
    with pytest.raises(LedgerForbids) as caught, opened(url, tmp_path):
        pass
    is_told_well(caught.value)


@pytest.mark.parametrize(("wrong", "right"), [("/nowhere?", "/postgres?"), ("//nobody@", "//postgres@")])
def test_a_database_or_user_that_is_not_there_is_told(url: str, tmp_path: Path, wrong: str, right: str):
    """At once: it is not tried again."""
    calls = Calls(clock=FakeClock())
    place = url.replace("//postgres:@", "//postgres@").replace(right, wrong)
    assert place != url
    with pytest.raises(LedgerForbids) as caught, opened(place, tmp_path, calls=calls):
        pass
    is_told_well(caught.value)


def test_a_connection_limit_that_is_reached_is_told(url: str, server: Server, tmp_path: Path):
    """After it was tried for a while."""
    keeper = of_keeper(server, url, "crowded", "CONNECTION LIMIT 1")
    calls = Calls(clock=FakeClock())
    with opened(keeper, tmp_path) as ledger, reading(ledger._engine):
        with pytest.raises(LedgerCrowded) as caught, opened(keeper, tmp_path, calls=calls):
            pass
        is_told_well(caught.value)


def test_a_server_that_takes_no_writes_is_told(url: str, server: Server, tmp_path: Path):
    """Its owner made it read-only: what is read goes on, what is written is refused, and nothing is done."""
    keeper = of_keeper(server, url, "reader")
    with opened(keeper, tmp_path) as ledger:
        lease = ledger.acquire_lease(TARGET, 30)
    server.by_hand("ALTER ROLE reader SET default_transaction_read_only = on")
    with opened(keeper, tmp_path) as ledger:
        assert [each.name for each in ledger.leases()] == [TARGET]
        with pytest.raises(LedgerReadOnly) as caught:
            start(ledger, lease)
        is_told_well(caught.value)
        assert ledger.runs(limit=1) == []


def test_a_slow_server_is_waited_for_no_longer_than_it_allows(url: str, server: Server, tmp_path: Path):
    """A limit of its own ends a statement: told as busy, which may be tried again."""
    with opened(url, tmp_path) as ledger, pytest.raises(LedgerBusy) as caught, writing(ledger._engine, "slow") as each:  # noqa: PT012 - one step
        each.exec_driver_sql("SET LOCAL statement_timeout = 50")
        each.exec_driver_sql("SELECT pg_sleep(5)")
    is_told_well(caught.value)


def test_a_lock_that_is_not_given_up_is_told(url: str, tmp_path: Path, monkeypatch):
    """Another writer keeps the lock: told after the wait."""
    monkeypatch.setattr(postgresql, "LOCK_SECONDS", 0.3)
    monkeypatch.setattr(postgresql, "HASTY_LOCK_SECONDS", 0.2)
    with opened(url, tmp_path) as ledger, opened(url, tmp_path) as other, writing(ledger._engine, "under_way"):
        began = time.monotonic()
        with pytest.raises(LedgerBusy):
            other.acquire_lease("waits", 30)
        assert time.monotonic() - began >= 0.2


def test_a_server_that_does_not_come_back_is_told(url: str, server: Server, tmp_path: Path):
    """Down, after as many tries as there are."""
    calls = Calls(clock=FakeClock())
    with opened(url, tmp_path, calls=calls) as ledger:
        server.stop("fast")
        try:
            with pytest.raises(LedgerUnreachable) as caught:
                ledger.runs(limit=1)
            is_told_well(caught.value)
        finally:
            server.start()
        assert ledger.runs(limit=1) == []


def test_a_restart_between_two_steps_is_not_noticed(url: str, server: Server, tmp_path: Path):
    """All connections of the pool are dead: they are seen to be, and made anew, before anything is said on them."""
    with opened(url, tmp_path) as ledger:
        lease = ledger.acquire_lease(TARGET, 30)
        run = start(ledger, lease).run
        server.stop("fast")
        server.start()
        ledger.note_degraded(lease, run, ["slow"])
        assert ledger.run(run).degraded == ("slow",)


def test_a_restart_in_the_midst_of_a_step_is_told(url: str, server: Server, tmp_path: Path):
    """Nothing of the step was written; the next one is as usual."""
    with opened(url, tmp_path) as ledger:
        lease = ledger.acquire_lease(TARGET, 30)
        with pytest.raises(LedgerLost) as caught, writing(ledger._engine, "broken") as connection:  # noqa: PT012 - one step
            connection.exec_driver_sql("UPDATE leases SET pid = 1")
            server.stop()
            server.start()
            connection.exec_driver_sql("UPDATE leases SET pid = 2")
        is_told_well(caught.value)
        assert [each.pid for each in ledger.leases()] == [os.getpid()]
        ledger.renew_lease(lease, 30)


@needs_root
def test_a_full_disk_at_the_server_is_told(url: str, server: Server, tmp_path: Path):
    """The disk where its tables are has no room: the step is refused whole, and taken when there is room again."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=777", "tmpfs", folder], check=True)
        try:
            shutil.chown(folder, server.server.system_user)
            server.by_hand(f"CREATE TABLESPACE small LOCATION '{folder}'")
            keeper = of_keeper(server, url, "cramped")
            server.by_hand("GRANT CREATE ON TABLESPACE small TO cramped")
            server.by_hand("ALTER ROLE cramped SET default_tablespace = small")
            with opened(keeper, tmp_path) as ledger:
                lease = ledger.acquire_lease(TARGET, 30)
                filler = Path(folder) / "filler"
                with contextlib.suppress(OSError):
                    filler.write_bytes(b"\0" * 9_000_000)
                with pytest.raises(DiskFull) as caught:  # noqa: PT012 - one step
                    for _ in range(900):
                        ledger.audit.record(Event("data.query", {"of": secrets.token_hex(15_000)}))
                is_told_well(caught.value)
                filler.unlink()
                run = start(ledger, lease).run
                assert [each.run for each in ledger.runs(limit=9)] == [run]
                verdict = verifying.verify(ledger.audit, {})
                assert verdict.sound, verdict.findings
            schema = url.rpartition("%3D")[2]
            server.by_hand(f"DROP SCHEMA {schema} CASCADE")
            server.by_hand("DROP TABLESPACE small")
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
