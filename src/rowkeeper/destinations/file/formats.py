"""The formats of data files: each written in pieces, and read back so exactly that rows have the same fingerprint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, Literal, Protocol, cast

import pyarrow as pa

from rowkeeper.destinations.file import values

FormatName = Literal["parquet", "csv", "ndjson", "arrow"]
FORMATS: tuple[str, ...] = ("parquet", "csv", "ndjson", "arrow")
READ_ROWS = 65_536
INNER: dict[str, tuple[str, ...]] = {"parquet": ("zstd", "snappy", "gzip", "none"), "arrow": ("zstd", "lz4", "none")}
OUTER = ("none", "gzip", "zstd")
"""Compressions around a whole file, where the format has none within."""


class Writer(Protocol):
    """A file that is being written."""

    def write(self, rows: pa.Table) -> None:
        """Adds rows, in the schema that the writer was made for."""
        ...

    def close(self) -> None:
        """Writes what belongs at the end; the stream stays open."""
        ...


def compressions(name: str) -> tuple[str, ...]:
    """Which compressions a format may have, the default first."""
    return INNER.get(name, OUTER)


def open_writer(name: str, out: IO[bytes], schema: pa.Schema, compression: str) -> Writer:
    """Begins a file of a format on a stream."""
    match name:
        case "parquet":
            return _Parquet(out, schema, compression)
        case "arrow":
            return _Arrow(out, schema, compression)
        case "csv":
            return _Delimited(out, schema)
        case _:
            return _Lines(out)


def read_back(name: str, file: IO[bytes], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a file, in the types that were written.

    Raises ValueError, OSError or TypeError (of pyarrow and msgspec, too) if it is no such file.
    """
    match name:
        case "parquet":
            import pyarrow.parquet as pq  # noqa: PLC0415 - not quick to import

            with pq.ParquetFile(file) as found:
                for batch in found.iter_batches(READ_ROWS):
                    yield pa.Table.from_batches([batch]).cast(schema)
        case "arrow":
            with pa.ipc.open_file(cast("Any", file)) as found:
                for number in range(found.num_record_batches):
                    yield pa.Table.from_batches([found.get_batch(number)]).cast(schema)
        case "csv":
            yield from _read_delimited(file, schema)
        case _:
            yield from _read_lines(file, schema)


class _Parquet:
    def __init__(self, out: IO[bytes], schema: pa.Schema, compression: str) -> None:
        import pyarrow.parquet as pq  # noqa: PLC0415

        self._writer = pq.ParquetWriter(out, schema, compression=cast("Any", compression))

    def write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows)

    def close(self) -> None:
        self._writer.close()


class _Arrow:
    def __init__(self, out: IO[bytes], schema: pa.Schema, compression: str) -> None:
        options = pa.ipc.IpcWriteOptions(compression=None if compression == "none" else cast("Any", compression))
        self._writer = pa.ipc.new_file(cast("Any", out), schema, options=options)

    def write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows, max_chunksize=READ_ROWS)

    def close(self) -> None:
        self._writer.close()


class _Delimited:
    """RFC 4180 with a line of names: text is in quotes, always, and null is nothing at all."""

    def __init__(self, out: IO[bytes], schema: pa.Schema) -> None:
        import pyarrow.csv as pc  # noqa: PLC0415

        fields = [(field.name, values.to_text(pa.chunked_array([], field.type)).type) for field in schema]
        self._schema = pa.schema(fields)
        self._writer = pc.CSVWriter(out, self._schema, write_options=pc.WriteOptions(quoting_style="needed"))

    def write(self, rows: pa.Table) -> None:
        columns = [values.to_text(column) for column in rows.columns]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _read_delimited(file: IO[bytes], schema: pa.Schema) -> Iterator[pa.Table]:
    import pyarrow.csv as pc  # noqa: PLC0415

    reader = pc.open_csv(
        file,
        read_options=pc.ReadOptions(block_size=16 << 20),
        parse_options=pc.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pc.ConvertOptions(
            column_types={name: pa.string() for name in schema.names},
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=False,
        ),
    )
    for batch in reader:
        rows = pa.Table.from_batches([batch])
        if rows.column_names != schema.names:
            raise ValueError("its columns are others")
        columns = [values.from_text(column, field.type) for column, field in zip(rows.columns, schema, strict=True)]
        yield pa.Table.from_arrays(columns, schema=schema)


class _Lines:
    """One JSON object a line, every column in each."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def write(self, rows: pa.Table) -> None:
        floats = any(pa.types.is_floating(field.type) or values.is_nested(field.type) for field in rows.schema)
        for part in rows.to_batches(READ_ROWS):
            found: list[Any] = part.to_pylist()
            self._out.write(values.ENCODER.encode_lines(values.jsonable(found) if floats else found))

    def close(self) -> None:
        self._out.flush()


def _read_lines(file: IO[bytes], schema: pa.Schema) -> Iterator[pa.Table]:
    import msgspec  # noqa: PLC0415

    converters = [(field.name, values.converter(field.type)) for field in schema]
    decoder = msgspec.json.Decoder(dict[str, Any])
    rows: list[dict[str, Any]] = []
    for line in file:
        found = decoder.decode(line)
        rows.append({name: None if found[name] is None else convert(found[name]) for name, convert in converters})
        if len(rows) == READ_ROWS:
            yield pa.Table.from_pylist(rows, schema=schema)
            rows = []
    if rows:
        yield pa.Table.from_pylist(rows, schema=schema)
