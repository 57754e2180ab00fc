"""Brokers of messages: how Kafka, NATS JetStream and Valkey or Redis streams are reached, by sources and destinations.

declaring.py    Broker: a URL, who we are, TLS; checked, without secrets
credentials.py  Sasl, Nkey: who we are, where `Basic` and `Bearer` do not say it
calling.py      Caller: calls by `site.calls`, with drivers' errors in our words
kafka.py        KafkaClient: librdkafka, which connects to nothing but the relay
relay.py        Relay: listens on loopback for librdkafka, and connects by the one way out
kafkawire.py    what the relay reads and rewrites of Kafka's protocol
nats.py         NatsClient: nats-py over connections of ours
valkey.py       ValkeyClient: valkey-py over connections of ours
"""

from rowkeeper.brokers.calling import Caller
from rowkeeper.brokers.credentials import Nkey, Sasl
from rowkeeper.brokers.declaring import Broker, Kind

__all__ = ["Broker", "Caller", "Kind", "Nkey", "Sasl"]
