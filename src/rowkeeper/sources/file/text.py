"""Text of any encoding as UTF-8, checked byte by byte, in blocks that a CSV reader can be trusted with.

Three things are done for pyarrow's streaming CSV reader here, each of which it gets wrong by itself (pyarrow 26):

- a block never ends between a carriage return and its newline: the reader drops that newline, inside quotes too, and
  a stored value would silently be another than the file's;
- bytes that are not of the encoding are found here, with their place: the reader looks only at the columns that are
  kept, and prints to standard error where such bytes stand in a row of another width;
- a line of the caller's own can follow the last one: if the reader does not give it back as a row, a quote was open
  at the end of the file.
"""

from __future__ import annotations

import codecs
import io
from typing import IO

from rowkeeper.errors import SourceDamaged, SourceError
from rowkeeper.sources.file.pacing import Pace

CHUNK_BYTES = 1 << 20
BYTE_ORDER_MARK = "\ufeff".encode()


class Utf8Stream(io.RawIOBase):
    """The UTF-8 of a stream, without a byte order mark.

    Args:
        name: the file, for errors.
        stream: its bytes, in `encoding`.
        end: bytes that follow the last ones of the stream.
        pace: how far the reader of this may run ahead.
    """

    def __init__(self, name: str, stream: IO[bytes], encoding: str, end: bytes = b"", pace: Pace | None = None) -> None:
        self._name, self._stream, self._encoding, self._end, self._pace = name, stream, encoding, end, pace
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._as_it_is = codecs.lookup(encoding).name in ("utf-8", "ascii")
        self._ready = bytearray()
        self._taken_bytes = 0
        self._at_start, self._at_end = True, False

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, not ending in a carriage return unless it is the last byte of all.

        Raises SourceError for bytes that are not of the encoding.
        """
        if self._pace is not None and not self._pace.hand_out():
            return b""  # whoever wanted it has gone
        size = max(size, 2) if size >= 0 else CHUNK_BYTES
        while not self._at_end and len(self._ready) <= size:
            self._fill()
        end = min(size, len(self._ready))
        if end < len(self._ready) and self._ready[end - 1] == 0x0D:
            end -= 1
            if not end:  # cannot be: two bytes at least were asked for
                raise AssertionError("a block of nothing")
        block = bytes(memoryview(self._ready)[:end])
        del self._ready[:end]
        return block

    def readinto(self, buffer: object) -> int:
        """The same, into a buffer, for `io.BufferedReader`."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        block = self.read(len(view))
        view[: len(block)] = block
        return len(block)

    def _fill(self) -> None:
        data = self._stream.read(CHUNK_BYTES)
        pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise self._wrong(self._taken_bytes - pending + error.start) from error
        except UnicodeError as error:  # UTF-16 without a byte order mark, for one
            raise self._wrong(self._taken_bytes) from error
        self._taken_bytes += len(data)
        self._ready += data if self._as_it_is else text.encode()
        if self._at_start and (len(self._ready) >= len(BYTE_ORDER_MARK) or not data):
            self._at_start = False
            if self._ready.startswith(BYTE_ORDER_MARK):
                del self._ready[: len(BYTE_ORDER_MARK)]
        if not data:
            self._at_end = True
            self._ready += self._end

    def _wrong(self, offset: int) -> SourceError:
        return SourceDamaged(
            f"{self._name} is not {self._encoding}: byte {offset:,} is of another encoding",
            hint='say which one it has: rk.sources.files(..., encoding="latin-1")',
            context={"byte_offset": offset},
        )
