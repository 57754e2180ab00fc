"""ClickHouse's HTTP interface over chDB: one statement a request, each on a connection of its own.

Two users. `default`, without a password, is for any client and for SQL that people type: its connections are made
read only, which also takes `file()`, `url()` and the like away, and cannot be undone in the session. `rowkeeper`, whose
password lies in the state folder, may write.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hmac
import math
import re
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

from rowkeeper.destinations.embedded.guarding import Guard

BODY_BYTES_MAX = 1 << 30
NOT_SETTINGS = {
    "buffer_size",
    "cancel_http_readonly_queries_on_client_close",
    "client_protocol_version",
    "compress",
    "database",
    "decompress",
    "default_format",
    "enable_http_compression",
    "http_headers_progress_interval_ms",
    "password",
    "query",
    "query_id",
    "quota_key",
    "role",
    "send_progress_in_http_headers",
    "session_check",
    "session_id",
    "session_timeout",
    "user",
    "wait_end_of_query",
}
# What does not fit into memory would go to files, which chDB cannot encrypt (it knows no `tmp_policy`): values of
# encrypted tables would lie there in the clear. The statement fails instead. Some ways to join write files whatever the
# limits are (`grace_hash`, `partial_merge`, and `auto`, which comes to it), so that only those that never do are left.
KEPT_IN_MEMORY: dict[str, str | int] = {
    **{
        f"max_bytes_{measure}before_external_{work}": 0
        for work in ("distinct", "group_by", "join", "sort")
        for measure in ("", "ratio_")
    },
    "join_algorithm": "direct,parallel_hash,hash",
}
SETTING = re.compile(r"[a-z][a-z0-9_]*")
INSERT_BODY = re.compile(r"\s*INSERT\s+INTO\b(?!.*\bSELECT\b).*\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE | re.DOTALL)
CODE = re.compile(r"Code: (\d+)")
CODE_AUTHENTICATION, CODE_BAD_ARGUMENT, CODE_READONLY, CODE_UNKNOWN = 516, 36, 164, 1002


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What one statement may take."""

    memory_bytes_max: int
    query_seconds_max: float
    threads: int = 2


class EngineError(Exception):
    """What ClickHouse says, with its number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Engine:
    """An open chDB. Each statement gets a connection of its own: settings of one cannot leak into the next."""

    def __init__(self, address: str, limits: Limits) -> None:
        self._address = address
        self._limits = limits
        self._keeper = chdb.connect(address)  # the engine stays open between statements
        self._guard = Guard(functools.partial(_asked, self._keeper))
        self.password = ""

    def run(self, query: str, body: bytes, parameters: dict[str, str], *, writes: bool) -> bytes:
        """Runs one statement and returns its answer in the format that it asks for.

        Raises EngineError.
        """
        connection = chdb.connect(self._address)
        try:
            connection.query(self._settings(parameters, writes=writes))
            if database := parameters.get("database"):
                connection.query("USE `" + database.replace("`", "``") + "`")
            if not writes:
                connection.query("SET readonly = 1")
            values = {name[6:]: value for name, value in parameters.items() if name.startswith("param_")}
            insert = INSERT_BODY.match(query) if body else None
            if insert is not None:
                return self._insert(connection, query, insert[1], body)
            statement = f"{query}\n{body.decode()}" if query and body else query or body.decode()
            if not writes:
                self._check_reads(connection, statement)
            answer = connection.query(statement, parameters.get("default_format", "TabSeparated"), params=values)
            return bytes(answer.bytes())
        except RuntimeError as error:
            code = CODE.search(str(error))
            raise EngineError(int(code[1]) if code else CODE_UNKNOWN, str(error)) from error
        finally:
            connection.close()

    def _settings(self, parameters: dict[str, str], *, writes: bool) -> str:
        """Ours first, then those that the client sends; limits last, so that they hold."""
        chosen: dict[str, str | int | float] = {
            "async_insert": 0,
            "insert_allow_materialized_columns": 1,
            "max_partitions_per_insert_block": 0,
            "max_threads": self._limits.threads,
            "max_insert_threads": min(2, self._limits.threads),
            "mutations_sync": 2,
            "lightweight_deletes_sync": 2,
            "input_format_null_as_default": 0,  # a null where none may be is an error, never a 0
        }
        for name, value in parameters.items():
            if name not in NOT_SETTINGS and not name.startswith("param_"):
                if not SETTING.fullmatch(name):
                    raise EngineError(CODE_BAD_ARGUMENT, "Code: 36. DB::Exception: a setting's name is malformed")
                chosen[name] = value
        chosen["max_memory_usage"] = self._limits.memory_bytes_max
        chosen.update(KEPT_IN_MEMORY)
        if not writes:
            chosen["max_execution_time"] = min(_seconds(chosen), self._limits.query_seconds_max)
            chosen["allow_experimental_eval_table_function"] = 0  # it runs SQL that nobody has looked at
        return "SET " + ", ".join(f"{name} = {_literal(value)}" for name, value in chosen.items())

    @staticmethod
    def _insert(connection: Any, query: str, data_format: str, body: bytes) -> bytes:
        statement = re.sub(r"\bFORMAT\s+\w+\s*;?\s*$", "", query, flags=re.IGNORECASE)
        inserter = connection.send_insert(statement, data_format)
        inserter.append(body)
        inserter.finish()
        return b""

    def _check_reads(self, connection: Any, statement: str) -> None:
        """Refuses what `readonly` lets through.

        Raises EngineError, or ClickHouse's own RuntimeError for what is no SQL.
        """
        try:
            why = self._guard.fault(statement, functools.partial(_asked, connection))
        except RuntimeError as error:
            # ClickHouse's words on the statement, without ours around it.
            raise RuntimeError(str(error).split(": In scope SELECT formatQuery")[0] + " (SYNTAX_ERROR)") from error
        if why:
            raise EngineError(CODE_READONLY, f"Code: {CODE_READONLY}. DB::Exception: {why}. (READONLY)")

    def close(self) -> None:
        """Closes chDB."""
        self._keeper.close()


def _asked(connection: Any, query: str, values: dict[str, str]) -> str:
    return bytes(connection.query(query, "TSVRaw", params=values).bytes()).decode()


def _seconds(chosen: dict[str, str | int | float]) -> float:
    """How long a client wants to wait at most; for ever unless it says so."""
    try:
        asked = float(chosen.get("max_execution_time", 0))
        return asked if asked > 0 else math.inf
    except ValueError as error:
        raise EngineError(CODE_BAD_ARGUMENT, "Code: 36. DB::Exception: max_execution_time is no number") from error


def _literal(value: str | float) -> str:
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(value)


class Handler(BaseHTTPRequestHandler):
    """One HTTP connection."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        """A query in the address; or `/ping`."""
        if urlsplit(self.path).path == "/ping":
            self._answer(200, b"Ok.\n")
        else:
            self._statement(b"")

    def do_POST(self) -> None:
        """A query in the address, in the body, or in the address with its data in the body."""
        body = self._body()
        if body is not None:
            self._statement(body)

    def _statement(self, body: bytes) -> None:
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        writes = self._user(parameters)
        if writes is None:
            self._fail(403, CODE_AUTHENTICATION, "Code: 516. DB::Exception: Authentication failed")
            return
        try:
            answer = self.server.engine.run(parameters.get("query", ""), body, parameters, writes=writes)
        except EngineError as error:
            self._fail(500, error.code, str(error))
        except UnicodeDecodeError:
            self._fail(400, CODE_BAD_ARGUMENT, "Code: 36. DB::Exception: the query is not UTF-8")
        else:
            self._answer(200, answer, {"X-ClickHouse-Format": parameters.get("default_format", "TabSeparated")})

    def _user(self, parameters: dict[str, str]) -> bool | None:
        """Whether the user may write; None for one that is not let in."""
        user = parameters.get("user") or self.headers.get("X-ClickHouse-User") or ""
        password = parameters.get("password") or self.headers.get("X-ClickHouse-Key") or ""
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if scheme == "Basic":
            user, _, password = base64.b64decode(token).decode(errors="replace").partition(":")
        if user in ("", "default"):
            return False if not password else None
        known = user == "rowkeeper" and hmac.compare_digest(password.encode(), self.server.engine.password.encode())
        return True if known else None

    def _body(self) -> bytes | None:
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_BYTES_MAX:
            self.close_connection = True
            self._fail(413, CODE_BAD_ARGUMENT, "Code: 36. DB::Exception: the request is too large")
            return None
        return self.rfile.read(length)

    def _fail(self, status: int, code: int, text: str) -> None:
        self._answer(status, text.encode() + b"\n", {"X-ClickHouse-Exception-Code": str(code)})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain; charset=UTF-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """No access log: an address holds SQL, and SQL may hold values."""

    def address_string(self) -> str:
        """A Unix socket has no address."""
        return "local"
