"""Files of all kinds, made as long as the soak lasts, and what must become of their rows.

Every row has a number of its own, given out in order, so that each that is lost or doubled can be named.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PIPELINE = """
from typing import Annotated

import rowkeeper as rk
from pydantic import BaseModel, Field


class Trip(BaseModel):
    id: int
    city: str
    fare: Annotated[int, Field(ge=0)]


{name} = rk.Pipeline(
    "{name}",
    source=rk.sources.files("data/{name}/*"),
    contract=Trip,
    destination=rk.destinations.clickhouse("{name}", order_by=["id"], {options}),
    {when}
)
"""
BAD_EVERY = 13
"""One row of so many breaks the contract."""


def is_bad(number: int) -> bool:
    """Whether this row is one to be quarantined."""
    return number % BAD_EVERY == 0


@dataclass
class Feed:
    """One pipeline's files.

    Attributes:
        endings: of its files, by turns.
        options: of its destination.
        when: it is run by itself, as it is declared.
        again: of a merged destination: share of rows that come again, with another fare.
        sent: how often each row was sent; its fare is its number plus that.
        laid: by the name of its file: the good rows in it, number and fare.
    """

    name: str
    folder: Path
    endings: Sequence[str]
    source: random.Random
    options: str = ""
    when: str = ""
    again: float = 0.0
    sent: list[int] = field(default_factory=list)
    laid: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    files: int = 0
    rows: int = 0
    bad_rows: int = 0

    def declare(self) -> None:
        """Writes the pipeline file, and a first data file."""
        text = PIPELINE.format(name=self.name, options=self.options, when=self.when)
        (self.folder / f"{self.name}.py").write_text(text)
        (self.folder / "data" / self.name).mkdir(parents=True)
        self.add()

    def add(self) -> int:
        """One more file, whole at once as it must be. Returns its rows."""
        count = int(self.source.lognormvariate(6.0, 1.3)) + 1
        again = int(count * self.again) if len(self.sent) > count else 0
        old = sorted(self.source.sample(range(len(self.sent)), again))
        numbers = [*old, *range(len(self.sent), len(self.sent) + count - len(old))]
        self.sent += [0] * (count - len(old))
        for number in numbers:
            self.sent[number] += 1
        rows = [(each, f"city {each % 7}", -1 if is_bad(each) else each + self.sent[each]) for each in numbers]
        ending = self.endings[self.files % len(self.endings)]
        self.files += 1
        self.rows += len(rows)
        self.bad_rows += sum(is_bad(number) for number in numbers)
        path = self.folder / "data" / self.name / f"{self.files:06}.{ending}"
        self.laid[path.name] = [(number, fare) for number, _, fare in rows if fare >= 0]
        hidden = self.folder / "making"
        hidden.write_bytes(_content(rows, ending))
        os.replace(hidden, path)
        return count

    @property
    def good(self) -> int:
        """How many numbers must be in the table."""
        return sum(not is_bad(number) for number in range(len(self.sent)))

    @property
    def fares(self) -> int:
        """What the fares in the table must add up to."""
        return sum(number + times for number, times in enumerate(self.sent) if not is_bad(number))

    def figures_of(self, files: Sequence[str]) -> tuple[int, int, int, int]:
        """What a table holds into which these files were loaded, in this order: see `judging.Figures`."""
        fares: dict[int, int] = {}
        for name in files:
            fares.update(self.laid[name])
        rows = len(fares) if self.again else sum(len(self.laid[name]) for name in files)
        return rows, len(fares), sum(fares), sum(fares.values())


Rows = Sequence[tuple[int, str, int]]


def _content(rows: Rows, ending: str) -> bytes:
    kind, _, packing = ending.partition(".")
    plain = {"csv": _csv, "ndjson": _ndjson, "parquet": _parquet}[kind](rows)
    match packing:
        case "gz":
            return gzip.compress(plain, 1)
        case "zst":
            return _zst(plain)
        case "zip":
            return _zip(plain, kind)
        case _:
            return plain


def _csv(rows: Rows) -> bytes:
    return b"id,city,fare\n" + "".join(f"{number},{city},{fare}\n" for number, city, fare in rows).encode()


def _ndjson(rows: Rows) -> bytes:
    return "".join(json.dumps({"id": row[0], "city": row[1], "fare": row[2]}) + "\n" for row in rows).encode()


def _parquet(rows: Rows) -> bytes:
    names, columns = ("id", "city", "fare"), zip(*rows, strict=True)
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(zip(names, map(pa.array, columns), strict=True))), sink)
    return sink.getvalue()


def _zst(plain: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packed:
        packed.write(plain)
    return bytes(sink.getvalue())


def _zip(plain: bytes, kind: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"rows.{kind}", plain)
    return sink.getvalue()
