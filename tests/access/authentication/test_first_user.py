"""The first user of a server: by the token of its console, from its own machine, once."""

from __future__ import annotations

import os
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from rowkeeper.caller import CallerKind
from rowkeeper.errors import FirstUserRefused, PasswordUnfit
from rowkeeper.ledger.audit import Outcome
from rowkeeper.security.keysets import LOGIN
from rowkeeper.security.statefolder import open_state_folder
from tests.access.authentication.installation import OTHER, PASSWORD, THERE, Clock, Installation, opened

LOOPBACK = "127.0.0.1"


def is_refused(here: Installation, token: str, address: str = LOOPBACK, name: str = "eve") -> bool:
    try:
        here.authentication.first_user.claim(token, name, OTHER, address)
    except FirstUserRefused:
        return True
    return False


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_whoever_has_the_token_becomes_admin(here: Installation, address: str):
    """And signs in with the password that was chosen."""
    token = here.authentication.first_user.offer()
    assert token is not None
    here.authentication.first_user.claim(token, "ann", PASSWORD, address)
    assert here.by_session(here.login().secret).roles == {"admin"}
    assert here.authentication.first_user.offer() is None


def test_setup_takeover(here: Installation):
    """A mistake of others: a stranger on the network, without the token, with an old or a used one, gets nowhere."""
    assert is_refused(here, "")  # nothing was offered yet
    first = here.authentication.first_user.offer()
    token = here.authentication.first_user.offer()  # the server was started anew
    assert first
    assert token
    for address in (THERE, "10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "", "localhost.evil.example", "0.0.0.0"):
        assert is_refused(here, token, address), address
    for wrong in (first, "", token[:-1], token + "x", "\ud800"):
        assert is_refused(here, wrong), wrong
    assert here.ledger.users.all() == []
    here.authentication.first_user.claim(token, "ann", PASSWORD, LOOPBACK)
    assert is_refused(here, token)
    assert [each.name for each in here.ledger.users.all()] == ["ann"]
    assert here.login().user == "ann"  # and nobody has changed her password
    outcomes = [each.event.outcome for each in here.told("user.first")]
    assert (outcomes.count(Outcome.DONE), outcomes[-1]) == (1, Outcome.REFUSED)


def test_the_token_runs_out(here: Installation):
    """After an hour the server has to be started anew."""
    token = here.authentication.first_user.offer()
    assert token
    here.clock.pass_by(hours=1)
    assert is_refused(here, token)


def test_where_there_are_people_no_token_is_made(here: Installation):
    """Not even disabled ones; a service is none."""
    here.ledger.users.add("loader", CallerKind.SERVICE)
    token = here.authentication.first_user.offer()
    assert token
    here.ledger.users.add("ann")
    here.ledger.users.set_enabled("ann", False)
    assert here.authentication.first_user.offer() is None
    assert is_refused(here, token)


def test_a_service_is_not_taken_over(here: Installation):
    """The first user cannot take the name of an account that is there."""
    here.ledger.users.add("loader", CallerKind.SERVICE)
    token = here.authentication.first_user.offer()
    assert token
    assert is_refused(here, token, name="loader")
    assert here.ledger.users.get("loader").kind is CallerKind.SERVICE


@pytest.mark.parametrize("name", ["", "../../etc", "a b", "a\nb", "ann;--", "\u0430nn", "x" * 101, "\0"])
def test_names_are_of_plain_letters(here: Installation, name: str):
    """No path, no line, no letter that looks like another."""
    token = here.authentication.first_user.offer()
    assert token
    assert is_refused(here, token, name=name)


def test_a_weak_password_does_not_use_the_token_up(here: Installation):
    """It can be tried again with a better one."""
    token = here.authentication.first_user.offer()
    assert token
    with pytest.raises(PasswordUnfit):
        here.authentication.first_user.claim(token, "ann", "short", LOOPBACK)
    here.authentication.first_user.claim(token, "ann", PASSWORD, LOOPBACK)


def test_of_many_at_the_same_time_one_becomes_the_first(here: Installation):
    """Ten with the same token, through ledgers of their own."""
    token = here.authentication.first_user.offer()
    assert token
    let_in = []

    def claim(number: int) -> None:
        with here.another_process() as other:
            if not is_refused(other, token, name=f"user{number}"):
                let_in.append(number)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(10)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(let_in) == 1
    assert [each.name for each in here.ledger.users.all()] == [f"user{let_in[0]}"]


def test_the_ledger_does_not_hold_the_token(here: Installation):
    """Who reads the ledger cannot become the first user."""
    token = here.authentication.first_user.offer()
    assert token
    stored = b"".join(path.read_bytes() for path in here.home.rglob("ledger.sqlite*"))
    assert token.encode() not in stored


def test_default_signing_keys(here: Installation):
    """A mistake of others: nothing here is signed with a key that two installations could share.

    Sessions and tokens are random and looked up; the keys that seal and name are made for each state folder.
    """
    other = open_state_folder(here.home.parent / "other", f"file:{here.home.parent / 'other-key'}").keysets
    mine = here.keysets.of(LOGIN).primary
    assert mine.material != other.of(LOGIN).primary.material
    assert len(set(mine.material)) > 8
    here.add()
    session = here.login()
    with_the_same_words = here.login()
    assert len({session.secret, with_the_same_words.secret, session.csrf, with_the_same_words.csrf}) == 4


def test_a_loose_umask(tmp_path: Path):
    """A mistake of others: with umask 0 nothing of what signing in writes can be read by others."""
    before = os.umask(0)
    try:
        with opened(tmp_path / "state", Clock()) as here:
            here.add()
            here.login()
            here.authentication.factors.enrol("ann")
            here.authentication.accounts.make_token("ann", "x", timedelta(days=1))
            paths = [here.home, *here.home.rglob("*"), tmp_path / "key"]
            assert len(paths) > 4
            loose = [str(path) for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]
            assert loose == []
    finally:
        os.umask(before)
