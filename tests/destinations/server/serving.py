"""The front (`front.py`) started and stopped, and what a test does to it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

USERS = {
    "loader": {"password": "a long pass word"},
    "reader": {"password": "another one", "readonly": 2},
    "strict": {"password": "a third", "readonly": 1},
}
PASSWORDS = {"CH_PASSWORD": "a long pass word", "CH_READ_PASSWORD": "another one", "CH_STRICT": "a third"}
TOO_MANY_PARTS = {"status": 500, "code": 252, "text": "Code: 252. DB::Exception: Too many parts (TOO_MANY_PARTS)"}
MEMORY = {
    "status": 500,
    "code": 241,
    "text": "Code: 241. DB::Exception: (query) memory limit exceeded (MEMORY_LIMIT_EXCEEDED)",
}
UNAVAILABLE = {"status": 503, "text": "no healthy upstream"}


@dataclasses.dataclass
class Front:
    """A server that is up."""

    process: subprocess.Popen[str]
    ports: list[int]

    def url(self, port: int | None = None, *, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://loader@{host}:{port or self.ports[0]}/shop"

    def env(self, port: int | None = None) -> dict[str, str]:
        """Settings under which a pipeline that names no server goes to this one."""
        return {
            **PASSWORDS,
            "ROWKEEPER_CLICKHOUSE_URL": self.url(port),
            "ROWKEEPER_CLICKHOUSE_PASSWORD": "env:CH_PASSWORD",
            "ROWKEEPER_CLICKHOUSE_READ_USER": "reader",
            "ROWKEEPER_CLICKHOUSE_READ_PASSWORD": "env:CH_READ_PASSWORD",
        }

    def arm(self, match: str, times: int = 1, **fault: Any) -> None:
        """From now on statements in which `match` (a regular expression) is found fail, so many times."""
        self._tell({"faults": [{"match": match, "times": times, **fault}], "forget": True})

    def disarm(self) -> None:
        self._tell({"faults": [], "forget": True})

    def said(self) -> list[str]:
        """Every statement that was run since the last `arm` or `disarm`, in order."""
        return list(self._tell({})["said"])

    def ask(self, sql: str) -> str:
        """What the engine behind it answers, past its users; tab separated."""
        answer = str(self._tell({"ask": sql})["answer"])
        assert "DB::Exception" not in answer, answer
        return answer

    def left(self) -> list[dict[str, Any]]:
        """The faults that did not come to pass."""
        return list(self._tell({})["left"])

    def _tell(self, order: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[-1]}/front", json.dumps(order).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))


@contextmanager
def serving(folder: Path, *, ports: int = 1, **order: Any) -> Iterator[Front]:
    """A front with these many ports; `cert`, `key` and `clients` are PEM files, `users` are beside the usual ones."""
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.destinations.server.front", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        asked = {"ports": ports, **order, "users": {**USERS, **order.get("users", {})}}
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        yield Front(process, json.loads(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
