"""What lies in the spool: accepted rows, a sealed file for each batch, until their run is published.

    spool/RUN/schema.sealed                   the contract's columns, as an Arrow schema
    spool/RUN/TOKEN-PARTITION-ROW.sealed      the rows of the batch that begins at this row, as an Arrow IPC stream

The ledger names each batch's file and its SHA-256. A file that it does not name is of a batch that was not noted before
the process died: it is read again, into a file of another name, as the token is another.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pyarrow as pa

from rowkeeper.errors import BooksDiffer, UnknownRun
from rowkeeper.ledger import BatchRecord, RunRecord, RunStatus
from rowkeeper.resilience.degrading import optional
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.room import check_room
from rowkeeper.runs.workspace import Workspace

COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")
ENDED = (RunStatus.PUBLISHED, RunStatus.ROLLED_BACK, RunStatus.FAILED, RunStatus.UNCHANGED)


def spool_folder(workspace: Workspace) -> Path:
    """Where the spool is."""
    return workspace.folder.path / "spool"


def write_schema(workspace: Workspace, run: int, schema: pa.Schema) -> None:
    """Seals the columns of a run, once: they are the same for whoever goes on with it."""
    name = _schema_name(run)
    if not (spool_folder(workspace) / name).exists():
        workspace.spool.write(name, schema.serialize().to_pybytes())


def read_schema(workspace: Workspace, run: int) -> pa.Schema:
    """The columns of a run. Raises IntegrityError if they are not there, or were changed."""
    return pa.ipc.read_schema(pa.py_buffer(workspace.spool.read(_schema_name(run))))


def _schema_name(run: int) -> str:
    return f"{run}/schema.sealed"


def write_rows(workspace: Workspace, name: str, rows: pa.Table) -> str:
    """Seals the rows of one batch; returns the SHA-256 of the file.

    Raises DiskFull, before anything is written if that would leave too little room.
    """
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema, options=COMPRESSED) as stream:
        stream.write_table(rows)
    data = sink.getvalue()
    check_room(workspace.site.home, len(data), workspace.settings.disk_free_min)
    failpoint("spool.before_write")
    digest = workspace.spool.write(name, data)
    failpoint("spool.after_write")
    return digest


def read_rows(workspace: Workspace, batch: BatchRecord) -> pa.Table:
    """The rows of one batch. Raises IntegrityError if they are not those that the ledger noted."""
    assert batch.spool_file is not None
    with pa.ipc.open_stream(workspace.spool.read(batch.spool_file, sha256=batch.spool_sha256)) as stream:
        rows = stream.read_all()
    if rows.num_rows != batch.staged:
        raise BooksDiffer(
            f"{batch.spool_file} holds {rows.num_rows:,} rows, and the ledger says {batch.staged:,}",
            hint=f"restore the spool from a backup, or give the run up: rowkeeper abandon {batch.run}",
        )
    return rows


def sweep(workspace: Workspace) -> None:
    """Removes the files of runs that are ended, however they ended. What cannot be removed stays for the next time."""
    for folder in _folders(workspace):
        run = _ended_run(workspace, folder)
        if run is not None:
            failpoint("spool.before_remove")
            with optional(f"the removal of {folder}"):
                shutil.rmtree(folder)
            failpoint("spool.after_remove")


def _folders(workspace: Workspace) -> Iterator[Path]:
    root = spool_folder(workspace)
    if root.is_dir():
        yield from sorted(each for each in root.iterdir() if each.name.isdigit())


def _ended_run(workspace: Workspace, folder: Path) -> RunRecord | None:
    try:
        run = workspace.ledger.run(int(folder.name))
    except UnknownRun:
        return None  # of a ledger that was put back from an older copy: not for us to say
    return run if run.status in ENDED else None


def spool_bytes(workspace: Workspace, runs: Iterable[int] | None = None) -> int:
    """How much disk the spool takes; or these runs alone in it."""
    size, folders = 0, ["*"] if runs is None else map(str, runs)
    for file in chain.from_iterable(spool_folder(workspace).glob(f"{each}/*") for each in folders):
        with contextlib.suppress(FileNotFoundError):  # drained meanwhile
            size += file.stat().st_size
    return size
