"""What a reader sees of the product, in one process: `python product_reader.py PIPELINE TABLE [--watch]`.

It goes through the product's own doors (the engine's host, the ledger, the sealed files of quarantine), and prints
an outcome as JSON: the contract's columns of the table, the accounts of published runs, their rejected rows.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from rowkeeper.destinations import read_client
from rowkeeper.errors import FrameworkError
from rowkeeper.runs.rejects import describe_rejects, open_rejects
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings

COLUMNS = "id, city, fare, made"


def _read(pipeline: str, table: str) -> dict[str, list[str]]:
    with Workspace.open(Settings()) as space:
        with read_client(space.site) as client:
            # A table that is not there yet is an empty one.
            known = client.query(f"SELECT name FROM system.tables WHERE name = '{table}' AND database != 'system'").rows
            rows = client.query(f"SELECT {COLUMNS} FROM {table}").rows if known else []
        published = [run for run in space.ledger.runs(limit=10_000, pipeline=pipeline) if run.status == "published"]
        rejected: list[Any] = []
        for run in published:
            for record in space.ledger.quarantine(run.run):
                rejected += describe_rejects(open_rejects(space.quarantine, str(record.quarantine_file)), space.keysets)
        return {
            "rows": [json.dumps(list(row), default=str) for row in rows],
            "accounts": [f"{run.kind} {run.account.as_dict()} {run.fingerprint}" for run in published],
            "quarantine": [f"{row['place']} {row['errors']} {row.get('row', row.get('text'))}" for row in rejected],
        }


def _watch(table: str) -> None:
    """Prints the number of rows and their hash until it is killed."""
    with Workspace.open(Settings()) as space, read_client(space.site) as client:
        while True:
            result = client.query(f"SELECT count(), sum(cityHash64({COLUMNS})) FROM {table}")
            print(*result.rows[0], flush=True)


def main() -> int:
    """Prints what is there; one line on standard error and status 1 where it cannot be read."""
    try:
        if "--watch" in sys.argv:
            _watch(sys.argv[2])
        print(json.dumps(_read(*sys.argv[1:3])))
    except FrameworkError as error:
        print(f"{type(error).__name__}: {error.what}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
