"""Streams as a source: Kafka, NATS JetStream, Valkey and Redis.

declaring.py    `stream()`: what a person writes, checked
source.py       StreamSource: the plan, the reading, what is told to the broker afterwards, the lag
ranges.py       what was loaded of a partition, and what comes next
reading.py      messages become batches
decoding.py     Decoder: what a message says; JSON, or the user's own
tapping.py      Tap: what is asked of a broker; kafka.py, nats.py, valkey.py are one each
"""

from rowkeeper.sources.stream.declaring import stream
from rowkeeper.sources.stream.decoding import Decoder, Json
from rowkeeper.sources.stream.source import StreamSource
from rowkeeper.sources.stream.tapping import Message

__all__ = ["Decoder", "Json", "Message", "StreamSource", "stream"]
