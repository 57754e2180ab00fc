"""An API that takes orders, on loopback by TLS: it keeps what it answered to each idempotency key, as such APIs do."""

from __future__ import annotations

import decimal
import hashlib
import json
import threading
from collections.abc import Callable
from typing import Any

from tests.sources.api.shop import Asked, Said, Shop

Judge = Callable[[dict[str, Any]], Said | None]
CAPACITY = 100_000


class Store(Shop):
    """Takes batches at `/NAME`, each row once for each key.

    Attributes:
        taken: by name, the rows in the order in which they came.
        refuses: why a row is not taken, by its status and words; None for a row that is.
        told: how it tells of rows: `whole` (all or none), `items` (207 with a result for each), `errors` (a list).
        bytes_max: a body that is larger is refused with 413.
        before, after: asked before a batch is looked at, and after it was taken; an answer goes out instead.
    """

    def __init__(self) -> None:
        super().__init__([])
        self.taken: dict[str, list[dict[str, Any]]] = {}
        self.keys: dict[str, tuple[str, Said]] = {}
        self.refuses: Callable[[dict[str, Any]], tuple[int, str] | None] = lambda row: None
        self.told = "whole"
        self.bytes_max = CAPACITY
        self.before: Callable[[Asked], Said | None] = lambda asked: None
        self.after: Callable[[Asked], Said | None] = lambda asked: None
        self.token: str | None = None
        self._lock = threading.Lock()
        self.first = self._take

    def _take(self, asked: Asked) -> Said:
        if self.token is not None and asked.headers.get("authorization") != f"Bearer {self.token}":
            return Said({"message": "who are you?"}, status=401)
        early = self.before(asked)
        if early is not None:
            return early
        if len(asked.body) > self.bytes_max:
            return Said({"message": "too large"}, status=413)
        with self._lock:
            said = self._once(asked)
        return self.after(asked) or said

    def _once(self, asked: Asked) -> Said:
        key, digest = asked.headers.get("idempotency-key"), hashlib.sha256(asked.body).hexdigest()
        if key is not None and key in self.keys:
            former, said = self.keys[key]
            assert former == digest, "the same key with another body"
            return said
        said = self._judged(asked)
        if key is not None:
            self.keys[key] = digest, said
        return said

    def _judged(self, asked: Asked) -> Said:
        rows = rows_in(asked)
        verdicts = [self.refuses(row) for row in rows]
        held = self.taken.setdefault(asked.path.strip("/"), [])
        if self.told == "whole":
            bad = next((verdict for verdict in verdicts if verdict), None)
            if bad is not None:
                return Said({"message": bad[1]}, status=bad[0])
            held.extend(rows)
            return Said({"accepted": len(rows)}, status=201)
        held.extend(row for row, verdict in zip(rows, verdicts, strict=True) if verdict is None)
        if self.told == "items":
            items = [
                {"status": 201} if verdict is None else {"status": verdict[0], "error": {"message": verdict[1]}}
                for verdict in verdicts
            ]
            return Said({"items": items}, status=207)
        errors = [
            {"row": number, "message": verdict[1], "status": verdict[0]}
            for number, verdict in enumerate(verdicts)
            if verdict is not None
        ]
        return Said({"errors": errors} if errors else {"accepted": len(rows)})


def rows_in(asked: Asked) -> list[dict[str, Any]]:
    """Whatever form they came in."""
    if "ndjson" in asked.headers.get("content-type", ""):
        return [json.loads(line, parse_float=decimal.Decimal) for line in asked.body.split(b"\n") if line]
    found = json.loads(asked.body, parse_float=decimal.Decimal)  # an API that counts money does not read floats
    if isinstance(found, dict):
        return found.get("records", [found])
    return found
