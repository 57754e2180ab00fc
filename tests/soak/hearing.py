"""Who hears of alerts: a webhook that is away at times, and a pipeline that is made to fail so that there is one.

Each time the pipeline fails is an alert that has to arrive, and each time it is mended the end of one. The next is not
begun before.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

RULE, ROUTE = "tripped", "ear"
WATCHDOG_SECONDS = 15
FILE = """
[watchdog]
every = "{watchdog}s"
to = ["{route}"]

[[rule]]
name = "{rule}"
run_failed = {{ pipeline = "tripwire" }}
severity = "critical"

[[route]]
name = "{route}"
to = "http://127.0.0.1:{port}/hook"
group_by = ["rule", "subject"]
"""
HANG_SECONDS_MAX = 30.0


@dataclass(frozen=True)
class Heard:
    """A notice that was taken: when, by the monotonic clock, and what."""

    at: float
    notice: dict[str, Any]

    @property
    def kind(self) -> str:
        """Firing, resolved, the watchdog's."""
        return str(self.notice["kind"])

    def is_of(self, rule: str) -> bool:
        """Whether it tells of this rule."""
        return any(each["rule"] == rule for each in self.notice["alerts"])


@dataclass
class Ear:
    """The receiver, on loopback, at the same port as long as the soak lasts.

    Attributes:
        heard: what it took, in the order in which it came.
        away: when it took nothing: from, until.
    """

    folder: Path
    heard: list[Heard] = field(default_factory=list)
    away: list[tuple[float, float]] = field(default_factory=list)
    _port: int = 0
    _server: http.server.ThreadingHTTPServer | None = None
    _refuses: bool = False
    _hangs: threading.Event | None = None
    _away_since: float | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """It is up, and rules of alerts lead to it."""
        self._open()
        text = FILE.format(watchdog=WATCHDOG_SECONDS, rule=RULE, route=ROUTE, port=self._port)
        (self.folder / "rowkeeper-alerts.toml").write_text(text)
        try:
            yield
        finally:
            self.recover()
            self._close()

    # ------------------------------------------------------------------ how it is struck

    @property
    def is_away(self) -> bool:
        """Whether it takes nothing now."""
        return self._away_since is not None

    def go_down(self) -> None:
        """Nobody listens there."""
        self._away_since = time.monotonic()
        self._close()

    def refuse(self) -> None:
        """It answers that it is broken."""
        self._away_since = time.monotonic()
        self._refuses = True

    def hang(self) -> None:
        """It takes the request, and does not answer."""
        self._away_since = time.monotonic()
        self._hangs = threading.Event()

    def recover(self) -> None:
        """It is well again."""
        if self._away_since is None:
            return
        if self._server is None:
            self._open()
        self._refuses = False
        if self._hangs is not None:
            self._hangs.set()
            self._hangs = None
        self.away.append((self._away_since, time.monotonic()))
        self._away_since = None

    def miss(self, since: float, until: float) -> None:
        """Nobody could have told it anything in this time."""
        self.away.append((since, until))

    # ------------------------------------------------------------------ how it listens

    def take(self, notice: dict[str, Any]) -> int:
        """What it answers to a notice."""
        hangs = self._hangs
        if hangs is not None:
            hangs.wait(HANG_SECONDS_MAX)
            return 503
        if self._refuses:
            return 500
        self.heard.append(Heard(time.monotonic(), notice))
        return 200

    def _open(self) -> None:
        ear = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                status = ear.take(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                with contextlib.suppress(OSError):  # who asked has been killed meanwhile
                    self.send_response(status)
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    # ------------------------------------------------------------------ what it heard

    def seconds_up(self, since: float, until: float) -> float:
        """Of this time, in how much of it somebody could have told it something."""
        away = [*self.away, *([] if self._away_since is None else [(self._away_since, time.monotonic())])]
        missed, at = 0.0, since
        for begun, ended in sorted(away):
            seconds = min(ended, until) - max(begun, at)
            if seconds > 0:
                missed += seconds
                at = min(ended, until)
        return until - since - missed

    def gaps(self, begun: float, ended: float) -> list[float]:
        """Seconds between two of the watchdog's notices, without those in which it was away."""
        times = [begun, *(each.at for each in self.heard if each.kind == "watchdog"), ended]
        return [self.seconds_up(earlier, later) for earlier, later in pairwise(times)]
