"""Whether the worker may start one more run: there is room in the memory limit, in the machine's memory, on the disk.

What is under way is left alone: it slows down by itself where memory is short, and stops in time where the disk is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from rowkeeper import machine
from rowkeeper.errors import DiskFull
from rowkeeper.logs import logger
from rowkeeper.operations.worker.files import Tell
from rowkeeper.runs.room import check_room
from rowkeeper.runs.sizing import COMMAND_AT_REST_BYTES, GROUP_TIGHT_SHARE, STALLED_PERCENT_MAX, kept_for_others
from rowkeeper.runs.workspace import Workspace

log = logger("worker")


class Admission:
    """Says when it holds runs back, and when it does not any more.

    Args:
        tell: as of the worker.
        whole, group: the machine's memory, and that of a control group, if there is one.
    """

    def __init__(
        self,
        workspace: Workspace,
        tell: Tell,
        *,
        whole: Callable[[], machine.MachineMemory] = machine.machine_memory,
        group: Callable[[], machine.MemoryGroup | None] = machine.memory_group,
    ) -> None:
        self._workspace = workspace
        self._tell = tell
        self._whole = whole
        self._group = group
        self.why = ""  # the last answer: what there is too little of, empty for nothing

    def grants(self, own: Collection[int]) -> bool:
        """Whether one more run may be started now. Raises FrameworkError if the ledger does not answer.

        Args:
            own: process ids of the worker's runs, whether they have their leases yet or not.
        """
        why = self._short(own)
        if why and not self.why:
            log.warning("runs held back", note=why)
            self._tell("held back", why=why)
        if self.why and not why:
            log.info("runs started again")
            self._tell("going on")
        self.why = why
        return not why

    def _short(self, own: Collection[int]) -> str:
        """What there is too little of, as a sentence; empty if there is enough."""
        try:
            check_room(self._workspace.site.home, 0, self._workspace.settings.disk_free_min)
        except DiskFull as error:
            return error.what
        under_way = len(own) + sum(lease.pid not in own for lease in self._workspace.ledger.runs_alive())
        return self._short_of_memory(under_way)

    def _short_of_memory(self, under_way: int) -> str:
        """For the first run the machine's memory alone counts: its share of the limit is there for it."""
        needed = COMMAND_AT_REST_BYTES if under_way else 0
        fit = self._workspace.sizes.runs_max
        if under_way >= max(1, fit):
            return f"the memory limit has room for {fit} at a time, and {under_way} are under way"
        whole = self._whole()
        if whole.available_bytes < kept_for_others(whole) + needed:
            return f"the machine has {whole.available_bytes / 1e6:,.0f} MB of memory left"
        if whole.stalled_percent > STALLED_PERCENT_MAX:
            return f"everything on the machine waited for memory {whole.stalled_percent:.0f}% of the last 10 s"
        group = self._group()
        if under_way and group is not None and group.limit_bytes * GROUP_TIGHT_SHARE < group.used_bytes + needed:
            return (
                f"the control group has {(group.limit_bytes - group.used_bytes) / 1e6:,.0f} MB of memory left "
                f"of {group.limit_bytes / 1e6:,.0f} MB"
            )
        return ""
