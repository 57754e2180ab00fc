"""API tokens: limited, expiring, told once, hashed; known to scanners by prefix and checksum."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path

import pytest

from rowkeeper.access import Access, of_installation, of_pipeline, of_run, of_table
from rowkeeper.access.decision import Decision
from rowkeeper.caller import acting
from rowkeeper.errors import AccessDenied, AuthenticationFailed, TokenUnfit, UnknownUser
from rowkeeper.security.apitoken import LETTERS, is_token, new_token
from rowkeeper.security.scanning.folder import scan
from rowkeeper.security.scanning.text import secret_in
from tests.access.authentication.installation import Installation

MONTH = timedelta(days=30)


def is_over(here: Installation, text: str) -> bool:
    try:
        here.by_token(text)
    except AuthenticationFailed:
        return True
    return False


class Everything:
    """Permissions that refuse nothing: what is left is the token's own scope."""

    def decide(self, *asked: object) -> Decision:
        return Decision(True, ("everything",))

    def view(self, *asked: object) -> str:
        return "a view"


def test_a_token_acts_for_its_account(here: Installation):
    """With all that the account may, and its id in the place of a session."""
    here.add("ann", "viewer", "operator")
    made = here.authentication.accounts.make_token("ann", "nightly", MONTH)
    caller = here.by_token(made.text)
    assert (str(caller), caller.roles, caller.session) == ("user:ann", {"viewer", "operator"}, made.record.id)


def test_a_token_that_is_over_is_noted_when_it_is_tried(here: Installation):
    """Why, whose, and from where; once a minute, however often it is tried. One that never was leaves nothing."""
    here.add("ann", "viewer")
    accounts = here.authentication.accounts
    made = [accounts.make_token("ann", label, MONTH) for label in ("revoked", "expired")]
    accounts.revoke_token(made[0].record.id)
    for _ in range(5):
        assert is_over(here, made[0].text)
    assert is_over(here, new_token(secrets.randbelow))
    (entry,) = here.told("token.use")
    assert (entry.event.outcome.value, entry.event.detail) == ("refused", {"why": "revoked"})
    assert (entry.event.on["token"], entry.name, entry.address is None) == (
        made[0].record.id,
        "anonymous:nobody",
        False,
    )
    here.clock.pass_by(days=31)
    assert [is_over(here, each.text) for each in made] == [True, True]
    assert [each.event.detail["why"] for each in here.told("token.use")] == ["revoked", "revoked", "expired"]


def test_a_token_has_no_more_roles_than_its_account(here: Installation):
    """Of those it was given, what the account has now; and it cannot be made with one that the account has not."""
    here.add("ann", "viewer", "operator")
    made = here.authentication.accounts.make_token("ann", "nightly", MONTH, roles=["operator"])
    assert here.by_token(made.text).roles == {"operator"}
    here.ledger.users.take("ann", "operator")
    here.clock.pass_by(seconds=1)
    assert here.by_token(made.text).roles == frozenset()
    with pytest.raises(TokenUnfit, match="no role admin"):
        here.authentication.accounts.make_token("ann", "more", MONTH, roles=["admin"])


def test_a_token_with_some_roles_has_no_grants_of_its_account(here: Installation):
    """What was granted to the account by name counts for a token that is not limited, and for no other."""
    here.add("ann", "viewer", "operator")
    limited = here.authentication.accounts.make_token("ann", "nightly", MONTH, roles=["viewer"])
    whole = here.authentication.accounts.make_token("ann", "daily", MONTH)
    assert here.by_token(limited.text).limited
    assert not here.by_token(whole.text).limited


def test_a_token_is_limited_to_actions_and_pipelines(here: Installation):
    """Whatever the policies say: another action, another pipeline, and what is of no pipeline, are refused."""
    here.add()
    made = here.authentication.accounts.make_token(
        "ann", "nightly", MONTH, actions=["pipeline.run", "run.show", "data.query"], pipelines=["flights"]
    )
    access = Access(Everything(), here.ledger.audit)  # type: ignore[arg-type]
    with acting(here.by_token(made.text)):
        access.require("pipeline.run", of_pipeline("flights"))
        access.require("run.show", of_run(3, "flights"))
        for action, on in (
            ("pipeline.run", of_pipeline("orders")),
            ("run.show", of_run(4, "orders")),
            ("run.rollback", of_run(3, "flights")),
            ("data.query", of_table("default.flights")),
            ("audit.list", of_installation()),
        ):
            with pytest.raises(AccessDenied):
                access.require(action, on)
        assert access.only("run.show", [1, 2], lambda run: of_run(run, "orders")) == []
        assert access.view("default.flights", []) is None
    assert access.view("default.flights", []) is not None


def test_tokens_end(here: Installation):
    """By time, by hand, and with their account; one by one."""
    here.add()
    accounts = here.authentication.accounts
    short, long, other = (accounts.make_token("ann", "x", timedelta(days=days)) for days in (1, 30, 30))
    here.by_token(short.text)
    here.clock.pass_by(hours=23, minutes=59, seconds=59.5)
    here.by_token(short.text)
    here.clock.pass_by(seconds=0.5)
    assert is_over(here, short.text)
    accounts.revoke_token(long.record.id)
    assert is_over(here, long.text)
    assert here.by_token(other.text).name == "ann"
    here.ledger.users.set_enabled("ann", False)
    here.clock.pass_by(seconds=1)
    assert is_over(here, other.text)


def test_another_process_revokes(here: Installation):
    """Within a second this one knows."""
    here.add()
    made = here.authentication.accounts.make_token("ann", "x", MONTH)
    here.by_token(made.text)
    with here.another_process() as other:
        other.authentication.accounts.revoke_token(made.record.id)
    here.clock.pass_by(seconds=1)
    assert is_over(here, made.text)


def test_making_and_revoking_are_on_the_record_and_uses_are_not(here: Installation):
    """With what it is limited to, and never its text."""
    here.add()
    made = here.authentication.accounts.make_token("ann", "nightly", MONTH, roles=["viewer"], pipelines=["flights"])
    size, _ = here.ledger.audit.head()
    here.by_token(made.text)
    assert here.ledger.audit.head()[0] == size
    here.authentication.accounts.revoke_token(made.record.id)
    entries = here.told("token")
    assert [each.event.action for each in entries] == ["token.make", "token.revoke"]
    assert {each.event.on["token"] for each in entries} == {made.record.id}
    assert dict(entries[0].event.detail)["pipelines"] == ["flights"]
    stored = b"".join(path.read_bytes() for path in here.home.rglob("ledger.sqlite*"))
    assert made.text.encode() not in stored
    assert made.text not in repr(made)


@pytest.mark.parametrize(
    ("label", "days", "limits"),
    [
        ("", 1, {}),
        ("a\nb", 1, {}),
        ("x" * 101, 1, {}),
        ("x", 0, {}),
        ("x", -1, {}),
        ("x", 367, {}),
        ("x", 1, {"actions": ["pipeline.rnu"]}),
    ],
)
def test_what_cannot_be_is_refused(here: Installation, label: str, days: float, limits: dict[str, list[str]]):
    """No label, no end, an action that there is none of."""
    here.add()
    with pytest.raises(TokenUnfit):
        here.authentication.accounts.make_token("ann", label, timedelta(days=days), **limits)
    assert here.authentication.accounts.tokens() == []


def test_tokens_are_made_for_accounts_that_are(here: Installation):
    """And not for disabled ones."""
    here.add()
    here.ledger.users.set_enabled("ann", False)
    with pytest.raises(TokenUnfit, match="disabled"):
        here.authentication.accounts.make_token("ann", "x", MONTH)
    with pytest.raises(UnknownUser):
        here.authentication.accounts.make_token("anne", "x", MONTH)


def test_a_token_makes_no_token(here: Installation):
    """Who stole one gains no other, sets no password, ends no session."""
    here.add()
    made = here.authentication.accounts.make_token("ann", "x", MONTH)
    accounts = here.authentication.accounts
    with acting(here.by_token(made.text)):
        for act in (
            lambda: accounts.make_token("ann", "more", MONTH),
            lambda: accounts.change_password("ann", "six clouds of red wool", "lamps walk over nine hills"),
            lambda: accounts.revoke_sessions("ann"),
            lambda: here.authentication.factors.enrol("ann"),
        ):
            with pytest.raises(AccessDenied):
                act()


def test_others_tokens_are_not_seen_and_not_revoked(here: Installation):
    """Bob sees his own; Ann's id is to him as one that there is none of."""
    here.add("ann")
    here.add("bob")
    made = here.authentication.accounts.make_token("ann", "x", MONTH)
    with acting(here.by_session(here.login("bob").secret)):
        mine = here.authentication.accounts.make_token("bob", "x", MONTH)
        assert [each.id for each in here.authentication.accounts.tokens()] == [mine.record.id]
        told = set()
        for id in (made.record.id, "t_0123456789abcdef"):
            with pytest.raises(TokenUnfit) as caught:
                here.authentication.accounts.revoke_token(id)
            told.add(str(caught.value))
        assert len(told) == 1
    assert here.by_token(made.text).name == "ann"


@pytest.mark.parametrize("id", ["../../etc/passwd", "t_%2e%2e", "t_' OR 1=1 --", "", "x" * 10_000, "\0", "\ud800"])
def test_path_traversal_through_ids(here: Installation, id: str):
    """A mistake of others: an id from a request leads nowhere but to the row that has it."""
    here.add()
    here.authentication.accounts.make_token("ann", "x", MONTH)
    with pytest.raises(TokenUnfit):
        here.authentication.accounts.revoke_token(id)
    assert here.authentication.accounts.revoke_sessions("ann", [id]) == []


def test_a_mistyped_token_is_turned_away_without_the_ledger(here: Installation, monkeypatch: pytest.MonkeyPatch):
    """By its checksum: each letter counts."""
    here.add()
    text = here.authentication.accounts.make_token("ann", "x", MONTH).text
    monkeypatch.setattr(here.ledger.signing_in.tokens, "find", lambda hash: pytest.fail("asked"))
    for at in range(len(text)):
        letter = LETTERS[(LETTERS.find(text[at]) + 1) % len(LETTERS)]
        assert is_over(here, f"{text[:at]}{letter}{text[at + 1 :]}")


def test_a_well_formed_token_that_nobody_made_is_refused(here: Installation):
    """A checksum is no signature."""
    assert is_over(here, new_token(secrets.randbelow))


def test_secrets_scan_knows_tokens(tmp_path: Path):
    """Certain, wherever it stands; what has the prefix and no checksum is none."""
    text = new_token(secrets.randbelow)
    assert is_token(text)
    wrong = text[:-1] + ("0" if text[-1] != "0" else "1")
    (tmp_path / "a.py").write_text(f'header = "Bearer {text}"\nother = "{wrong}"\n')
    (tmp_path / "b.yaml").write_text(f"run: curl -H 'Authorization: Bearer {text}' https://host\n")
    found = [(each.path.name, each.line, each.kind) for each in scan([tmp_path]) if each.certain]
    assert found == [("a.py", 1, "an API token of Rowkeeper"), ("b.yaml", 1, "an API token of Rowkeeper")]
    assert secret_in(wrong) is None


def test_tokens_are_unlike_each_other():
    """A thousand, each well-formed, each another."""
    made = {new_token(secrets.randbelow) for _ in range(1_000)}
    assert len(made) == 1_000
    assert all(map(is_token, made))
