"""An installation with accounts, at a time that the test sets; its passwords are hashed in a moment."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from rowkeeper.access import Access, OwnerOnly
from rowkeeper.access.authentication import Authentication, Credentials, Rules
from rowkeeper.access.authentication.passwords import Passwords
from rowkeeper.caller import Caller
from rowkeeper.ledger import Ledger
from rowkeeper.ledger.audit import Entry
from rowkeeper.security.keysets import Keysets
from rowkeeper.security.statefolder import open_state_folder
from tests.auditing import AUDITING

PASSWORD = "lamps walk over nine hills"
OTHER = "five rivers hold a drum"
HERE, THERE = "192.0.2.7", "198.51.100.9"
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@dataclasses.dataclass
class Clock:
    """The time, as a test sets it; also seconds that never go back."""

    now: datetime = datetime(2026, 11, 26, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def steady(self) -> float:
        return self.now.timestamp()

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclasses.dataclass
class Installation:
    """One process's view of it."""

    home: Path
    ledger: Ledger
    keysets: Keysets
    clock: Clock
    authentication: Authentication

    def add(self, name: str = "ann", *roles: str, password: str | None = PASSWORD) -> None:
        self.ledger.users.add(name, roles=frozenset(roles or {"viewer"}))
        if password is not None:
            self.authentication.change_password(name, password)

    def login(self, name: str = "ann", password: str = PASSWORD, code: str | None = None, address: str = HERE):
        return self.authentication.login(name, password, code, address)

    def by_session(self, secret: str, address: str = HERE) -> Caller:
        return self.authentication.caller(Credentials(session=secret, address=address))

    def by_token(self, text: str, address: str = HERE) -> Caller:
        return self.authentication.caller(Credentials(bearer=text, address=address))

    def told(self, action: str) -> list[Entry]:
        return self.ledger.audit.newest(1_000, action)

    @contextlib.contextmanager
    def another_process(self) -> Iterator[Installation]:
        """The same ledger, opened once more: nothing in memory is shared."""
        with opened(self.home, self.clock, self.keysets) as other:
            yield other


@contextlib.contextmanager
def opened(
    home: Path,
    clock: Clock,
    keysets: Keysets | None = None,
    passwords: Passwords | None = None,
    provider: Any = None,
    url: str | None = None,
    **more: Any,
) -> Iterator[Installation]:
    keys = keysets or open_state_folder(home, f"file:{home.parent / 'key'}").keysets
    with Ledger.open(url, home, clock, auditing=AUDITING) as ledger:
        access = Access(OwnerOnly(home), ledger.audit)
        made = passwords or Passwords(QUICK)
        rules = Rules(idle=timedelta(minutes=30), lasts=timedelta(hours=12), **more)
        authentication = Authentication(
            ledger, keys, access, rules, provider=provider, passwords=made, steady=clock.steady
        )
        yield Installation(home, ledger, keys, clock, authentication)
