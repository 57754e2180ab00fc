"""Failures make whoever fails wait, longer each time, and lock nobody out for ever; what is wrong is not told."""

from __future__ import annotations

import statistics
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from rowkeeper.access.authentication.lockout import ACCOUNT_FREE, ADDRESS_FREE, LONGEST, growing, place_of
from rowkeeper.access.authentication.passwords import Passwords
from rowkeeper.errors import AuthenticationFailed
from rowkeeper.ledger.audit import Outcome
from tests.access.authentication.installation import HERE, OTHER, THERE, Clock, Installation, opened


def fail(here: Installation, times: int = 1, name: str = "ann", address: str = THERE) -> None:
    for _ in range(times):
        with pytest.raises(AuthenticationFailed):
            here.login(name, OTHER, address=address)


def is_let_in(here: Installation, name: str = "ann", address: str = THERE) -> bool:
    try:
        here.login(name, address=address)
    except AuthenticationFailed:
        return False
    return True


def test_delays_grow_to_a_quarter_of_an_hour():
    """None for the first failures, then 1 s, 2 s, 4 s, ..., and never more than the longest."""
    delays = [growing(5)(failures).total_seconds() for failures in range(1, 20)]
    assert delays[:8] == [0, 0, 0, 0, 1, 2, 4, 8]
    assert delays[13:] == [512, 900, 900, 900, 900, 900]
    assert growing(5)(10**9) == LONGEST == timedelta(minutes=15)


def test_after_some_failures_the_right_password_waits_too(here: Installation):
    """By the clock, and no longer: then it is let in, and what was counted is forgotten."""
    here.add()
    fail(here, ACCOUNT_FREE)
    assert not is_let_in(here)
    here.clock.pass_by(seconds=1)
    assert is_let_in(here)
    fail(here, ACCOUNT_FREE - 1)
    assert is_let_in(here)


def test_each_further_failure_doubles_the_delay(here: Installation):
    """The sixth 2 s, the seventh 4 s."""
    here.add()
    fail(here, ACCOUNT_FREE)
    for seconds in (1, 2, 4, 8):
        here.clock.pass_by(seconds=seconds - 0.5)
        assert not is_let_in(here)
        here.clock.pass_by(seconds=0.5)
        fail(here)


def test_an_admin_is_not_locked_out_for_ever(here: Installation):
    """Somebody fails at the account without end from everywhere; from where she signs in she is let in, always."""
    here.add("admin")
    assert is_let_in(here, "admin", HERE)
    for number in range(60):
        fail(here, 1, "admin", f"198.51.{number}.9")
        here.clock.pass_by(seconds=5)
    assert not is_let_in(here, "admin", "203.0.113.1")
    assert is_let_in(here, "admin", HERE)


def test_from_elsewhere_nobody_waits_longer_than_the_longest(here: Installation):
    """Attempts that come too early neither count nor lengthen the wait."""
    here.add()
    for _ in range(30):
        fail(here)
        here.clock.pass_by(minutes=15)
    fail(here)
    for _ in range(29):
        here.clock.pass_by(seconds=30)
        fail(here)
    here.clock.pass_by(seconds=30)
    assert is_let_in(here)


def test_at_a_known_address_failures_count_as_well(here: Installation):
    """Somebody at her desk guesses no faster than others."""
    here.add()
    assert is_let_in(here, "ann", HERE)
    fail(here, ACCOUNT_FREE, "ann", HERE)
    assert not is_let_in(here, "ann", HERE)
    assert is_let_in(here, "ann", THERE)


def test_an_address_waits_whatever_names_it_tries(here: Installation):
    """One password for a thousand names; another address goes on meanwhile."""
    here.add()
    for number in range(ADDRESS_FREE):
        fail(here, 1, f"name{number}", THERE)
    assert not is_let_in(here, "ann", THERE)
    assert is_let_in(here, "ann", HERE)
    here.clock.pass_by(seconds=1)
    assert is_let_in(here, "ann", THERE)


def test_an_own_account_does_not_buy_guesses_at_others(here: Installation):
    """Who signs in as himself between two guesses has his address counted on."""
    here.add("eve")
    here.add("ann")
    for number in range(ADDRESS_FREE):
        assert is_let_in(here, "eve", THERE)
        fail(here, 1, f"name{number}", THERE)
    assert not is_let_in(here, "eve", THERE)


def test_failures_are_kept_by_the_ledger(here: Installation):
    """Another process, or this one after a new start, counts on."""
    here.add()
    fail(here, ACCOUNT_FREE)
    with here.another_process() as other:
        assert not is_let_in(other)


def test_guesses_at_the_same_time_are_no_more_guesses(here: Installation):
    """Twenty at once: counted before the password is looked at, five of them are looked at."""
    here.add()
    threads = [threading.Thread(target=fail, args=(here,)) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    why = [each.event.detail["why"] for each in here.told("session.begin")]
    assert (why.count("password"), why.count("early")) == (ACCOUNT_FREE, 20 - ACCOUNT_FREE)


def test_after_a_day_failures_are_forgotten(here: Installation):
    """And the table of them does not grow for ever."""
    here.add()
    fail(here, ACCOUNT_FREE - 1)
    here.clock.pass_by(days=1, seconds=1)
    fail(here, ACCOUNT_FREE - 1)
    assert is_let_in(here)


def test_a_new_password_ends_the_waiting(here: Installation):
    """Who owns the machine can always help: `rowkeeper users password`."""
    here.add()
    for _ in range(12):
        fail(here)
        here.clock.pass_by(minutes=15)
    fail(here, 1)
    here.authentication.change_password("ann", OTHER)
    assert here.login(password=OTHER, address=HERE).user == "ann"


def test_refusals_and_locks_are_on_the_record(here: Installation):
    """With why, and for how long; by an id where there is an account, and without the name where there is none."""
    here.add()
    here.ledger.users.add("gone")
    here.ledger.users.set_enabled("gone", False)
    fail(here, ACCOUNT_FREE + 1)
    fail(here, 1, "gone", HERE)
    fail(here, 1, "my secret password", HERE)
    refused = [each for each in here.told("session.begin") if each.event.outcome is Outcome.REFUSED]
    assert [each.event.detail["why"] for each in refused] == ["password"] * 5 + ["early", "disabled", "unknown"]
    assert {each.address for each in refused} == {HERE, THERE}
    assert {each.name for each in refused} == {"anonymous:nobody"}
    assert dict(refused[-1].event.on) == {}
    assert [each.event.detail["seconds"] for each in here.told("user.lock")] == [1]
    stored = b"".join(path.read_bytes() for path in here.home.rglob("ledger.sqlite*"))
    assert b"my secret password" not in stored


def test_one_answer_for_whatever_is_wrong(here: Installation):
    """Unknown, wrong, disabled, locked, without a password: the same class, sentence and hint."""
    for name in ("ann", "locked"):
        here.add(name)
    here.add("gone")
    here.ledger.users.set_enabled("gone", False)
    here.ledger.users.add("bare")
    fail(here, ACCOUNT_FREE, "locked", "203.0.113.5")
    told = set()
    for name in ("ann", "locked", "gone", "bare", "nobody", "", "x" * 5_000):
        with pytest.raises(AuthenticationFailed) as caught:
            here.login(name, OTHER, address=HERE)
        told.add((type(caught.value), *caught.value.document().values(), str(caught.value.context)))
    assert len(told) == 1


def test_one_time_for_whatever_is_wrong(tmp_path: Path):
    """The time of an unknown user, a wrong password, a disabled and a locked account is of one distribution.

    Processor time of this thread, in turns, so that what else the machine does touches all alike: their medians differ
    by less than a fifth; without the hash one would be a third of the others.
    """
    passwords = Passwords(PasswordHasher(time_cost=3, memory_cost=4 * 1024, parallelism=1))
    with opened(tmp_path / "state", Clock(), passwords=passwords) as here:
        for name in ("ann", "gone", "locked"):
            here.add(name)
        here.ledger.users.set_enabled("gone", False)
        for _ in range(15):
            fail(here, 1, "locked", "203.0.113.5")
            here.clock.pass_by(minutes=15)
        fail(here, 1, "locked", "203.0.113.5")
        taken: dict[str, list[float]] = {name: [] for name in ("ann", "gone", "locked", "nobody")}
        for turn in range(12):
            for name, times in taken.items():
                begun = time.thread_time()
                fail(here, 1, name, f"192.0.{turn}.{len(name)}")
                times.append(time.thread_time() - begun)
            for name in ("ann", "gone", "nobody"):  # not to be locked themselves
                here.ledger.signing_in.throttles.forget([_account(here, name)])
    medians = {name: statistics.median(each) for name, each in taken.items()}
    assert max(medians.values()) < 1.2 * min(medians.values()), medians


def _account(here: Installation, name: str) -> str:
    lockout = here.authentication._sign_in._lockout
    return lockout.counted(name, "", known=False).account.key


def test_an_address_of_ipv6_is_its_network():
    """One place has 2^64 of them."""
    assert place_of("2001:db8:1:2::1") == place_of("2001:db8:1:2:ffff::9") != place_of("2001:db8:1:3::1")
    assert place_of("::ffff:192.0.2.7") == place_of("192.0.2.7") == "192.0.2.7"
    assert place_of("fe80::1%eth0") == place_of("fe80::2%eth1")
    assert place_of("a socket") == "a socket"
