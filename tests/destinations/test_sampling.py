"""Rows spread over a staging area, as the profile asks for them."""

from __future__ import annotations

import pyarrow as pa

import rowkeeper as rk
from rowkeeper.batch import ROW_ID
from rowkeeper.protocols import Change

PARTS, ROWS = 40, 5


def test_a_sample_is_in_one_piece_however_many_parts_it_is_from(tmp_path, monkeypatch):
    """The engine answers in a block of some rows for each part of 8,192. Of 100 million rows these are 12,000, which
    as such took a profile of the same 100,000 rows 15 times as long, and 200 MB.
    """
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("city", pa.string(), nullable=False)])
    with rk.Workspace.open(rk.Settings(home=tmp_path / "state", engine_idle_seconds=1)) as workspace:
        session = rk.destinations.clickhouse("trips", order_by=["id"]).connect(workspace.site, schema)
        session.prepare()
        session.stage_open(1, 1)
        for first in range(0, PARTS * ROWS, ROWS):
            ids = list(range(first, first + ROWS))
            rows = pa.table({"id": ids, "city": [f"city {each}" for each in ids]}, schema)
            session.stage(rows.append_column(ROW_ID, pa.array(ids, pa.uint64())))
        sample = session.staged(Change()).spread(["id", "city"], PARTS * ROWS, 100)
    assert sorted(sample["id"].to_pylist()) == list(range(PARTS * ROWS))
    assert [column.num_chunks for column in sample.columns] == [1, 1]
