"""The power goes where backups lie: what claims to be a backup afterwards is a whole one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import extent
from tests.arena import Arena
from tests.operations.backups.furnished import furnish, load
from tests.torture.powerloss import Disk, why_no_power_loss

pytestmark = [
    pytest.mark.skipif(why_no_power_loss() is not None, reason=f"the power cannot be cut here: {why_no_power_loss()}"),
]
THE_END = "the end"
POINTS = (THE_END, "backup.after_begin", "backup.after_pack", "backup.after_send", "backup.after_manifest")


def test_a_power_loss_leaves_a_whole_backup_or_none(own_arena: Arena, tmp_path: Path):
    """Cut at each step, and after the command has said that it is done: the one that was there before is sound, and so
    is the new one if its manifest is there; once it was told, it is.
    """
    image, at = tmp_path / "disk.img", tmp_path / "mounted"
    Disk.format(image)
    furnish(own_arena, at / "place")
    points = POINTS if extent.whole else [THE_END, *extent.sample("power losses of backups", POINTS[1:], 1)]
    with Disk(image, at) as disk:
        for number, point in enumerate(points):
            load(own_arena, number, names=("added",))
            stopping = "" if point == THE_END else f"{point}=stop"
            running = own_arena.start("backup", "create", failpoints=stopping)
            if stopping:
                running.wait_stopped()
            else:
                assert running.wait().status == 0
            disk.copy_as_synced(tmp_path / f"{number}.img")
            if stopping:
                running.go_on()
                assert running.wait().status == 0
    for number, point in enumerate(points):
        with Disk(tmp_path / f"{number}.img", at):
            listed, checked = own_arena.answers(("backup", "list"), ("backup", "verify"))
            complete = [each["id"] for each in listed["backups"] if each["state"] == "complete"]
            assert [each["id"] for each in checked["backups"]] == complete, point
            assert checked["sound"], point
            told = number + (point in (THE_END, "backup.after_manifest"))
            assert len(complete) == told, point
