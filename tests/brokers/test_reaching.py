"""How brokers are reached: by the one way out, by TLS of ours, with credentials by reference; real servers."""

from __future__ import annotations

import base64
import datetime
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rowkeeper as rk
from rowkeeper.brokers import Broker, Nkey, Sasl
from rowkeeper.brokers.credentials import Signer
from rowkeeper.brokers.kafka import KafkaClient
from rowkeeper.brokers.nats import NatsClient
from rowkeeper.brokers.valkey import ValkeyClient
from rowkeeper.errors import (
    BrokerUnauthorised,
    BrokerUnavailable,
    CertificateRefused,
    DeclarationError,
    EgressRefused,
    FrameworkError,
    KeyUnusable,
    PlaintextRefused,
    ProtocolRefused,
)
from rowkeeper.protocols import Site
from rowkeeper.security.httpauth import Basic, Bearer
from tests.brokers.conftest import QUICK
from tests.brokers.front import Front
from tests.brokers.servers import KafkaMock, NatsServer, ValkeyServer, server_tls

SEED = "SUAKYRHVIOREXV7EUZTBHUHL7NUMHPMAS7QMDU3GTIUWEI5LDNOXD43IZY"  # of the documentation of NATS
USER = "UD466L6EBCM3YY5HEGHJANNTN4LSKTSUXTH7RILHCKEQMQHTBNLHJJXT"


def ping_kafka(broker: Broker, site: Site) -> Any:
    client = KafkaClient(broker, site)
    consumer = client.consumer({"group.id": "g"})
    try:
        return client.calls.call(lambda: consumer.list_topics(timeout=3.0))
    finally:
        consumer.close()
        client.close()


def ping_nats(broker: Broker, site: Site) -> Any:
    client = NatsClient(broker, site)
    try:
        return client.ask(lambda stream: stream.account_info())
    finally:
        client.close()


def ping_valkey(broker: Broker, site: Site) -> Any:
    client = ValkeyClient(broker, site)
    try:
        return client.calls.call(lambda: client.redis.xlen("orders"))
    finally:
        client.close()


PINGS: dict[str, Callable[[Broker, Site], Any]] = {"kafka": ping_kafka, "nats": ping_nats, "valkey": ping_valkey}


def ping(url: str, site: Site, **more: Any) -> Any:
    broker = Broker.of(url, resilience=QUICK, **more)
    return PINGS[broker.kind.value](broker, site)


@pytest.fixture(scope="module")
def ports(kafka: KafkaMock, nats_server: NatsServer, valkey_server: ValkeyServer) -> dict[str, int]:
    return {"kafka": kafka.ports[0], "nats": nats_server.port, "valkey": valkey_server.port}


@pytest.mark.parametrize("kind", PINGS)
def test_a_broker_on_this_machine_is_reached(kind: str, ports: dict[str, int], site: Site) -> None:
    """Without TLS and without credentials, as it is declared."""
    assert ping(f"{kind}://127.0.0.1:{ports[kind]}/orders", site) is not None


@pytest.mark.parametrize("kind", PINGS)
def test_a_broker_that_is_down_is_told(kind: str, site: Site) -> None:
    """One error, which may pass."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(BrokerUnavailable) as caught:
        ping(f"{kind}://127.0.0.1:{port}/orders", site)
    assert caught.value.retryable


@pytest.mark.parametrize("kind", PINGS)
def test_another_machine_is_not_reached_without_tls(kind: str, site: Site) -> None:
    """Unless the declaration says so by name."""
    with pytest.raises(PlaintextRefused):
        ping(f"{kind}://broker.example.com/orders", site)


def test_brokers_that_a_cluster_tells_of_are_reached_only_if_declared(site: Site) -> None:
    """librdkafka learns of brokers from Metadata: it is given the relay's ports, and the relay asks the way out."""
    with KafkaMock(brokers=2) as cluster:
        first, second = cluster.ports
        cluster.publish("orders", [b"{}"], partition=0)
        found = ping(f"kafka://127.0.0.1:{first},127.0.0.1:{second}/orders", site)
        assert not {each.port for each in found.brokers.values()} & {first, second}, "librdkafka knows where they are"
        client = KafkaClient(Broker.of(f"kafka://localhost:{first}/orders", resilience=QUICK), site)
        try:
            with pytest.raises(EgressRefused, match=r"127\.0\.0\.1"):
                client._connect("127.0.0.1", second)
        finally:
            client.close()


def test_the_relay_is_for_this_process_alone(kafka: KafkaMock, site: Site) -> None:
    """A connection that another process makes to it is closed before anything is sent on."""
    import subprocess
    import sys

    client = KafkaClient(Broker.of(f"kafka://127.0.0.1:{kafka.ports[0]}/orders", resilience=QUICK), site)
    try:
        port = client._relay.local_port("127.0.0.1", kafka.ports[0])
        ask = f"import socket; l=socket.create_connection(('127.0.0.1',{port})); l.settimeout(10); print(l.recv(1))"
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=30, check=False)
        assert done.stdout.strip() == "b''" or "ConnectionReset" in done.stderr
    finally:
        client.close()


@pytest.mark.parametrize(
    ("kind", "module"), [("kafka", "confluent_kafka"), ("nats", "nats.aio.client"), ("valkey", "valkey")]
)
def test_a_driver_that_is_not_installed_is_told(
    kind: str, module: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to install."""
    import sys

    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DeclarationError) as caught:
        ping(f"{kind}://127.0.0.1:1/orders", site)
    assert caught.value.hint == f"pip install 'rowkeeper[{kind}]'"


# ------------------------------------------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return server_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> Any:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    return server_tls(tmp_path_factory.mktemp("expired"), not_after=past)


@pytest.fixture(scope="module")
def secured(
    authority: Any, ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, int]]:
    """By broker, a port with TLS: nats-server's own, and fronts."""
    yield from _secured(authority, ports, tmp_path_factory.mktemp("nats-tls"))


@pytest.fixture(scope="module")
def outdated(expired: Any, ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The same, with certificates that expired."""
    yield from _secured(expired, ports, tmp_path_factory.mktemp("nats-expired"))


def _secured(made: Any, ports: dict[str, int], folder: Path) -> Iterator[dict[str, int]]:
    _, context, (cert, key) = made
    with (
        NatsServer(folder, f'tls {{ cert_file: "{cert}", key_file: "{key}" }}') as nats_tls,
        Front(ports["kafka"], context, kafka=True) as kafka_tls,
        Front(ports["valkey"], context) as valkey_tls,
    ):
        yield {"kafka": kafka_tls.port, "nats": nats_tls.port, "valkey": valkey_tls.port}


@pytest.mark.parametrize("kind", PINGS)
def test_a_broker_is_reached_by_tls(kind: str, secured: dict[str, int], authority: Any, site: Site) -> None:
    """Whose authority is trusted is what is declared."""
    assert ping(f"{kind}s://localhost:{secured[kind]}/orders", site, tls=rk.TLS(ca=authority[0])) is not None


@pytest.mark.parametrize("kind", PINGS)
def test_a_certificate_of_nobody_known_is_refused(kind: str, secured: dict[str, int], site: Site) -> None:
    """This machine's store does not know the authority."""
    with pytest.raises(CertificateRefused):
        ping(f"{kind}s://localhost:{secured[kind]}/orders", site)


@pytest.mark.parametrize("kind", PINGS)
def test_an_expired_certificate_is_refused(kind: str, outdated: dict[str, int], expired: Any, site: Site) -> None:
    """It says that it expired, and is not tried again."""
    with pytest.raises(CertificateRefused, match="expired"):
        ping(f"{kind}s://localhost:{outdated[kind]}/orders", site, tls=rk.TLS(ca=expired[0]))


@pytest.mark.parametrize("kind", PINGS)
def test_tls_that_is_demanded_is_not_given_up(kind: str, ports: dict[str, int], site: Site) -> None:
    """A server without TLS is told nothing, though it would answer."""
    with pytest.raises(FrameworkError) as caught:
        ping(f"{kind}s://localhost:{ports[kind]}/orders", site)
    assert isinstance(caught.value, (ProtocolRefused, BrokerUnavailable))


# ------------------------------------------------------------------------------------------------ credentials


def test_valkey_wants_the_password(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right one is taken, a wrong one and none are refused with one error."""
    monkeypatch.setenv("RIGHT", "sesame-street")
    monkeypatch.setenv("WRONG", "another-street")
    with ValkeyServer(tmp_path / "v", {"requirepass": "sesame-street"}) as server:
        url = f"valkey://127.0.0.1:{server.port}/orders"
        assert ping(url, site, auth=Basic("default", "env:RIGHT")) == 0
        for auth in (Basic("default", "env:WRONG"), None):
            with pytest.raises(BrokerUnauthorised) as caught:
                ping(url, site, auth=auth)
            assert "street" not in caught.value.what


@pytest.mark.parametrize(
    ("rules", "right", "wrong"),
    [
        (
            "authorization { users: [{user: loader, password: sesame-street}] }\n",
            Basic("loader", "env:RIGHT"),
            Basic("loader", "env:WRONG"),
        ),
        ("authorization { token: sesame-street }\n", Bearer("env:RIGHT"), Bearer("env:WRONG")),
        (f"authorization {{ users: [{{nkey: {USER}}}] }}\n", Nkey("env:SEED"), Nkey("env:OTHER_SEED")),
    ],
    ids=["user", "token", "nkey"],
)
def test_nats_wants_credentials(
    rules: str, right: Any, wrong: Any, tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User and password, token, key: the right one is taken, a wrong one and none are refused."""
    monkeypatch.setenv("RIGHT", "sesame-street")
    monkeypatch.setenv("WRONG", "another-street")
    monkeypatch.setenv("SEED", SEED)
    monkeypatch.setenv("OTHER_SEED", seed_of(bytes(range(32))))
    with NatsServer(tmp_path / "n", rules) as server:
        url = f"nats://127.0.0.1:{server.port}/ORDERS"
        assert ping(url, site, auth=right) is not None
        for auth in (wrong, None):
            with pytest.raises(BrokerUnauthorised):
                ping(url, site, auth=auth)


def test_kafka_wants_the_password(
    kafka: KafkaMock, authority: Any, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SASL through the relay, over TLS of ours: the right one is taken, a wrong one is refused with one error."""
    monkeypatch.setenv("RIGHT", "sesame")
    monkeypatch.setenv("WRONG", "another-street")
    with Front(kafka.ports[0], authority[1], kafka=True, sasl=True) as front:
        url, tls = f"kafkas://localhost:{front.port}/orders", rk.TLS(ca=authority[0])
        assert ping(url, site, auth=Sasl("loader", "env:RIGHT", "PLAIN"), tls=tls) is not None
        with pytest.raises(BrokerUnauthorised) as caught:
            ping(url, site, auth=Sasl("loader", "env:WRONG", "PLAIN"), tls=tls)
        assert "street" not in caught.value.what


def test_a_seed_says_who_it_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public key of NATS's own example; a seed with a slip of the pen is none."""
    monkeypatch.setenv("SEED", SEED)
    assert Signer(Nkey("env:SEED")).public == USER
    monkeypatch.setenv("SEED", SEED.replace("KYR", "KYS"))
    with pytest.raises(KeyUnusable):
        Signer(Nkey("env:SEED"))


def seed_of(raw: bytes) -> str:
    """A user's seed in the form of nkeys."""
    import binascii

    head = bytes([(18 << 3) | ((20 << 3) >> 5), ((20 << 3) & 31) << 3])
    body = head + raw
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")
