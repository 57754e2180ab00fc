"""Streams: each row becomes a message of Kafka, NATS JetStream or Valkey, once.

declaring.py  `rk.destinations.stream`: what a person writes, checked
messages.py   rows as messages: key, headers, size
jsontext.py   rows as JSON texts, and back
control.py    what a broker keeps of Rowkeeper's runs beside their messages
session.py    the steps of a run's life; rows wait in the embedded engine until they are sent
carrying.py   what each broker must be able to do
kafka.py      one transaction for each run
nats.py       atomic batches, or messages with ids
valkey.py     scripts that add messages and progress in one step
verifying.py  messages read back, and compared with the books
"""

from rowkeeper.destinations.streams.declaring import StreamDestination, stream

__all__ = ["StreamDestination", "stream"]
