"""What a message says: a JSON document, by a decoder of the user's own if it is anything else.

class Avro:
    name = "orders of Avro"

    def decode(self, message):
        return fastavro.schemaless_reader(io.BytesIO(message.value), SCHEMA)
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import inspect
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

import msgspec

from rowkeeper.errors import is_fault
from rowkeeper.sources.stream.tapping import Message

WRITER = msgspec.json.Encoder(decimal_format="number")
MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
BREAKS = bytes.maketrans(b"\n\r", b"  ")
MARK = b"\xef\xbb\xbf"
TOLD = ("key", "timestamp", "headers", "offset", "partition")
"""What of a message can be told beside what it says, as members of the record."""


@runtime_checkable
class Decoder(Protocol):
    """Turns messages into records."""

    @property
    def name(self) -> str:
        """For people, and the ledger."""
        ...

    def decode(self, message: Message) -> bytes | Mapping[str, Any]:
        """The record: bytes of JSON, or a mapping of what msgspec writes as JSON (`Decimal` as a number).

        Whatever it raises says that this message is not what it should be: it goes to quarantine as it came.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Json:
    """Messages that are JSON, passed on as they stand: whether one is good is the contract's to say."""

    name: str = "json"

    def decode(self, message: Message) -> bytes:
        """Implements Decoder."""
        assert message.value is not None
        return message.value


class Unreadable(Exception):  # noqa: N818 - reads as what it is
    """A message is not what it should be. `kind` is for people, and quotes nothing."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def record_of(message: Message, decoder: Decoder, told: Mapping[str, str], partition: str) -> bytes:
    """The record of a message as one line of JSON.

    Args:
        told: what of the message is told beside (see `TOLD`), and by which name.

    Raises Unreadable.
    """
    try:
        found: Any = decoder.decode(message)
        record = found if isinstance(found, bytes) else WRITER.encode(found)
    except BaseException as error:
        if not is_fault(error):
            raise
        raise Unreadable(type(error).__name__) from None
    if told:
        record = _with_members(record, {name: _told(message, what, partition) for what, name in told.items()})
    if record.startswith(MARK):
        record = record[len(MARK) :]
    return record.translate(BREAKS) if b"\n" in record or b"\r" in record else record


def _with_members(record: bytes, added: Mapping[str, Any]) -> bytes:
    try:
        members = MEMBERS.decode(record)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise Unreadable("it is no JSON object") from None
    return msgspec.json.encode({**members, **{name: msgspec.Raw(WRITER.encode(each)) for name, each in added.items()}})


def _told(message: Message, what: str, partition: str) -> Any:
    match what:
        case "key":
            return None if message.key is None else text_of(message.key)
        case "timestamp":
            at = message.timestamp_ms
            return None if at is None else _time(at)
        case "headers":
            return {name: None if value is None else text_of(value) for name, value in message.headers}
        case "partition":
            return partition
        case _:
            return message.place


def _time(ms: int) -> str:
    seconds, rest = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def text_of(raw: bytes) -> str:
    """As text; in base 64 what is none."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode()


def digest_of(decoder: Decoder) -> str:
    """Changes with the code of a decoder of the user's own."""
    if isinstance(decoder, Json):
        return ""
    module = inspect.getmodule(type(decoder))
    try:
        text = inspect.getsource(module if module is not None else type(decoder))
    except (OSError, TypeError):
        text = f"{id(decoder)}"  # as of a transform: it cannot be compared, and a run that died starts over
    return hashlib.sha256(text.encode()).hexdigest()
