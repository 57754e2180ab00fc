"""Valkey and Redis streams, as a stream source asks them: by id, with XRANGE.

A group (XREADGROUP, XACK) would have the server keep what was handed out and not acknowledged. It does not know what a
destination committed; so where the reading begins is the ledger's to say. Beside the id the mark holds which of all
entries that is: with the server's count of entries ever added it tells what was trimmed before it was read.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from rowkeeper.brokers import Broker
from rowkeeper.brokers.valkey import ValkeyClient, said
from rowkeeper.errors import MessagesLost, StreamUnfit
from rowkeeper.protocols import Site
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.sources.stream.decoding import WRITER, text_of
from rowkeeper.sources.stream.tapping import Chunk, Extent, Mark, Message, Pace, Place

ONLY = "stream"  # the one partition that there is
BEGINNING = "0-0"


class ValkeyTap:
    """A stream. Implements Tap; a position is an id.

    Args:
        field: which field of an entry is the message; None: all of them are, as an object of texts.
    """

    def __init__(self, broker: Broker, site: Site, field: str | None) -> None:
        self._broker, self._site, self._field = broker, site, field
        self._client: ValkeyClient | None = None

    def extents(self, marks: Mapping[str, Mark]) -> Mapping[str, Extent]:
        """Implements Tap."""
        from valkey import exceptions  # noqa: PLC0415

        client = self._open()

        def asked() -> Any:
            try:
                return client.redis.xinfo_stream(self._broker.stream)
            except exceptions.ResponseError as error:
                if said(error) in ("WRONGTYPE", "no"):
                    return said(error)
                raise

        info = client.calls.call(asked)
        if info == "no":
            raise StreamUnfit(f"{self._broker.place}: there is no such key", hint="compare the URL with its name")
        if info == "WRONGTYPE":
            raise StreamUnfit(f"{self._broker.place} is no stream", hint="name the key of a stream (XADD)")
        if "entries-added" not in info:
            raise StreamUnfit(f"{self._broker.place}: the server is too old", hint="Valkey, or Redis from 7.0 on")
        added, length = int(info["entries-added"]), int(info["length"])
        mark = marks.get(ONLY, Mark(BEGINNING, added - length))
        return {ONLY: _extent(info, mark)}

    def read(self, partition: str, after: Mark, upto: Place, pace: Pace) -> Iterator[Chunk]:
        """Implements Tap."""
        del partition
        mark = after
        while self.follows(upto, mark.at):
            failpoint("stream.before_fetch")
            chunk = pace.next
            info, entries = self._open().calls.call(functools.partial(self._asked, mark, upto, chunk))
            extent = _extent(info, mark)
            if extent.lost or extent.remade:
                raise MessagesLost(
                    f"{self._broker.place} was trimmed while it was read: messages after {mark.at} are gone",
                    hint="run again: it says which; trim it less (XADD MAXLEN, MINID)",
                )
            messages = [self._message(each) for each in entries]
            if messages:
                last = str(messages[-1].place)
                number = mark.number + len(messages)
                mark = Mark(last, int(info["entries-added"]) if last == _id_of(info["last-entry"]) else number)
            if len(messages) < chunk:
                if messages:
                    yield Chunk(messages, mark)
                return
            yield Chunk(messages, mark)

    def _asked(self, mark: Mark, upto: Place, count: int) -> tuple[Any, Any]:
        """What the stream has, and the entries after a mark, as of one moment."""
        with self._open().redis.pipeline(transaction=True) as pipe:
            pipe.xinfo_stream(self._broker.stream)
            pipe.xrange(self._broker.stream, min=f"({mark.at}", max=str(upto), count=count)
            info, entries = pipe.execute()
        return info, entries

    def _message(self, entry: Any) -> Message:
        found, fields = entry[0].decode(), entry[1] or {}
        headers = [(text_of(name), text) for name, text in fields.items()]
        at = int(found.partition("-")[0])
        if self._field is None:
            return Message(found, WRITER.encode({name: text_of(text) for name, text in headers}), at)
        others = [each for each in headers if each[0] != self._field]
        return Message(found, fields.get(self._field.encode()), at, None, others)

    def follows(self, one: Place, other: Place) -> bool:
        """Implements Tap."""
        return _order(one) > _order(other)

    def acknowledge(self, group: str, marks: Mapping[str, Mark]) -> None:
        """Implements Tap: the group's last id is moved to what was loaded, as XINFO GROUPS tells it."""
        from valkey import exceptions  # noqa: PLC0415

        client, key = self._open(), self._broker.stream

        def moved(at: str, number: int) -> None:
            words = (key, group, at, "ENTRIESREAD", number)
            try:
                client.redis.execute_command("XGROUP CREATE", *words)
            except exceptions.ResponseError as error:
                if said(error) != "BUSYGROUP":
                    raise
                client.redis.execute_command("XGROUP SETID", *words)

        for mark in marks.values():
            client.calls.call(functools.partial(moved, str(mark.at), mark.number))

    def close(self) -> None:
        """Implements Tap."""
        if self._client is not None:
            self._client.close()
        self._client = None

    def _open(self) -> ValkeyClient:
        if self._client is None:
            self._client = ValkeyClient(self._broker, self._site)
        return self._client


def _extent(info: Mapping[str, Any], mark: Mark) -> Extent:
    """What XINFO STREAM says about a mark.

    Of the entries ever added, those after the mark are there, or were removed. If more are there than were added since,
    the stream is another one.
    """
    added, length = int(info["entries-added"]), int(info["length"])
    last = info["last-generated-id"].decode()
    first = None if info["first-entry"] is None else _id_of(info["first-entry"])
    since = added - mark.number
    lost, remade = 0, since < 0 or _order(last) < _order(mark.at)
    if not remade and (first is None or _order(first) > _order(mark.at)):
        lost, remade = max(0, since - length), since < length
    newest = None if info["last-entry"] is None else _id_of(info["last-entry"])
    is_read = newest is not None and _order(newest) <= _order(mark.at)
    return Extent(Mark(BEGINNING, added - length), last, 0 if is_read else max(0, since), lost=lost, remade=remade)


def _id_of(entry: Any) -> str:
    return str(entry[0].decode())


def _order(place: Place) -> tuple[int, int]:
    ms, _, number = str(place).partition("-")
    return int(ms), int(number or 0)
