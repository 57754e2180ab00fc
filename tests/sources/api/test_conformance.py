"""The API source keeps what every source must: against a real server, by TLS, through a proxy that cuts connections."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trustme

from rowkeeper.testing import Cutter, Fault, SourceConformance
from rowkeeper.testing.sources import Row
from tests.arena import Arena
from tests.extent import Sampled
from tests.sources.api.shop import Asked, Said, Shop, open_shop
from tests.sources.rigs import InArena

LOAD = """rk.sources.api(
        "https://localhost:{port}/token",
        records="$.items[*]",
        pagination=rk.sources.Token(),
        auth=rk.sources.Bearer("env:SHOP_TOKEN"),
        tls=rk.TLS(ca="{ca}"),
        resilience=rk.Resilience(
            retry=rk.Retry(attempts=3, wait_seconds_initial=0.01, wait_seconds_max=0.02, attempt_seconds_max={seconds}),
            breaker=None,
            deadline_seconds=10,
        ),
    {more})"""
INCREMENTAL = """incremental=rk.sources.Incremental("$.id", param="since", lookback=5),"""


@dataclasses.dataclass
class ApiRig:
    """A shop behind a cutter."""

    runner: InArena
    shop: Shop
    cutter: Cutter
    ca: Path
    more: str = ""

    def declare(self) -> str:
        return LOAD.format(port=self.cutter.port, ca=self.ca, seconds=1.0, more=self.more)

    def offer(self, rows: Sequence[Row]) -> None:
        self.shop.rows = [dict(row) for row in rows]
        self.shop.size = max(2, len(rows) // 100)

    def add(self, rows: Sequence[Row]) -> None:
        self.shop.rows += [dict(row) for row in rows]

    def faults(self) -> Sequence[Fault]:
        return (
            *(Fault(f"cut after {size} bytes", self.cutter.cutting(size)) for size in (0, 2_500, 4_000, 6_000)),
            Fault("wrong credentials", self._answering(lambda _: Said(status=401)), ("RK-2112",)),
            Fault("errors in the middle, then well", self._failing_at_first()),
            Fault("down", self._answering(lambda _: Said(status=503)), ("RK-2110",)),
            Fault("a page for people", self._answering(lambda _: Said(content=b"<html>login</html>")), ("RK-2113",)),
            Fault("a peer that says nothing", self._silent(), ("RK-2110", "RK-4003")),
            Fault("an expired certificate", self._expired(), ("RK-6041",)),
        )

    @contextlib.contextmanager
    def _answering(self, answer) -> Iterator[None]:
        """The second page on."""
        own = self.shop.first
        self.shop.first = lambda asked: answer(asked) if "page_token" in asked.query else own(asked)
        yield
        self.shop.first = own

    @contextlib.contextmanager
    def _failing_at_first(self) -> Iterator[None]:
        failed: set[str] = set()
        own = self.shop.first

        def answer(asked: Asked) -> Said | None:
            page = asked.query.get("page_token", "")
            if page in failed or not page.endswith("0"):
                return own(asked)
            failed.add(page)
            return Said(status=500)

        self.shop.first = answer
        yield
        self.shop.first = own

    @contextlib.contextmanager
    def _expired(self) -> Iterator[None]:
        authority = trustme.CA()
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        authority.cert_pem.write_to_path(self.runner.folder / "expired.pem")
        with (
            open_shop(Shop(self.shop.rows), authority, past) as other,
            self._declared_otherwise(
                {str(self.cutter.port): str(other.server_port), str(self.ca): str(self.runner.folder / "expired.pem")}
            ),
        ):
            yield

    @contextlib.contextmanager
    def _silent(self) -> Iterator[None]:
        with Cutter(self.shop.server_port) as silent:
            silent.fall_silent()
            with self._declared_otherwise({str(self.cutter.port): str(silent.port)}):
                yield

    @contextlib.contextmanager
    def _declared_otherwise(self, changes: dict[str, str]) -> Iterator[None]:
        """The pipeline file that was written last, for a while with other words."""
        file = max(self.runner.folder.glob("fault_*.py"), key=os.path.getmtime)
        text = changed = file.read_text()
        for former, new in changes.items():
            changed = changed.replace(former, new)
        file.write_text(changed)
        yield
        file.write_text(text)


def checked(asked: Asked) -> Said | None:
    return None if asked.headers.get("authorization") == "Bearer sesame" else Said(status=401)


@pytest.fixture
def shop_rig(class_arena: Arena, authority: trustme.CA, ca: Path) -> Iterator[ApiRig]:
    class_arena.env["SHOP_TOKEN"] = "sesame"
    shop = Shop([], size=20)
    shop.first = checked
    with open_shop(shop, authority), Cutter(shop.server_port) as cutter:
        yield ApiRig(InArena(class_arena), shop, cutter, ca)


@pytest.mark.in_turns("APIs as sources", 1)
class TestWholeLoads(Sampled, SourceConformance):
    """Each run reads everything, and takes the place of the one before."""

    own_failpoints = r"^api\."
    kill_every = 40
    reads_again = True

    @pytest.fixture
    def rig(self, shop_rig: ApiRig) -> ApiRig:
        return shop_rig


@pytest.mark.in_turns("APIs as sources", 1)
class TestIncrements(Sampled, SourceConformance):
    """Each run reads what is new, and a few records a second time."""

    own_failpoints = r"^api\."
    kill_every = 40

    @pytest.fixture
    def rig(self, shop_rig: ApiRig) -> ApiRig:
        return dataclasses.replace(shop_rig, more=INCREMENTAL)
