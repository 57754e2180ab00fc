"""A ClickHouse server as far as one can be had from a wheel: its HTTP interface over chDB, the real engine.

    python -m tests.destinations.server.front FOLDER < one line of JSON

It has users with passwords, a user who only reads, TLS with or without client certificates, and several ports that
lead to the one engine as the replicas of a cluster lead to the same tables. `POST /front` arms faults. What needs other
machines is pretended: replicated tables are plain ones, `ON CLUSTER` is this host, and a replica is always up to date.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import ssl
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

from rowkeeper.destinations.embedded.answering import NOT_SETTINGS

CODE = re.compile(r"Code: (\d+)")
INPUT = re.compile(r"\binput\(('(?:[^'\\]|\\.)*')\)( WHERE .*)? FORMAT (\w+)\s*$", re.DOTALL)
CONFIG = """<clickhouse>
  <tcp_port>9000</tcp_port>
  <remote_servers>
    <main><shard><replica><host>localhost</host><port>9000</port></replica></shard></main>
    <sharded>
      <shard><replica><host>localhost</host><port>9000</port></replica></shard>
      <shard><replica><host>localhost</host><port>9000</port></replica></shard>
    </sharded>
    <shop><shard><replica><host>localhost</host><port>9000</port></replica></shard></shop>
  </remote_servers>
  <logger><level>none</level></logger>
  <background_pool_size>2</background_pool_size>
  <database_atomic_delay_before_drop_table_sec>1</database_atomic_delay_before_drop_table_sec>
</clickhouse>"""


class Refusal(Exception):  # noqa: N818 - reads as what it is
    """What the engine says, with its number."""

    def __init__(self, status: int, code: int | None, text: str) -> None:
        super().__init__(text)
        self.status, self.code = status, code


class Engine:
    """chDB, a connection for each statement, so that settings stay with theirs."""

    def __init__(self, folder: Path, users: dict[str, dict[str, Any]], replicated: bool) -> None:
        config = folder / "config.xml"
        config.write_text(CONFIG)
        self._address = f"{folder / 'data'}?config-file={config}"
        self._keeper = chdb.connect(self._address)
        self._replicated = replicated
        self.users = users
        self.said: list[str] = []
        self.faults: list[dict[str, Any]] = []
        self.lock = threading.Lock()

    def run(self, sql: str, body: bytes, parameters: dict[str, str], user: dict[str, Any]) -> bytes:
        connection = chdb.connect(self._address)
        try:
            return self._run(connection, self._pretended(sql), body, parameters, user)
        except RuntimeError as error:
            code = CODE.search(str(error))
            raise Refusal(500, int(code[1]) if code else 1002, str(error)) from error
        finally:
            connection.close()

    def _run(self, connection: Any, sql: str, body: bytes, parameters: dict[str, str], user: dict[str, Any]) -> bytes:
        chosen = {
            name: value
            for name, value in parameters.items()
            if name not in NOT_SETTINGS and not name.startswith("param_") and name != "insert_quorum"
        }
        if user.get("readonly") and chosen.pop("readonly", str(user["readonly"])) != str(user["readonly"]):
            raise Refusal(500, 164, "Code: 164. DB::Exception: Cannot modify 'readonly' setting. (READONLY)")
        if user.get("readonly"):
            connection.query(f"SET readonly = {user['readonly']}" if not chosen else _settings({**chosen, **user}))
        elif chosen:
            connection.query(_settings(chosen))
        if database := parameters.get("database"):
            connection.query(f"USE `{database}`")
        values = {name[6:]: value for name, value in parameters.items() if name.startswith("param_")}
        match = INPUT.search(sql)
        with tempfile.NamedTemporaryFile() as file:
            if match:
                file.write(body)
                file.flush()
                sql = f"{sql[: match.start()]}file('{file.name}', '{match[3]}', {match[1]}){match[2] or ''}"
            statement = sql or body.decode()
            answer = connection.query(statement, parameters.get("default_format", "TabSeparated"), params=values)
            return bytes(answer.bytes())

    def _pretended(self, sql: str) -> str:
        """A cluster of one host, whose replicas are the ports of this process."""
        if not self._replicated:
            return sql
        sql = sql.replace("ReplicatedMergeTree", "MergeTree").replace(" ON CLUSTER `main`", "")
        if sql.startswith("SYSTEM SYNC REPLICA"):
            return f"SELECT count() FROM {sql.split()[3]} FORMAT Null"
        return sql


def _settings(chosen: dict[str, Any]) -> str:
    quoted = {name: str(value).replace("\\", "\\\\").replace("'", "\\'") for name, value in chosen.items()}
    return "SET " + ", ".join(f"{name} = '{value}'" for name, value in quoted.items() if name != "password")


class Handler(BaseHTTPRequestHandler):
    """One connection to one port."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Port

    def do_GET(self) -> None:
        self._answer(200, b"Ok.\n")

    def do_POST(self) -> None:
        body = self._body()
        if urlsplit(self.path).path == "/front":
            self._answer(200, self._told(json.loads(body)))
            return
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        engine, sql = self.server.engine, parameters.get("query") or body.decode()
        fault = self._fault(sql, body)
        try:
            user = self._user(parameters)
            if fault.get("cut") == "before":
                self._cut()
                return
            if "status" in fault:
                raise Refusal(fault["status"], fault.get("code"), fault["text"])
            with engine.lock:
                engine.said.append(sql)
            data = body if parameters.get("query") else b""
            answer = engine.run(sql, data, parameters, user)
        except Refusal as refusal:
            headers = {} if refusal.code is None else {"X-ClickHouse-Exception-Code": str(refusal.code)}
            self._answer(refusal.status, str(refusal).encode(), headers)
            return
        if fault.get("cut") == "after":
            self._cut()
            return
        named = {"X-ClickHouse-Format": parameters.get("default_format", "TabSeparated")} if answer else {}
        self._answer(200, answer, named)

    def _fault(self, sql: str, body: bytes) -> dict[str, Any]:
        """The first of the armed faults that is meant for this statement on this port; it is used up."""
        engine = self.server.engine
        with engine.lock:
            for fault in engine.faults:
                if not re.search(fault["match"], sql) or fault.get("port", self.server.number) != self.server.number:
                    continue
                if len(body) <= fault.get("above_bytes", -1):
                    continue
                fault["times"] -= 1
                if not fault["times"]:
                    engine.faults.remove(fault)
                if fault.get("dies"):
                    self.server.die()
                    return {"cut": "before"}
                return fault
        return {}

    def _told(self, order: dict[str, Any]) -> bytes:
        engine = self.server.engine
        with engine.lock:
            if "faults" in order:
                engine.faults[:] = order["faults"]
            if order.get("forget"):
                engine.said.clear()
            answer = _asked(engine, order["ask"]) if "ask" in order else ""
            return json.dumps({"said": engine.said, "left": engine.faults, "answer": answer}).encode()

    def _user(self, parameters: dict[str, str]) -> dict[str, Any]:
        name = parameters.get("user") or self.headers.get("X-ClickHouse-User") or "default"
        password = parameters.get("password") or self.headers.get("X-ClickHouse-Key") or ""
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if scheme == "Basic":
            name, _, password = base64.b64decode(token).decode().partition(":")
        user = self.server.engine.users.get(name)
        if self.headers.get("X-ClickHouse-SSL-Certificate-Auth") == "on":
            shown = isinstance(self.connection, ssl.SSLSocket) and self.connection.getpeercert()
            subject = dict(each[0] for each in shown["subject"]) if shown else {}
            if user is not None and subject.get("commonName") == user.get("certificate"):
                return user
        elif user is not None and password == user.get("password"):
            return user
        raise Refusal(403, 516, f"Code: 516. DB::Exception: {name}: Authentication failed (AUTHENTICATION_FAILED)")

    def _body(self) -> bytes:
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """No access log."""


def _asked(engine: Engine, sql: str) -> str:
    """What the engine answers, or why it does not."""
    try:
        return engine.run(sql, b"", {"insert_allow_materialized_columns": "1"}, {}).decode()
    except Refusal as refusal:
        return str(refusal)


class Port(ThreadingHTTPServer):
    """Where one replica listens."""

    daemon_threads = True

    def __init__(self, number: int, engine: Engine, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.number, self.engine = number, engine
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.lines: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.lines.add(request)
        super().process_request(request, client_address)

    def die(self) -> None:
        """As if the machine behind it were switched off."""
        threading.Thread(target=self.shutdown, daemon=True).start()
        self.socket.close()
        for line in self.lines:
            line.close() if line.fileno() < 0 else line.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever went away in the middle meant to."""


def main() -> None:
    order = json.loads(sys.stdin.readline())
    engine = Engine(Path(sys.argv[1]), order["users"], order["ports"] > 1)
    context = None
    if order.get("cert"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(order["cert"], order["key"])
        if order.get("clients"):
            context.load_verify_locations(order["clients"])
            context.verify_mode = ssl.CERT_REQUIRED
    ports = [Port(number, engine, context) for number in range(order["ports"])]
    for port in ports:
        threading.Thread(target=port.serve_forever, args=(0.05,), daemon=True).start()
    sys.stdout.write(json.dumps([port.server_address[1] for port in ports]) + "\n")
    sys.stdout.flush()
    sys.stdin.read()  # until whoever started it goes
    os._exit(0)


if __name__ == "__main__":
    main()
