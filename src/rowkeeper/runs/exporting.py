"""`rowkeeper quarantine export`: rejected rows out of quarantine, in the clear, for a person to mend.

One JSON object per line:

    _rk_row      the row's address in the run; it says which row it is when the mended file is replayed
    partition    of the source
    place        where a person finds it there
    errors       Pydantic's error list
    row          the row as it was read: an object with its columns, or the document itself where the source has those
    text         in the place of `row`, where it could not be read as a row

A classified value is a token (`tokens`), and text that is no row withheld, unless they are asked for with `--reveal`.

It is the one way by which rejected values leave the sealed files as a file: asked for by name, noted in the ledger
before a byte is written, and readable by nobody else (0600).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec
import pyarrow as pa

from rowkeeper.batch import RAW_LINE, ROW_ID, InputMode, partition_ordinal
from rowkeeper.errors import ConfigurationError, DiskFull, PipelineError, StateError
from rowkeeper.ledger import BatchRecord, RunRecord
from rowkeeper.logs import logger
from rowkeeper.runs.access import signature
from rowkeeper.runs.jsonvalues import NO_JSON, to_json
from rowkeeper.runs.rejects import ERRORS, MODE_KEY, OWN, PLACE, TEXT, describe_rejects, open_rejects
from rowkeeper.runs.replayed import replayed_rows
from rowkeeper.runs.shielding import clear_table
from rowkeeper.runs.tokens import Tokens
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.keysets import Keysets
from rowkeeper.security.sealing import NO_SPACE

ROWS_AT_ONCE = 8_192

log = logger("run")


@dataclasses.dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        unreadable: of the rows, those that could not be read as rows.
        replayed: rejected rows that were left out, as they were replayed before.
    """

    run: int
    path: Path
    rows: int
    unreadable: int
    replayed: int


def export(
    run: RunRecord, records: tuple[BatchRecord, ...], to: Path, workspace: Workspace, *, reveal: bool = False
) -> Exported:
    """Writes the rows of a run that are still in quarantine. Its files were opened once, and are sound.

    Args:
        reveal: classified values as well are written in the clear, and not as tokens.

    Raises:
        ConfigurationError: the file is there already, or cannot be made.
        PipelineError: every row was replayed.
        DiskFull, StateError: it cannot be written; then nothing of it is left.
    """
    loaded = workspace.ledger.loaded(run.pipeline, run.target)
    before = {key: each.partition for key, each in loaded.items()}
    marks = [replayed_rows(run.run, record, before) for record in records]
    replayed = sum(map(sum, marks))
    rows = sum(map(len, marks)) - replayed
    if not rows:
        raise PipelineError(
            f"every row that run {run.run} rejected was replayed before",
            hint="what was still bad is in the quarantine of the replay: rowkeeper quarantine list",
        )
    try:
        with os.fdopen(_made(to), "wb") as file:
            workspace.ledger.note_export(run.run, who=signature(), path=str(to.absolute()), rows=rows)
            log.warning("quarantine exported in the clear", run=run.run, pipeline=run.pipeline, rows=rows)
            keys = {each.ordinal: each.partition.key for each in workspace.ledger.partitions(run.run)}
            unreadable = _write(file, _lines(workspace, records, marks, keys, reveal=reveal))
    except ConfigurationError:
        raise  # the file that is there is not ours
    except OSError as error:
        to.unlink(missing_ok=True)
        kind = DiskFull if error.errno in NO_SPACE else StateError
        raise kind(f"{to} cannot be written: {error.strerror}", hint="name a file elsewhere: --to FILE") from error
    except BaseException:
        to.unlink(missing_ok=True)
        raise
    return Exported(run.run, to, rows, unreadable, replayed)


def _made(to: Path) -> int:
    """A new file for its owner alone, whatever the umask."""
    try:
        descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigurationError(f"{to} is there already", hint="name another file, or move that one away") from error
    except OSError as error:
        raise ConfigurationError(f"{to} cannot be made: {error.strerror}", hint="name a file elsewhere") from error
    with contextlib.suppress(OSError):  # a file system without modes
        os.fchmod(descriptor, 0o600)
    return descriptor


def _write(file: IO[bytes], lines: Iterator[Mapping[str, Any] | bytes]) -> int:
    """Writes the lines durably; returns how many are of rows that could not be read."""
    unreadable = 0
    for line in lines:
        if isinstance(line, bytes):
            file.write(line + b"\n")
        else:
            unreadable += "row" not in line
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())
    return unreadable


def _lines(
    workspace: Workspace,
    records: tuple[BatchRecord, ...],
    marks: list[bytearray],
    partitions: Mapping[int, str],
    *,
    reveal: bool,
) -> Iterator[Mapping[str, Any] | bytes]:
    for record, replayed in zip(records, marks, strict=True):
        table = open_rejects(workspace.quarantine, str(record.quarantine_file))
        if reveal:
            table = clear_table(table, workspace.keysets)
        for first in range(0, table.num_rows, ROWS_AT_ONCE):
            part = table.slice(first, ROWS_AT_ONCE)
            left = pa.array([not mark for mark in replayed[first : first + ROWS_AT_ONCE]], pa.bool_())
            yield from _lines_of(part.filter(left), partitions, workspace.keysets)


def _lines_of(table: pa.Table, partitions: Mapping[int, str], keysets: Keysets) -> Iterator[Mapping[str, Any] | bytes]:
    tokens = Tokens.of(table, keysets)
    documents = (table.schema.metadata or {}).get(MODE_KEY) == InputMode.JSON.value.encode()
    rows = _documents(table, tokens) if documents else _objects(table, tokens)
    own = table.select([ROW_ID, PLACE, ERRORS]).to_pylist()
    for each, row, shown in zip(own, rows, describe_rejects(table, keysets), strict=True):
        head = {
            ROW_ID: each[ROW_ID],
            "partition": partitions[partition_ordinal(each[ROW_ID])],
            "place": each[PLACE],
            "errors": json.loads(each[ERRORS]),
        }
        if isinstance(row, bytes):  # a document as it stands: its numbers have digits that Python would not keep
            yield json.dumps(head, ensure_ascii=False).encode()[:-1] + b', "row": ' + row + b"}"
        elif row is NO_JSON:
            yield {**head, "text": shown["text"] if "text" in shown else _text_of(shown["row"])}
        else:
            yield {**head, "row": row}


def _text_of(row: Mapping[str, Any]) -> str:
    return str(row.get(RAW_LINE, row))


def _documents(table: pa.Table, tokens: Tokens | None) -> list[Any]:
    """Documents that are JSON as they stand, `NO_JSON` for the others."""
    if RAW_LINE not in table.column_names:
        return [NO_JSON] * table.num_rows
    if tokens is not None:
        return tokens.documents(table)
    return [NO_JSON if raw is None or not _is_json(raw) else raw.strip() for raw in table[RAW_LINE].to_pylist()]


def _is_json(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return b"\n" not in raw


def _objects(table: pa.Table, tokens: Tokens | None) -> list[Any]:
    """Rows as objects, `NO_JSON` where one could not be read, or has a value without a JSON form."""
    names = [name for name in table.column_names if name not in OWN]
    sealed = {} if tokens is None else {name: tokens.column(table, name) for name in names}
    columns = [sealed.get(name) or to_json(table[name].combine_chunks()) for name in names]
    unread = [text is not None for text in table[TEXT].to_pylist()]
    rows = zip(*columns, strict=True) if columns else ((),) * table.num_rows
    return [
        NO_JSON if bad or not names or any(value is NO_JSON for value in row) else dict(zip(names, row, strict=True))
        for bad, row in zip(unread, rows, strict=True)
    ]
