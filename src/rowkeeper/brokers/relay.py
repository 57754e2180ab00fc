"""The relay: librdkafka makes its own connections, to wherever a cluster says that its brokers are; so it is given
loopback, and here each of its connections goes on by the one way out, to a declared host, by TLS of ours.

    librdkafka -- 127.0.0.1:PORT -- relay -- way_out.connect, TLS -- broker

Each broker has a port that stands for it, and the addresses in the brokers' answers are replaced by those (see
`kafkawire.py`): librdkafka never learns where a broker is. A connection is taken only if this process made it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable

import psutil

from rowkeeper.brokers.kafkawire import Answers, NotKafka, Requests
from rowkeeper.errors import FrameworkError
from rowkeeper.logs import logger

PIECE_BYTES = 256 * 1024
PENDING_BYTES_MAX = 4 << 20  # so much may wait for a side that reads slowly, before the other is read further

Connect = Callable[[str, int], socket.socket]
log = logger("network")


class Relay:
    """Stands for the brokers of one cluster. Close it.

    Args:
        connect: makes a connection to a broker. Raises FrameworkError and OSError.

    Attributes:
        trouble: why a broker was not connected to, the last time that one was not; a driver only learns that the
            connection ended.
        denied: whether a broker refused our credentials when it was last shown some.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._listeners: dict[tuple[str, int], socket.socket] = {}
        self._accepting: list[threading.Thread] = []
        self._lines: set[socket.socket] = set()
        self._closed = False
        self.trouble: FrameworkError | None = None
        self.denied = False

    def local_port(self, host: str, port: int) -> int:
        """The port on 127.0.0.1 that stands for a broker; it is listened on from now on."""
        with self._lock:
            listener = self._listeners.get((host, port))
            if listener is None:
                listener = socket.create_server(("127.0.0.1", 0))
                self._listeners[host, port] = listener
                thread = threading.Thread(
                    target=self._accept, args=(listener, host, port), name="rowkeeper-relay", daemon=True
                )
                self._accepting.append(thread)
                thread.start()
            return int(listener.getsockname()[1])

    def close(self) -> None:
        """Ends all of its connections."""
        with self._lock:
            self._closed = True
            listeners, accepting = list(self._listeners.values()), list(self._accepting)
            for each in (*listeners, *self._lines):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        for thread in accepting:
            thread.join()
        for listener in listeners:  # which nobody is about to use any more, so that its number is free for others
            listener.close()

    def _accept(self, listener: socket.socket, host: str, port: int) -> None:
        while True:
            try:
                client, peer = listener.accept()
            except OSError:
                return
            if not _is_own(peer[1]):
                log.warning("a connection to the relay was not made by this process", host=host)
                client.close()
                continue
            threading.Thread(target=self._carry, args=(client, host, port), name="rowkeeper-relay", daemon=True).start()

    def _carry(self, client: socket.socket, host: str, port: int) -> None:
        with contextlib.closing(client):
            try:
                broker = self._connect(host, port)
            except FrameworkError as error:
                self.trouble = error
                return
            except OSError as error:
                log.debug("a broker cannot be connected to", host=host, error=type(error).__name__)
                return
            self.trouble = None
            with contextlib.closing(broker):
                with self._lock:
                    if self._closed:
                        return
                    self._lines |= {client, broker}
                try:
                    _Pump(client, broker, self).run()
                except NotKafka as error:
                    log.warning("what answers is no broker of Kafka", host=host, why=str(error))
                except OSError as error:
                    log.debug("a connection to a broker broke", host=host, error=type(error).__name__)
                finally:
                    with self._lock:
                        self._lines -= {client, broker}


class _Pump:
    """Carries both ways of one connection, in one thread: a TLS connection is not for two at a time."""

    def __init__(self, client: socket.socket, broker: socket.socket, relay: Relay) -> None:
        self._client, self._broker = client, broker
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for line in (client, broker):
            line.setblocking(False)
        self._requests = Requests()
        self._answers = Answers(self._requests.asked, relay.local_port)
        self._relay = relay
        self._to_client, self._to_broker = bytearray(), bytearray()
        self._wants_write = False  # of TLS, which may have to write in order to read

    def run(self) -> None:
        """Until either side ends. Raises OSError and NotKafka."""
        while self._step():
            pass

    def _step(self) -> bool:
        poll = select.poll()
        reads_client = len(self._to_broker) < PENDING_BYTES_MAX
        reads_broker = len(self._to_client) < PENDING_BYTES_MAX
        poll.register(self._client, _events(reads_client, bool(self._to_client)))
        poll.register(self._broker, _events(reads_broker, bool(self._to_broker) or self._wants_write))
        waits = not (reads_broker and isinstance(self._broker, ssl.SSLSocket) and self._broker.pending())
        ready = dict(poll.poll(None if waits else 0))
        if reads_client and ready.get(self._client.fileno(), 0) & ~select.POLLOUT and not self._read_client():
            return False
        if (not waits or ready.get(self._broker.fileno())) and reads_broker and not self._read_broker():
            return False
        self._send(self._client, self._to_client)
        self._send(self._broker, self._to_broker)
        return True

    def _read_client(self) -> bool:
        data = _received(self._client)
        if data is None:
            return True
        passed, answered = self._requests.feed(data)
        self._to_broker += passed
        self._to_client += answered
        return bool(data)

    def _read_broker(self) -> bool:
        self._wants_write = False
        try:
            data = _received(self._broker)
        except ssl.SSLWantWriteError:
            self._wants_write = True
            return True
        if data is None:
            return True
        self._to_client += self._answers.feed(data)
        if self._answers.denied is not None:
            self._relay.denied = self._answers.denied
        if data:
            return True
        self._client.setblocking(True)
        self._client.sendall(self._to_client)  # the last words
        return False

    @staticmethod
    def _send(line: socket.socket, pending: bytearray) -> None:
        while pending:
            try:
                sent = line.send(memoryview(pending)[:PIECE_BYTES])
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            del pending[:sent]


def _events(reads: bool, writes: bool) -> int:
    return (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0)


def _received(line: socket.socket) -> bytes | None:
    """What came; None if nothing did, empty at the end."""
    try:
        return line.recv(PIECE_BYTES)
    except (BlockingIOError, ssl.SSLWantReadError):
        return None


def _is_own(port: int) -> bool:
    """Whether a socket of this process has this port on loopback."""
    own = psutil.Process(os.getpid()).net_connections(kind="tcp4")
    return any(each.laddr and each.laddr.port == port and each.laddr.ip == "127.0.0.1" for each in own)
