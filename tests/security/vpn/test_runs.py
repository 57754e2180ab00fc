"""A run whose VPN is not as it must be ends with one clear error, loses nothing, and goes on the next time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rowkeeper as rk
from rowkeeper.errors import FrameworkError, VpnBypassed, VpnDown
from rowkeeper.runs.draining import drain_spool
from tests.security.vpn.lab import Lab, tunnelled
from tests.security.vpn.remote_orders import orders

pytestmark = pytest.mark.root
ROWS = 60
BATCH_ROWS = 10


class Desk:
    """A folder with files, a state folder, and commands that are given on the client's machine."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        (folder / "a.csv").write_text("id\n" + "".join(f"{number}\n" for number in range(ROWS)))
        self.settings = rk.Settings(
            home=folder / "state",
            key_file=folder / "the.key",
            batch_rows=BATCH_ROWS,
            insert_rows=BATCH_ROWS,
            engine_idle_seconds=5,
        )

    @property
    def place(self) -> rk.Endpoint:
        return rk.Endpoint(Lab.inside, 5432, private=True, via=rk.Via(self.lab.interface))

    def run(self, **options: Any) -> rk.RunReport:
        def work() -> rk.RunReport:
            with rk.Workspace.open(self.settings) as workspace:
                return rk.run(orders(self.folder, **options), workspace)

        return self.lab.client.within(work)

    def drained(self) -> list[str]:
        def work() -> list[str]:
            with rk.Workspace.open(self.settings) as workspace:
                return [report.status for each in drain_spool(workspace) for report in each.reports]

        return self.lab.client.within(work)

    def statuses(self) -> list[str]:
        def work() -> list[str]:
            with rk.Workspace.open(self.settings) as workspace:
                return [each.status.value for each in workspace.ledger.runs(limit=9)]

        return self.lab.client.within(work)

    def down(self) -> None:
        self.lab.client.ip("link", "set", self.lab.interface, "down")

    def up(self) -> None:
        self.lab.client.ip("link", "set", self.lab.interface, "up")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """With a tunnel that is up."""
    with tunnelled() as lab:
        yield Desk(lab, tmp_path)


def test_a_run_over_a_sound_tunnel_is_published(desk: Desk):
    """Source and destination each by the demanded interface; the other tests can pass for no other reason."""
    report = desk.run(source_place=desk.place, table_place=desk.place)
    assert (report.status, report.account.committed) == ("published", ROWS)


def test_a_source_whose_interface_goes_down_in_the_middle(desk: Desk):
    """The run stops at once, with the one error; the next goes on where it stopped, and no row is lost or doubled."""

    def cut(number: int) -> None:
        if number == 4:
            desk.down()

    with pytest.raises(VpnDown, match="is down") as caught:
        desk.run(source_place=desk.place, before=cut)
    assert caught.value.retryable
    assert desk.statuses() == ["interrupted"]
    desk.up()
    report = desk.run(source_place=desk.place)
    assert (report.status, report.account.read, report.account.committed) == ("published", ROWS, ROWS)
    assert any("goes on" in note for note in report.notes)


def test_a_source_whose_route_leads_elsewhere_is_not_connected_to(desk: Desk):
    """Nothing is published, and nothing left by the other cable."""
    desk.lab.client.ip("route", "add", f"{Lab.inside}/32", "via", "10.84.0.2", "dev", "eth2")
    before = desk.lab.client.sent("eth2")
    with pytest.raises(VpnBypassed, match="leaves by eth2"):
        desk.run(source_place=desk.place)
    assert desk.lab.client.sent("eth2") == before


def test_a_destination_that_is_cut_off_in_the_middle_spools(desk: Desk):
    """With fallback="spool" the run starts over into the spool; when the interface is up again it is drained."""

    def cut(number: int) -> None:
        if number == 3:
            desk.down()

    report = desk.run(table_place=desk.place, before=cut, fallback="spool")
    assert (report.status, report.account.read) == ("spooled", ROWS)
    assert "is down" in " ".join(report.degraded)
    desk.up()
    report = desk.run(table_place=desk.place, fallback="spool")
    assert report.status == "unchanged"
    assert desk.statuses()[1:] == ["published"]


def test_a_destination_that_cannot_be_reached_spools_from_the_start(desk: Desk):
    """As any destination that is away."""
    desk.down()
    assert desk.run(table_place=desk.place, fallback="spool").status == "spooled"


def test_a_destination_without_a_fallback_ends_the_run(desk: Desk):
    """With the one error, and what was staged is kept for the next run."""

    def cut(number: int) -> None:
        if number == 3:
            desk.down()

    with pytest.raises(FrameworkError, match="is down") as caught:
        desk.run(table_place=desk.place, before=cut)
    assert isinstance(caught.value, VpnDown)
    desk.up()
    report = desk.run(table_place=desk.place)
    assert (report.status, report.account.committed) == ("published", ROWS)
