from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from rowkeeper.ledger.schedules import LedgerSchedules
from rowkeeper.schedule import Timing
from tests.arena import Arena
from tests.operations.metrics.scraping import scraping
from tests.web.site import Site

SCHEDULED = """
import rowkeeper as rk
from pydantic import BaseModel

class Row(BaseModel):
    id: int

silent = rk.Pipeline("silent", source=rk.sources.files("silent.csv"), contract=Row, schedule="every 1s",
    destination=rk.destinations.clickhouse("silent", order_by=["id"]))
"""


@pytest.fixture(scope="package")
def site(tmp_path_factory) -> Iterator[Site]:
    """A state folder with runs that ended in several ways, not served yet; and a pipeline that nobody runs any more."""
    folder = tmp_path_factory.mktemp("metrics")
    made = Site(Arena(folder, {"ROWKEEPER_BACKUP_TO": str(folder / "backups")}))
    made.prepare()
    made.arena.write("broken.csv", "id,pieces,email\n1,1")
    made.arena.write("scheduled.py", SCHEDULED)
    made.admit(("viewer", "none"))
    with made.opened() as space:
        an_hour_ago = LedgerSchedules(
            space.ledger.audit.engine, lambda: datetime.now(UTC) - timedelta(hours=1), space.ledger.audit
        )
        an_hour_ago.declare("silent", str(made.arena.folder / "scheduled.py"), Timing("every 1s"))
    made.arena.ok("alerts", "check")
    yield made
    if made.running is not None:
        made.stop()
    made.arena.kill_host()


@pytest.fixture(scope="package")
def prometheus(site: Site) -> Iterator[httpx.Client]:
    """A client of a Prometheus that scrapes the site."""
    with scraping(site) as client:
        yield client
