"""Kafka by librdkafka (confluent-kafka), which connects to nothing but the relay; see `relay.py`.

What a broker can be reached by, TLS, and whose credentials are shown is decided here and in the relay. SASL is spoken
by librdkafka, through the relay, over TLS that the relay makes.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rowkeeper.brokers.calling import Caller, missing, refused, unauthorised, unavailable
from rowkeeper.brokers.declaring import Broker
from rowkeeper.brokers.relay import Relay
from rowkeeper.errors import FrameworkError
from rowkeeper.protocols import Site
from rowkeeper.security.references import resolve
from rowkeeper.security.tls import secure
from rowkeeper.security.tls.plaintext import refuse_plaintext

if TYPE_CHECKING:
    import confluent_kafka
    from confluent_kafka.admin import AdminClient


class KafkaClient:
    """A cluster, reached through a relay; close it after the consumers and producers that it made.

    Args:
        operation: what its calls are counted as: `read`, `write`.

    Attributes:
        calls: each call goes through it: `client.calls.call(lambda: consumer.list_topics("orders", timeout=10))`.

    Raises DeclarationError if the library is not installed, PlaintextRefused.
    """

    def __init__(self, broker: Broker, site: Site, operation: str = "read") -> None:
        try:
            import confluent_kafka  # noqa: F401, PLC0415 - of an extra
        except ModuleNotFoundError:
            raise missing(broker) from None
        assert site.way_out is not None, "the broker is not reached from anywhere"
        self._broker = broker
        self._way_out = site.way_out.declaring(broker.endpoints())
        self._tls = broker.tls or site.default_tls
        for host, _ in broker.hosts:
            self._see_to_plaintext(host)
        self.calls = Caller(broker, site, operation, self._told)
        self._relay = Relay(self._connect)

    def consumer(self, settings: Mapping[str, Any]) -> confluent_kafka.Consumer:
        """A consumer with these settings of librdkafka besides those that reach the cluster."""
        import confluent_kafka  # noqa: PLC0415

        return confluent_kafka.Consumer({**self._settings(), **settings})

    def producer(self, settings: Mapping[str, Any]) -> confluent_kafka.Producer:
        """A producer with these settings of librdkafka besides those that reach the cluster."""
        import confluent_kafka  # noqa: PLC0415

        return confluent_kafka.Producer({**self._settings(), **settings})

    def admin(self) -> AdminClient:
        """A client that makes topics."""
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415

        return AdminClient(self._settings())

    def check(self, error: Any) -> None:
        """Raises what an error of librdkafka (a KafkaError: of a message, of a delivery) means; None means nothing."""
        if error is not None:
            raise self._of(error)

    def away(self) -> FrameworkError | None:
        """Why no broker is connected to at present, as far as the relay knows; librdkafka waits in silence."""
        if self._relay.denied:
            return unauthorised(self._broker, "SASL")
        return self._relay.trouble

    def close(self) -> None:
        """Ends all connections."""
        self._relay.close()

    def _settings(self) -> dict[str, Any]:
        auth = self._broker.auth
        settings: dict[str, Any] = {
            "bootstrap.servers": ",".join(
                f"127.0.0.1:{self._relay.local_port(host, port)}" for host, port in self._broker.hosts
            ),
            "broker.address.family": "v4",
            "security.protocol": "plaintext" if auth is None else "sasl_plaintext",
            "client.id": "rowkeeper",
            "log_level": 0,  # it quotes brokers; what matters comes as an error
            "allow.auto.create.topics": False,
            "enable.metrics.push": False,
            "socket.timeout.ms": int(self.calls.step_seconds_max * 1000),
            "socket.connection.setup.timeout.ms": max(1000, int(self.calls.step_seconds_max * 1000)),
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
        }
        if auth is not None:
            from rowkeeper.brokers.credentials import Sasl  # noqa: PLC0415

            assert isinstance(auth, Sasl)
            settings |= {
                "sasl.mechanism": auth.mechanism,
                "sasl.username": auth.user,
                "sasl.password": resolve(auth.password).reveal(),
            }
        return settings

    def _connect(self, host: str, port: int) -> socket.socket:
        self._see_to_plaintext(host)
        line = self._way_out.connect(host, port, seconds_max=self.calls.step_seconds_max)
        return secure(line, host, self._tls) if self._broker.secure else line

    def _see_to_plaintext(self, host: str) -> None:
        refuse_plaintext(
            host,
            secure=self._broker.secure,
            plaintext=self._broker.plaintext,
            name=self._broker.place,
            setting="plaintext=True",
        )

    def _told(self, error: Exception) -> FrameworkError | None:
        import confluent_kafka  # noqa: PLC0415

        if isinstance(error, confluent_kafka.KafkaException):
            return self._of(error.args[0])
        return unavailable(self._broker, type(error).__name__) if isinstance(error, OSError) else None

    def _of(self, error: Any) -> FrameworkError:
        from confluent_kafka import KafkaError  # noqa: PLC0415

        code, name = error.code(), error.name()
        denied = {
            KafkaError._AUTHENTICATION,
            KafkaError.SASL_AUTHENTICATION_FAILED,
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
            KafkaError.CLUSTER_AUTHORIZATION_FAILED,
            KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            KafkaError.UNSUPPORTED_SASL_MECHANISM,
            KafkaError.ILLEGAL_SASL_STATE,
        }
        away = {
            KafkaError._TRANSPORT,
            KafkaError._ALL_BROKERS_DOWN,
            KafkaError._TIMED_OUT,
            KafkaError._TIMED_OUT_QUEUE,
            KafkaError._RESOLVE,
            KafkaError._WAIT_COORD,
            KafkaError._WAIT_CACHE,
            KafkaError._MSG_TIMED_OUT,
            KafkaError.REQUEST_TIMED_OUT,
            KafkaError.COORDINATOR_NOT_AVAILABLE,
            KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
            KafkaError.NOT_COORDINATOR,
            KafkaError.LEADER_NOT_AVAILABLE,
            KafkaError.NOT_LEADER_FOR_PARTITION,
            KafkaError.BROKER_NOT_AVAILABLE,
            KafkaError.NETWORK_EXCEPTION,
            KafkaError.NOT_ENOUGH_REPLICAS,
            KafkaError.FENCED_LEADER_EPOCH,
            KafkaError.UNKNOWN_LEADER_EPOCH,
        }
        if code in denied:
            return unauthorised(self._broker, name)
        if code in away or error.retriable():
            return self.away() or unavailable(self._broker, name)
        return refused(self._broker, name)
