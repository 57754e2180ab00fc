"""Passwords: Argon2id with today's parameters, and none that is guessed first."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from rowkeeper.access.authentication.passwords import Passwords, refuse_weak
from rowkeeper.caller import CallerKind
from rowkeeper.errors import AuthenticationFailed, CredentialUnfit, PasswordUnfit
from tests.access.authentication.installation import OTHER, PASSWORD, Installation


def test_the_parameters_are_those_of_the_standards():
    """Argon2id with 64 MiB and 3 passes: the second choice of RFC 9106, and beyond what OWASP asks for at least."""
    used = extract_parameters(Passwords().hash(PASSWORD))
    assert (used.type, used.memory_cost, used.time_cost) == (Type.ID, 64 * 1024, 3)


def test_the_ledger_holds_no_password(here: Installation):
    """Neither it, nor a hash that is the same for two accounts with the same password."""
    here.add("ann")
    here.add("bob")
    accounts = [here.ledger.signing_in.passwords.account(name) for name in ("ann", "bob")]
    assert len({each.hash for each in accounts if each}) == 2
    files = [path.read_bytes() for path in here.home.rglob("ledger.sqlite*")]
    assert files
    assert not any(PASSWORD.encode() in content for content in files)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "shrt",
        "elevenlette",
        "password1234",
        "passwordpassword",
        "qwertyuiop12",
        "aaaaaaaaaaaaaaaa",
        "123456789012",
        "annannannann",
        "rowkeeper2026",
        "x" * 513,
    ],
)
def test_what_is_guessed_first_is_refused(here: Installation, password: str):
    """Too short, too long, on the lists, a pattern, or the account's own name; and the error does not repeat it."""
    here.add("ann")
    with pytest.raises(PasswordUnfit) as caught:
        here.authentication.change_password("ann", password)
    assert not password or password not in f"{caught.value.what} {caught.value.hint}"
    here.login()


@pytest.mark.parametrize(
    "password", [PASSWORD, "gq7!xT2@mZ5#", "тридцать три коровы в поле", "x9" + "кот" * 100 + "z!w"]
)
def test_good_ones_are_taken(password: str):
    """Of any letters, long or mixed, without rules about classes of them."""
    refuse_weak(password, "ann")


def test_a_password_is_the_same_however_it_is_typed(here: Installation):
    """One letter as one code point or as two (NFKC)."""
    here.add("ann", password="caf\u00e9 au lait at nine sharp")
    here.login(password="cafe\u0301 au lait at nine sharp")


@pytest.mark.parametrize("password", ["\ud800 lone surrogate here", "nul\0in the middle", "x" * 100_000])
def test_strange_input_is_a_wrong_password(here: Installation, password: str):
    """No error but the one there is, and no megabytes hashed."""
    here.add("ann")
    with pytest.raises(AuthenticationFailed):
        here.login(password=password)


def test_a_long_password_is_not_one_that_begins_alike(here: Installation):
    """What is beyond the longest that is taken is not cut off and accepted."""
    longest = PASSWORD.ljust(512, "b")
    here.add("ann", password=longest)
    here.login(password=longest)
    with pytest.raises(AuthenticationFailed):
        here.login(password=f"{longest}z")


def test_when_parameters_rise_hashes_follow_at_the_next_login(here: Installation):
    """The next login hashes anew, the one after that finds it so; nobody's session ends by it."""
    here.add("ann")
    kept = here.login()
    stronger = Passwords(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    here.authentication._passwords = here.authentication._sign_in._passwords = stronger
    before = here.ledger.signing_in.passwords.account("ann")
    here.login()
    after = here.ledger.signing_in.passwords.account("ann")
    assert before is not None
    assert after is not None
    assert (extract_parameters(before.hash).time_cost, extract_parameters(after.hash).time_cost) == (1, 2)
    here.login()
    assert here.ledger.signing_in.passwords.account("ann") == after
    assert here.by_session(kept.secret).name == "ann"


def test_a_failed_login_does_not_hash_anew(here: Installation):
    """Only who knows the password does."""
    here.add("ann")
    stronger = Passwords(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    here.authentication._passwords = here.authentication._sign_in._passwords = stronger
    before = here.ledger.signing_in.passwords.account("ann")
    with pytest.raises(AuthenticationFailed):
        here.login(password=OTHER)
    assert here.ledger.signing_in.passwords.account("ann") == before


def test_services_have_no_password(here: Installation):
    """They have tokens and certificates; and nobody signs in as one."""
    here.ledger.users.add("loader", CallerKind.SERVICE, frozenset({"operator"}))
    with pytest.raises(CredentialUnfit, match="loader is a service"):
        here.authentication.change_password("loader", PASSWORD)
    with pytest.raises(AuthenticationFailed):
        here.login("loader")
