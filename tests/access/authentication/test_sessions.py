"""Sessions live in the ledger: they end by time, by hand, and by whatever changes what they stood for."""

from __future__ import annotations

import pytest

from rowkeeper.access.authentication import Credentials
from rowkeeper.caller import acting
from rowkeeper.errors import AuthenticationFailed, AuthenticationRequired, ConfigurationError, CsrfRefused
from tests.access.authentication.installation import HERE, OTHER, PASSWORD, THERE, Installation


def is_over(here: Installation, secret: str) -> bool:
    """Whether a session is not accepted any more, by this process, at once."""
    try:
        here.by_session(secret)
    except AuthenticationFailed:
        return True
    return False


def test_a_session_says_who_it_is(here: Installation):
    """Kind, name, roles of now, address of the request, the session's id and the purpose."""
    here.add("ann", "viewer", "operator")
    session = here.login()
    caller = here.authentication.caller(Credentials(session=session.secret, address=THERE), "billing")
    assert (str(caller), caller.roles) == ("user:ann", {"viewer", "operator"})
    assert (caller.address, caller.session, caller.purpose) == (THERE, session.id, "billing")


def test_nobody_is_nobody(here: Installation):
    """Without anything shown it is asked for; what is wrong is refused, and not made up for by what comes after it."""
    here.add()
    session = here.login()
    with pytest.raises(AuthenticationRequired):
        here.authentication.caller(Credentials(address=HERE))
    with pytest.raises(AuthenticationFailed):
        here.authentication.caller(Credentials(bearer="rkt_wrong", session=session.secret, address=HERE))
    for wrong in ("", "x", session.id, session.csrf, session.secret + "x", "\ud800"):
        assert is_over(here, wrong)


def test_a_session_ends_when_it_is_not_used(here: Installation):
    """Half an hour of silence; whoever works on is let work on."""
    here.add()
    used, unused = here.login().secret, here.login().secret
    here.clock.pass_by(minutes=20)
    here.by_session(used)
    here.clock.pass_by(minutes=20)
    here.by_session(used)
    assert is_over(here, unused)
    here.clock.pass_by(minutes=31)
    assert is_over(here, used)
    assert {each.ended_by for each in here.ledger.signing_in.sessions.of("ann")} == {"idle"}


def test_a_session_ends_after_half_a_day_however_it_is_used(here: Installation):
    """Twelve hours, used every ten minutes."""
    here.add()
    session = here.login()
    for _ in range(71):
        here.clock.pass_by(minutes=10)
        here.by_session(session.secret)
    here.clock.pass_by(minutes=10)
    assert here.clock() == session.expires_at
    assert is_over(here, session.secret)


def test_logout_ends_this_session_alone(here: Installation):
    """At once, and the audit trail says so; another one of the same account goes on."""
    here.add()
    first, second = here.login().secret, here.login().secret
    with acting(here.by_session(first)):
        here.authentication.logout()
    assert is_over(here, first)
    assert here.by_session(second).name == "ann"
    assert [dict(each.event.detail) for each in here.told("session.end")] == [{"by": "logout"}]


def test_sessions_that_survive_a_password_reset(here: Installation):
    """A mistake of others: here no session survives it, whoever resets, and the old password opens nothing."""
    here.add()
    secrets = [here.login().secret for _ in range(3)]
    with acting(here.by_session(secrets[0])):  # by herself
        assert len(here.authentication.change_password("ann", OTHER, PASSWORD)) == 3
    assert all(is_over(here, each) for each in secrets)
    with pytest.raises(AuthenticationFailed):
        here.login()
    session = here.login(password=OTHER)
    here.authentication.change_password("ann", PASSWORD)  # by whoever owns the state folder
    assert is_over(here, session.secret)


def test_a_session_does_not_survive_what_another_process_changes(here: Installation):
    """Password, role, enabled or not, revoked: another process does it, and within a second this one knows."""
    here.add("ann", "viewer", "operator")
    changes = [
        lambda other: other.authentication.change_password("ann", PASSWORD),
        lambda other: other.ledger.users.take("ann", "viewer"),
        lambda other: other.ledger.users.set_enabled("ann", False),
        lambda other: other.authentication.accounts.revoke_sessions("ann"),
    ]
    with here.another_process() as other:
        for number, change in enumerate(changes):
            here.ledger.users.set_enabled("ann", True)
            session = here.login()
            here.by_session(session.secret)
            change(other)
            here.clock.pass_by(seconds=1)
            assert is_over(here, session.secret), number
    ended = [each.ended_by for each in here.ledger.signing_in.sessions.of("ann")]
    assert sorted(map(str, ended)) == ["disabled", "password", "revoked", "role"]


def test_a_session_does_not_outlive_a_role_however_it_was_taken(here: Installation):
    """Also if somebody writes to the table and ends no session: it is compared with the roles it began with."""
    here.add("ann", "viewer", "operator")
    session = here.login()
    import sqlite3

    with sqlite3.connect(here.home / "ledger.sqlite") as database:
        database.execute("DELETE FROM user_roles WHERE role = 'operator'")
    assert is_over(here, session.secret)


def test_a_role_that_is_given_counts_within_a_second(here: Installation):
    """A session need not begin anew for it."""
    here.add("ann", "viewer")
    session = here.login()
    here.by_session(session.secret)
    with here.another_process() as other:
        other.ledger.users.give("ann", "operator")
    here.clock.pass_by(seconds=1)
    assert here.by_session(session.secret).roles == {"viewer", "operator"}


def test_who_is_enabled_again_signs_in_again(here: Installation):
    """Sessions of before are over for good."""
    here.add()
    session = here.login()
    here.ledger.users.set_enabled("ann", False)
    here.ledger.users.set_enabled("ann", True)
    assert is_over(here, session.secret)
    here.login()


def test_one_session_or_all_are_revoked(here: Installation):
    """By id, of this account alone, or all at once."""
    here.add("ann")
    here.add("bob")
    ann, bob = [here.login() for _ in range(3)], here.login("bob")
    accounts = here.authentication.accounts
    assert accounts.revoke_sessions("ann", [ann[0].id, bob.id]) == [ann[0].id]
    assert [is_over(here, each.secret) for each in (*ann, bob)] == [True, False, False, False]
    assert len(accounts.revoke_sessions("ann")) == 2
    assert [is_over(here, each.secret) for each in (*ann, bob)] == [True, True, True, False]


def test_the_ledger_holds_no_session_secret(here: Installation):
    """Who reads the ledger cannot take a session over."""
    here.add()
    session = here.login()
    stored = b"".join(path.read_bytes() for path in here.home.rglob("ledger.sqlite*"))
    assert session.id.encode() in stored
    assert session.secret.encode() not in stored
    assert session.csrf.encode() not in stored
    assert session.secret not in repr(session)


def test_what_changes_something_needs_the_token_of_its_session(here: Installation):
    """That of another session, none, or a cut one is refused."""
    here.add()
    mine, other = here.login(), here.login()
    here.authentication.require_csrf(mine.secret, mine.csrf)
    for wrong in (None, "", other.csrf, mine.csrf[:-1], mine.secret, "\ud800"):
        with pytest.raises(CsrfRefused):
            here.authentication.require_csrf(mine.secret, wrong)


@pytest.mark.parametrize("purpose", ["", "  ", "x" * 65, "a\nb"])
def test_a_purpose_is_a_word(here: Installation, purpose: str):
    """It goes into the audit trail."""
    here.add()
    session = here.login()
    with pytest.raises(ConfigurationError):
        here.authentication.caller(Credentials(session=session.secret), purpose)


def test_the_ledger_is_asked_once_a_second(here: Installation, monkeypatch: pytest.MonkeyPatch):
    """A thousand requests in a second read it once, and write nothing."""
    here.add()
    session = here.login()
    asked = []
    find = here.ledger.signing_in.sessions.find
    monkeypatch.setattr(here.ledger.signing_in.sessions, "find", lambda hash: asked.append(1) or find(hash))
    for _ in range(1_000):
        here.by_session(session.secret)
    assert len(asked) == 1
    here.clock.pass_by(seconds=1)
    here.by_session(session.secret)
    assert len(asked) == 2
