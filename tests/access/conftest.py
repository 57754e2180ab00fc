"""A ledger for tests of permissions, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rowkeeper.access import CedarPermissions
from rowkeeper.ledger import Ledger
from rowkeeper.runs.workspace import Workspace
from tests.access.asking import Clocks, permissions_of
from tests.access.governed import furnish, opened
from tests.arena import Arena
from tests.auditing import AUDITING


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def ledger(tmp_path: Path, clocks: Clocks) -> Iterator[Ledger]:
    with Ledger.open(None, tmp_path, clocks.utc, auditing=AUDITING) as opened:
        yield opened


@pytest.fixture
def permissions(ledger: Ledger, tmp_path: Path, clocks: Clocks) -> CedarPermissions:
    return permissions_of(ledger, tmp_path, clocks)


@pytest.fixture(scope="module")
def furnished(arena: Arena) -> Arena:
    """A published run, a held one, an account, a role, a schedule: see `governed.furnish`."""
    furnish(arena)
    return arena


@pytest.fixture
def space(furnished: Arena) -> Iterator[Workspace]:
    """Its workspace in this process, as its owner has it."""
    with opened(furnished) as made:
        yield made
