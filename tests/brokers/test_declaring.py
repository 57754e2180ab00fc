"""What a URL of a broker says, and what it may not say."""

from __future__ import annotations

import pytest

from rowkeeper.brokers import Broker, Kind, Nkey, Sasl
from rowkeeper.errors import DeclarationError, SecretLiteral
from rowkeeper.security.httpauth import Basic


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "stream", "secure"),
    [
        ("kafka://b1:9092,b2/orders", Kind.KAFKA, (("b1", 9092), ("b2", 9092)), "orders", False),
        ("kafkas://b1/orders.eu", Kind.KAFKA, (("b1", 9093),), "orders.eu", True),
        ("nats://localhost/ORDERS?subject=orders.>", Kind.NATS, (("localhost", 4222),), "ORDERS", False),
        ("natss://n1,n2:4333/ORDERS", Kind.NATS, (("n1", 4222), ("n2", 4333)), "ORDERS", True),
        ("valkey://[::1]:7000/app:orders?db=2", Kind.VALKEY, (("::1", 7000),), "app:orders", False),
        ("rediss://r1/a%20b", Kind.VALKEY, (("r1", 6379),), "a b", True),
    ],
)
def test_a_url_names_broker_servers_and_stream(url, kind, hosts, stream, secure):
    """Scheme, hosts with the usual ports, the stream, whether TLS is demanded."""
    found = Broker.of(url)
    assert (found.kind, found.hosts, found.stream, found.secure) == (kind, hosts, stream, secure)
    assert [(each.host, each.port) for each in found.endpoints()] == list(hosts)


@pytest.mark.parametrize(
    "url",
    [
        "kafka://b1:9092",
        "kafka://b1/two/topics",
        "kafka://b1/orders?group=a",
        "kafka://user:secret@b1/orders",
        "amqp://b1/orders",
        "orders",
        "nats://n1/OR.DERS",
        "nats://n1/ORDERS?subject=a b",
        "nats://n1/ORDERS?subject=.a",
        "valkey://v1,v2/orders",
        "valkey://v1/",
        "valkey://v1/a?db=x",
        "valkey://v1/a?password=x",
    ],
)
def test_what_makes_no_sense_is_refused(url):
    """No stream, more than there is, a secret, another broker: one error, and no secret in it."""
    with pytest.raises(DeclarationError) as caught:
        Broker.of(url)
    assert "secret" not in caught.value.what


def test_credentials_are_those_of_the_broker():
    """Kafka does not take a user and password in the manner of HTTP; it takes Sasl."""
    with pytest.raises(DeclarationError, match="says nothing to kafka"):
        Broker.of("kafka://b1/orders", auth=Basic("loader", "env:PASSWORD"))
    assert Broker.of("kafka://b1/orders", auth=Sasl("loader", "env:PASSWORD")).describe()["auth"]["user"] == "loader"


@pytest.mark.parametrize(
    "make",
    [lambda: Sasl("loader", "sesame"), lambda: Nkey("SUAKYRHVIOREXV7EUZTBHUHL7NUMHPMAS7QMDU3GTIUWEI5LDNOXD43IZY")],
)
def test_secrets_are_references(make):
    """A password or a seed in the declaration itself is refused."""
    with pytest.raises(SecretLiteral):
        make()


def test_the_name_of_a_stream_holds_what_makes_it_another():
    """Servers, stream, subject, database."""
    assert Broker.of("natss://n1,n2/ORDERS?subject=a.>").place == "nats://n1:4222/ORDERS?subject=a.>"
    assert Broker.of("rediss://n1/orders?db=3").place == "valkey://n1:6379/orders?db=3"
