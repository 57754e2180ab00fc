"""An API as a destination keeps what every destination must: a real server by TLS, behind a proxy that cuts."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import trustme

from rowkeeper.protocols import Guarantee
from rowkeeper.testing import Cutter, DestinationConformance, Fault
from rowkeeper.testing.loading import Row
from tests.arena import Arena
from tests.destinations.api.store import Store
from tests.extent import Sampled
from tests.sources.api.shop import Asked, Said, open_shop
from tests.sources.rigs import InArena

DECLARED = """rk.destinations.api(
        "https://localhost:{port}/{name}",
        auth=rk.sources.Bearer("env:STORE_TOKEN"),
        tls=rk.TLS(ca="{ca}"),
        batch_rows={rows},
        {more}
        resilience=rk.Resilience(
            retry=rk.Retry(attempts=3, wait_seconds_initial=0.01, wait_seconds_max=0.02, attempt_seconds_max=2.0),
            breaker=None,
            deadline_seconds=10,
        ),
        {options}
    )"""


@dataclasses.dataclass
class StoreRig:
    """A store behind a cutter."""

    runner: InArena
    store: Store
    cutter: Cutter
    ca: Path
    authority: trustme.CA
    more: str = ""

    def declare(self, name: str, options: str = "") -> str:
        rows = 1_000 if name == "large" else 20
        return DECLARED.format(port=self.cutter.port, name=name, ca=self.ca, rows=rows, more=self.more, options=options)

    def rows(self, name: str) -> Sequence[Row]:
        return [dict(row) for row in self.store.taken.get(name, [])]

    def damage(self, name: str) -> None:
        raise AssertionError("it cannot be verified")

    def faults(self) -> Sequence[Fault]:
        return (
            *(Fault(f"cut after {size} bytes", self.cutter.cutting(size)) for size in (0, 1_400, 1_700, 2_000)),
            Fault("taken, and the answer lost", self._answering_once_after(lambda: Said(status=503))),
            Fault("busy at first", self._answering_once(lambda: Said(status=429, headers={"Retry-After": "0"}))),
            Fault("down", self._before(lambda _: Said(status=503)), ("RK-3121",)),
            Fault("wrong credentials", self._token("another"), ("RK-3122",)),
            Fault("a page for people", self._before(lambda _: Said(content=b"<html>login</html>")), ("RK-3141",)),
            Fault("an error inside", self._before(lambda _: Said({"error": {"code": 17}})), ("RK-3141",)),
            Fault("a peer that says nothing", self._silent(), ("RK-3121", "RK-4003")),
            Fault("an expired certificate", self._expired(), ("RK-6041",)),
        )

    @contextlib.contextmanager
    def _before(self, answer: Callable[[Asked], Said | None]) -> Iterator[None]:
        """From the second batch on."""
        seen: list[Asked] = []

        def later(asked: Asked) -> Said | None:
            seen.append(asked)
            return answer(asked) if len(seen) > 1 else None

        self.store.before = later
        yield
        self.store.before = lambda asked: None

    @contextlib.contextmanager
    def _answering_once(self, made: Callable[[], Said]) -> Iterator[None]:
        once = [made()]
        self.store.before = lambda asked: once.pop() if once else None
        yield
        self.store.before = lambda asked: None

    @contextlib.contextmanager
    def _answering_once_after(self, made: Callable[[], Said]) -> Iterator[None]:
        once = [made()]
        self.store.after = lambda asked: once.pop() if once else None
        yield
        self.store.after = lambda asked: None

    @contextlib.contextmanager
    def _token(self, token: str) -> Iterator[None]:
        former, self.store.token = self.store.token, token
        yield
        self.store.token = former

    @contextlib.contextmanager
    def _silent(self) -> Iterator[None]:
        self.cutter._silent = True
        yield
        self.cutter._silent = False

    @contextlib.contextmanager
    def _expired(self) -> Iterator[None]:
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        with open_shop(Store(), self.authority, past) as other:
            self.cutter._server_port = other.server_port
            yield
            self.cutter._server_port = self.store.server_port


@pytest.mark.in_turns("APIs as destinations", 1)
class _AnApi(Sampled, DestinationConformance):
    own_failpoints = r"^(publish|settle|api)\."
    kill_every = 40
    rolls_back = verifies = replaces_changed = replaces_all = adds_columns = False

    @pytest.fixture
    def rig(self, class_arena: Arena, authority: trustme.CA, ca: Path) -> Iterator[StoreRig]:
        class_arena.env["STORE_TOKEN"] = "sesame"
        store = Store()
        store.token = "sesame"
        with open_shop(store, authority), Cutter(store.server_port) as cutter:
            yield StoreRig(InArena(class_arena), store, cutter, ca, authority, self.more)


class TestWithIdempotencyKeys(_AnApi):
    guarantee = Guarantee.EXACTLY_ONCE_BY_KEY
    more = ""


class TestWithout(_AnApi):
    guarantee = Guarantee.AT_LEAST_ONCE
    more = "idempotency_key=None,"
    kill_every = 400
