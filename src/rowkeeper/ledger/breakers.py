"""Circuit breakers as the processes share them: the ledger's side of `resilience.sharing.BreakerStore`.

The one table that is no record: it may be lost. So it is written without waiting for the disk, and whoever finds the
ledger busy goes without rather than wait.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Engine, insert, select, update

from rowkeeper.ledger.database import hasty, reading, writing
from rowkeeper.ledger.leases import Clock, host_name
from rowkeeper.ledger.schema import breakers
from rowkeeper.protocols import WayOut
from rowkeeper.resilience.breaker import Name
from rowkeeper.resilience.sharing import SharedState


class LedgerBreakers:
    """Implements `resilience.sharing.BreakerStore`."""

    def __init__(self, engine: Engine, clock: Clock, way_out: WayOut | None = None) -> None:
        self._engine = hasty(engine, way_out)
        self._clock = clock

    def read(self) -> Sequence[SharedState]:
        """All that is known, a row for each breaker that ever opened. Raises DatabaseError or IntegrityError."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(breakers).order_by(breakers.c.host, breakers.c.operation)).all()
        now = self._clock()
        return [
            SharedState(
                Name(row.host, row.operation),
                None if row.open_until is None else max(0.0, (row.open_until - now).total_seconds()),
                row.openings,
                row.version,
            )
            for row in rows
        ]

    def write(self, name: Name, open_seconds: float | None, openings: int) -> int:
        """Notes an opening or a closing (None), and returns the new version. Raises as `read`."""
        now = self._clock()
        mine = (breakers.c.host == name.host) & (breakers.c.operation == name.operation)
        with writing(self._engine, "breaker") as connection:
            version = connection.execute(select(breakers.c.version).where(mine).with_for_update()).scalar_one_or_none()
            values = {
                "open_until": None if open_seconds is None else now + timedelta(seconds=open_seconds),
                "openings": openings,
                "version": (version or 0) + 1,
                "changed_at": now,
                "changed_by": f"{host_name()}/{os.getpid()}",
            }
            if version is None:
                connection.execute(insert(breakers).values(host=name.host, operation=name.operation, **values))
            else:
                connection.execute(update(breakers).where(mine).values(**values))
        return (version or 0) + 1

    def close(self) -> None:
        """Gives its connections back."""
        self._engine.dispose()
