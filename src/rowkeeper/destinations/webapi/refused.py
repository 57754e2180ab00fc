"""Rows that were refused, and the answers, until they are in quarantine: in the engine, on its encrypted disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rowkeeper.batch import ROW_ID, Fingerprint
from rowkeeper.destinations.embedded.configuration import STORAGE_POLICY
from rowkeeper.destinations.mergetree.layout import HASH
from rowkeeper.destinations.mergetree.staging import PARTITION
from rowkeeper.destinations.mergetree.types import identifier, literal
from rowkeeper.destinations.staged import StagingArea
from rowkeeper.protocols import Posting, RefusedRow, Sealed

PAGE_ROWS = 5_000


class RefusedRows:
    """Those of one run.

    Args:
        area: entered.
    """

    def __init__(self, area: StagingArea, run: int) -> None:
        self._area = area
        self._run = run
        names = area.table.names
        self._name = names.quoted(f"{names.table}__refused_{run}")

    def make(self) -> None:
        """Makes room for them, unless there is."""
        self._area.table.statements.do(
            f"CREATE TABLE IF NOT EXISTS {self._name} (row UInt64, status UInt16, answer String) "
            f"ENGINE = MergeTree ORDER BY row SETTINGS storage_policy = {literal(STORAGE_POLICY)}"
        )

    def keep(self, rows: Sequence[tuple[int, int, str]]) -> None:
        """Keeps rows (address, status, answer), durably. What is kept twice counts once."""
        if not rows:
            return
        values = ", ".join(f"({address}, {status}, {literal(answer)})" for address, status, answer in rows)
        self._area.table.statements.do(f"INSERT INTO {self._name} VALUES {values}", happened=lambda: None)
        self._area.table.engine.sync()

    def rows(self) -> Iterator[RefusedRow]:
        """With their values, in the order of their addresses."""
        table = self._area.table
        staging = table.names.staging(table.run, table.token)
        columns = [name for name, _ in table.columns]
        listed = ", ".join(f"staged.{identifier(name)}" for name in columns)
        last = -1
        while True:
            found = table.statements.ask(
                f"SELECT staged.{ROW_ID}, refused.status, refused.answer, {listed} FROM {staging} AS staged INNER JOIN "
                f"(SELECT row, any(status) AS status, any(answer) AS answer FROM {self._name} GROUP BY row) AS refused "
                f"ON staged.{ROW_ID} = refused.row WHERE staged.{ROW_ID} > {last} "
                f"ORDER BY staged.{ROW_ID} LIMIT {PAGE_ROWS}"
            )
            for address, status, answer, *values in found:
                yield RefusedRow(int(address), dict(zip(columns, values, strict=True)), int(status), str(answer))
                last = int(address)
            if len(found) < PAGE_ROWS:
                return

    def delivered(self) -> Sealed:
        """All staged rows but these."""
        table = self._area.table
        found = table.statements.ask(
            f"SELECT {PARTITION}, count(), sum({HASH}) FROM {table.names.staging(table.run, table.token)} "
            f"WHERE {ROW_ID} NOT IN (SELECT row FROM {self._name}) GROUP BY 1"
        )
        by_partition = {int(ordinal): Fingerprint(int(count), int(total)) for ordinal, count, total in found}
        own = sum(by_partition.values(), Fingerprint())
        return Sealed(by_partition, {}, (Posting(self._run, own),) if own.rows else ())

    def drop(self) -> None:
        """They are in quarantine, or nothing was sent."""
        self._area.table.statements.do(f"DROP TABLE IF EXISTS {self._name}")
