"""Who may do what is asked in one place; with one machine and one person, the owner may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.access import Access, OwnerOnly, Sight, of_pipeline, of_run
from rowkeeper.access.resource import Column
from rowkeeper.caller import Caller, CallerKind, acting, current_caller
from rowkeeper.errors import AccessDenied, UnknownUser, UserExists
from rowkeeper.ledger import Ledger
from rowkeeper.ledger.audit.event import Outcome
from tests.auditing import AUDITING

ANN = Caller(CallerKind.USER, "ann", address="192.0.2.7", session="s1", purpose="billing")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(None, tmp_path, auditing=AUDITING) as opened:
        yield opened


def test_the_owner_of_the_state_folder_may(ledger: Ledger, tmp_path: Path):
    """A command of whoever owns the state folder passes, and sees each column."""
    access = Access(OwnerOnly(tmp_path), ledger.audit)
    access.require("run.rollback", of_run(3, "flights"))
    view = access.view("default.flights", [Column("id"), Column("email", frozenset({"pii.email"}))])
    assert view is not None
    assert set(view.sights.values()) == {Sight.CLEAR}


def test_a_refusal_is_told_and_on_the_record(ledger: Ledger, tmp_path: Path):
    """Others are refused; the audit entry says who, from where, by which session, and what for."""
    access = Access(OwnerOnly(tmp_path), ledger.audit)
    with acting(ANN), pytest.raises(AccessDenied, match=r"user:ann may not run\.rollback run 3"):
        access.require("run.rollback", of_run(3, "flights"))
    entry = ledger.audit.newest(1)[0]
    assert (entry.name, entry.address, entry.session) == ("user:ann", "192.0.2.7", "s1")
    assert (entry.event.action, entry.event.outcome, entry.event.purpose) == (
        "run.rollback",
        Outcome.REFUSED,
        "billing",
    )


def test_no_entry_holds_a_name_or_an_address(ledger: Ledger, tmp_path: Path):
    """Both lie beside the trail, where they can be forgotten: neither is in the bytes that are hashed."""
    with acting(ANN):
        ledger.users.add("bob", roles=frozenset({"viewer"}))
    stored = b"".join(entry for (entry,) in _entries(tmp_path))
    assert b"user.add" in stored
    assert not any(word in stored for word in (b"ann", b"bob", b"192.0.2.7"))


def test_a_list_shows_no_more_than_its_items(ledger: Ledger, tmp_path: Path):
    """Who may see nothing sees an empty list; the owner sees all of it."""
    access = Access(OwnerOnly(tmp_path), ledger.audit)
    names = ["a", "b"]
    assert access.only("run.list", names, of_pipeline) == names
    with acting(ANN):
        assert access.only("run.list", names, of_pipeline) == []


def test_the_caller_is_set_for_a_block_alone():
    """After the block it is who it was before."""
    before = current_caller()
    with acting(ANN):
        assert current_caller() == ANN
    assert current_caller() == before
    assert before.kind is CallerKind.OS_USER


def test_accounts_are_kept_with_their_roles(ledger: Ledger):
    """An account is added once, given and taken roles, disabled and enabled; unknown names are told."""
    users = ledger.users
    users.add("ann", roles=frozenset({"viewer"}))
    users.give("ann", "operator")
    users.take("ann", "viewer")
    assert users.get("ann").roles == {"operator"}
    users.set_enabled("ann", False)
    assert not users.get("ann").enabled
    with pytest.raises(UserExists):
        users.add("ann")
    with pytest.raises(UnknownUser, match="anne"):
        users.give("anne", "viewer")
    assert [each.event.action for each in ledger.audit.newest(4)] == [
        "user.add",
        "user.give",
        "user.take",
        "user.disable",
    ]


def _entries(home: Path) -> list[tuple[bytes]]:
    import sqlite3

    with sqlite3.connect(home / "ledger.sqlite") as database:
        return database.execute("SELECT entry FROM audit_entries").fetchall()
