"""Rejected rows: sealed away with their errors and their place, and read again for a replay.

A quarantine file holds the rejected rows of one batch as an Arrow IPC stream, sealed. Its columns are the raw
columns of the source, and beside them:

    _rk_row      uint64   the row's address in the run that rejected it
    _rk_place    string   where a person finds it: file, and line or row
    _rk_errors   string   Pydantic's error list as JSON
    _rk_text     binary   the row as it stands in the source, where it could not be read as a row

The cells of classified columns, and `_rk_text` where there are any, are sealed each by itself (`shielding`).
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import Any, TypeVar

import pyarrow as pa

from rowkeeper.batch import RAW_LINE, ROW_ID, Batch, InputMode, Verdict, partition_ordinal, row_ids, row_number
from rowkeeper.ledger import BatchRecord
from rowkeeper.protocols import DuplicateRow, RefusedRow
from rowkeeper.runs.shielding import Shield, clear_table, masked_cells, shield_stored
from rowkeeper.security.keysets import Keysets
from rowkeeper.security.sealing import Seal

PLACE, ERRORS, TEXT = "_rk_place", "_rk_errors", "_rk_text"
OWN = (ROW_ID, PLACE, ERRORS, TEXT)
MODE_KEY = b"rk:mode"
REFUSED = "rk_refused"
REPLAYED = "quarantine:"  # how the keys of partitions begin that are rows of a quarantine
Apart = TypeVar("Apart", DuplicateRow, RefusedRow)


@dataclasses.dataclass(frozen=True, slots=True)
class Rejects:
    """The rejected rows of one batch, ready to be sealed.

    Attributes:
        table: as described above.
        reasons: "field: error type" to how often; names only, no values.
    """

    table: pa.Table
    reasons: Mapping[str, int]


def rejects_of(batch: Batch, ordinal: int, verdict: Verdict, shield: Shield | None = None) -> Rejects | None:
    """Collects what the contract refused and what the source could not read; None if that is nothing.

    Args:
        shield: seals what is classified, and withholds errors that may quote it.
    """
    if not verdict.rejected and not batch.malformed:
        return None
    positions = pa.array(verdict.rejected.positions, pa.int64())
    raw = batch.table.take(positions)
    unread = batch.malformed
    unread_errors = [[{"type": row.type, "loc": [], "msg": row.message}] for row in unread]
    said = verdict.rejected.texts if shield is None else shield.errors(verdict.rejected.texts)
    errors = [*said, *map(json.dumps, unread_errors)]
    numbers = pa.concat_arrays(
        [
            batch.row_numbers.take(positions).cast(pa.uint64()),
            pa.array([row.row for row in unread], pa.uint64()),
        ]
    )
    places = [*batch.places_of(positions), *(row.place for row in unread)]
    own = {
        ROW_ID: row_ids(ordinal, numbers),
        PLACE: pa.array([_placed(batch.partition, place) for place in places], pa.string()),
        ERRORS: pa.array(errors, pa.string()),
        TEXT: pa.array([None] * raw.num_rows + [row.text for row in unread], pa.large_binary()),
    }
    blank = pa.table({name: pa.nulls(len(unread), raw.schema.field(name).type) for name in raw.column_names})
    whole = pa.concat_tables([raw, blank.cast(pa.schema(raw.schema))]) if raw.num_columns else None
    table = pa.table({**own, **({name: whole[name] for name in raw.column_names} if whole is not None else {})})
    table = table.replace_schema_metadata({MODE_KEY: batch.mode.value.encode()})
    return Rejects(table if shield is None else shield.seal(table, raw.column_names, batch.mode), _reasons(errors))


def _placed(partition: str, place: str) -> str:
    """A row that is replayed stays where it was found first."""
    return place if partition.startswith(REPLAYED) else f"{partition}, {place}"


def _reasons(errors: Sequence[str]) -> dict[str, int]:
    """How often each reason is given; many rows have the same errors, to the letter."""
    found: Counter[str] = Counter()
    for text, times in Counter(errors).items():
        for error in json.loads(text)[:1]:
            found[_reason(error)] += times
    return dict(found)


def rejects_of_duplicates(
    rows: Sequence[DuplicateRow], partitions: Mapping[int, str], classified: frozenset[str], keysets: Keysets
) -> Rejects:
    """Duplicates that the destination found, as rejected rows whose text is their values as JSON.

    Args:
        classified: columns that hold classified values in the clear.
    """
    error = [{"type": "rk_duplicate", "loc": [], "msg": "a row of the same key was there before"}]
    places = [f"{partitions[row.row_id >> 40]}, row {row_number(row.row_id) + 1}" for row in rows]
    table = pa.table(
        {
            ROW_ID: pa.array([row.row_id for row in rows], pa.uint64()),
            PLACE: pa.array(places, pa.string()),
            ERRORS: pa.array([json.dumps(error)] * len(rows), pa.string()),
            TEXT: pa.array([json.dumps(row.values, default=str).encode() for row in rows], pa.large_binary()),
        }
    )
    table = table.replace_schema_metadata({MODE_KEY: InputMode.JSON.value.encode()})
    return Rejects(shield_stored(table, classified, keysets), {"rk_duplicate": len(rows)})


def rejects_of_refused(
    rows: Sequence[RefusedRow],
    partitions: Mapping[int, str],
    classified: frozenset[str],
    keysets: Keysets,
    *,
    protects: bool,
) -> Rejects:
    """Rows that the other side refused, as rejected rows with its answer.

    They are JSON documents of the contract's fields, which a replay reads again. Where columns are protected or
    classified they are text, which none does: a protected value would be protected twice.

    Args:
        classified: columns that hold classified values in the clear. Where there are any, the answer is withheld: it
            may quote them.
    """
    documents = [json.dumps(row.values, default=str).encode() for row in rows]
    nothing = [None] * len(rows)
    as_text = protects or bool(classified)
    errors = []
    for row in rows:
        told = "" if classified or not row.answer else f": {row.answer}"
        errors.append([{"type": REFUSED, "loc": [], "msg": f"the destination answered {row.status}{told}"}])
    places = [f"{partitions[row.row_id >> 40]}, row {row_number(row.row_id) + 1}" for row in rows]
    table = pa.table(
        {
            ROW_ID: pa.array([row.row_id for row in rows], pa.uint64()),
            PLACE: pa.array(places, pa.string()),
            ERRORS: pa.array([json.dumps(each) for each in errors], pa.string()),
            TEXT: pa.array(documents if as_text else nothing, pa.large_binary()),
            **({} if as_text else {RAW_LINE: pa.array(documents, pa.large_binary())}),
        }
    )
    table = table.replace_schema_metadata({MODE_KEY: InputMode.JSON.value.encode()})
    return Rejects(shield_stored(table, classified, keysets), {REFUSED: len(rows)})


def _reason(error: Mapping[str, Any]) -> str:
    """The field and the error's type: the first part of the location only, as later ones may be data."""
    return f"{error['loc'][0]}: {error['type']}" if error["loc"] else str(error["type"])


def seal_rejects(seal: Seal, name: str, rejects: Rejects) -> str:
    """Writes a quarantine file durably; returns the SHA-256 of its bytes."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rejects.table.schema) as stream:
        stream.write_table(rejects.table)
    return seal.write(name, sink.getvalue())


def open_rejects(seal: Seal, name: str) -> pa.Table:
    """Reads a quarantine file; the cells of classified columns stay sealed. Raises IntegrityError if it was changed."""
    with pa.ipc.open_stream(seal.read(name)) as stream:
        return stream.read_all()


def clear_rejects(seal: Seal, name: str, keysets: Keysets) -> pa.Table:
    """Reads a quarantine file, its classified cells in the clear: for memory, and for whoever may see them."""
    return clear_table(open_rejects(seal, name), keysets)


def describe_rejects(table: pa.Table, keysets: Keysets) -> Iterator[dict[str, Any]]:
    """Each rejected row as a JSON-safe document: place, errors, and the row (or its text).

    Of a table whose classified cells are sealed, they are shown masked; text of an unreadable row is then withheld.
    """
    raw_names = [name for name in table.column_names if name not in OWN]
    masked = masked_cells(table, keysets)
    for place, row in enumerate(table.to_pylist()):
        text = row[TEXT]
        shown: dict[str, Any] = {"place": row[PLACE], "errors": json.loads(row[ERRORS])}
        if text is not None:
            shown["text"] = masked[TEXT][place] if TEXT in masked else text.decode(errors="backslashreplace")
        else:
            shown["row"] = {
                name: masked[name][place] if name in masked else _json_safe(row[name]) for name in raw_names
            }
        yield shown


def _json_safe(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return value if value is None or isinstance(value, (str, int, float, bool, list, dict)) else str(value)


def places_of(table: pa.Table, limit: int) -> dict[str, list[str]]:
    """By reason, where some of the rejected rows came from: file and line, no values."""
    found: dict[str, list[str]] = {}
    for row in table.select([PLACE, ERRORS]).to_pylist():
        for error in json.loads(row[ERRORS])[:1]:
            places = found.setdefault(_reason(error), [])
            if len(places) < limit:
                places.append(row[PLACE])
    return found


def sealed_apart(
    seal: Seal,
    run: int,
    kind: str,
    rows: Iterator[Apart],
    *,
    file_rows: int,
    rejects_of: Callable[[list[Apart]], Rejects],
) -> Iterator[BatchRecord]:
    """Seals away rows of a run that were staged and are not committed, in files of a bounded size.

    Args:
        kind: what they are, by which the files are named: `duplicates`.
        rows: in order of row id.
        file_rows: how many a file holds at most.
        rejects_of: makes some of them ready to be sealed.
    """
    for ordinal, group in groupby(rows, key=lambda row: partition_ordinal(row.row_id)):
        while chunk := list(islice(group, file_rows)):
            rejects = rejects_of(chunk)
            name = f"{run}/{kind}-{chunk[0].row_id}.sealed"
            yield BatchRecord(
                run=run,
                partition_ordinal=ordinal,
                first_row=0,
                next_row=0,
                staged=0,
                quarantined=len(chunk),
                filtered=0,
                quarantine_file=name,
                quarantine_sha256=seal_rejects(seal, name, rejects),
                reasons=rejects.reasons,
                staged_at=datetime.now(UTC),
            )
