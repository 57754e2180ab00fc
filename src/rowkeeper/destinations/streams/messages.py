"""Rows as messages: what is in one, which key it has, which headers, and how large it may be."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from rowkeeper.batch import ROW_ID, partition_ordinal, row_number
from rowkeeper.destinations.streams import jsontext
from rowkeeper.errors import MessageTooLarge, TransformError

Encoder = Callable[[pa.Table], Sequence[bytes]]
"""Makes messages of rows: one for each, in their order. The table has the contract's columns and `_rk_row`."""

Headers = tuple[tuple[str, str], ...]
RUN_HEADER, ROW_HEADER, KEY_HEADER, TIME_HEADER = "rk-run", "rk-row", "rk-key", "rk-time"
OWN_BYTES = 200  # of a message, for its headers and what a broker adds to it


class Message(NamedTuple):
    """One row. A tuple: a run makes millions of them, and a frozen dataclass takes four times as long to make.

    Attributes:
        row: its address in the run.
        key: None where it has none.
        headers: names and values, those of ours not among them.
        at_ms: milliseconds since 1970 of its timestamp column; None where it has none.
        size: bytes of all that is sent.
    """

    row: int
    value: bytes
    key: bytes | None
    headers: Headers
    at_ms: int | None
    size: int


def message(
    row: int, value: bytes, key: bytes | None = None, headers: Headers = (), at_ms: int | None = None
) -> Message:
    """A message, its size counted."""
    return Message(row, value, key, headers, at_ms, len(value) + len(key or b"") + _bytes_of(headers) + OWN_BYTES)


def _bytes_of(headers: Headers) -> int:
    return sum(len(name) + len(value.encode()) for name, value in headers)


@dataclasses.dataclass(frozen=True, slots=True)
class Making:
    """How rows become messages.

    Attributes:
        key: columns whose values are the key.
        headers: the same for each message.
        header_columns: header to column.
        timestamp: column.
        encoder: None is JSON.
        size_max: bytes of a message.
    """

    key: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]
    header_columns: tuple[tuple[str, str], ...]
    timestamp: str | None
    encoder: Encoder | None
    size_max: int

    def messages(self, rows: pa.Table) -> list[Message]:
        """The messages of rows, in their order.

        Raises:
            MessageTooLarge: one is larger than it may be.
            TransformError: the encoder failed, or did not make one message of each row.
        """
        values = jsontext.texts(rows) if self.encoder is None else _encoded(self.encoder, rows)
        addresses: list[Any] = rows[ROW_ID].to_pylist()
        keys, times = self._keys(rows), self._times(rows)
        if self.header_columns:
            parts = zip(addresses, values, keys, self._headers(rows), times, strict=True)
            made = [message(*part) for part in parts]
        else:
            headers, around = self.headers, OWN_BYTES + _bytes_of(self.headers)
            made = [
                Message(row, value, key, headers, at_ms, len(value) + (len(key) if key else 0) + around)
                for row, value, key, at_ms in zip(addresses, values, keys, times, strict=True)
            ]
        if made and max(each.size for each in made) > self.size_max:
            raise self._too_large(next(each for each in made if each.size > self.size_max))
        return made

    def _too_large(self, made: Message) -> MessageTooLarge:
        return MessageTooLarge(
            f"row {row_number(made.row) + 1} of partition {partition_ordinal(made.row) + 1} of the run "
            f"makes a message of {made.size:,} bytes, and {self.size_max:,} are allowed",
            hint="let the contract refuse such rows (max_length=), or allow larger messages here and at the broker: "
            "message_bytes_max=",
        )

    def _keys(self, rows: pa.Table) -> Sequence[bytes | None]:
        if not self.key:
            return [None] * rows.num_rows
        if len(self.key) == 1:
            return [None if text is None else text.encode() for text in jsontext.plain(rows[self.key[0]])]
        columns = [jsontext.plain(rows[name]) for name in self.key]
        return [
            json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() for row in zip(*columns, strict=True)
        ]

    def _headers(self, rows: pa.Table) -> Sequence[Headers]:
        columns = [(header, jsontext.plain(rows[name])) for header, name in self.header_columns]
        return [
            self.headers + tuple((header, text) for header, texts in columns if (text := texts[number]) is not None)
            for number in range(rows.num_rows)
        ]

    def _times(self, rows: pa.Table) -> Sequence[int | None]:
        if self.timestamp is None:
            return [None] * rows.num_rows
        floored = pc.floor_temporal(rows[self.timestamp], unit="millisecond")
        return floored.cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_pylist()


def _encoded(encoder: Encoder, rows: pa.Table) -> Sequence[bytes]:
    try:
        values = encoder(rows)
    except Exception as error:
        raise TransformError(
            f"the encoder failed with {type(error).__name__}", hint="nothing was sent; mend it, then run again"
        ) from error
    if len(values) != rows.num_rows or not all(isinstance(each, bytes) for each in values):
        raise TransformError(
            "the encoder did not make one message (bytes) of each row", hint="nothing was sent; mend it, then run again"
        )
    return values


def in_portions(messages: Iterator[Sequence[Message]], count_max: int, bytes_max: int) -> Iterator[list[Message]]:
    """The same messages in lists of bounded size, at least one in each."""
    held: list[Message] = []
    size = 0
    for block in messages:
        for each in block:
            if held and (len(held) >= count_max or size + each.size > bytes_max):
                yield held
                held, size = [], 0
            held.append(each)
            size += each.size
    if held:
        yield held


def own_headers(sent: Message, run: int) -> Mapping[str, Any]:
    """The headers that say which row of which run a message is."""
    return {RUN_HEADER: str(run), ROW_HEADER: str(sent.row)}
