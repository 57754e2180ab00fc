"""The ledger: whether it answers, whether its database is sound, and how large it is."""

from __future__ import annotations

from collections.abc import Iterator

from rowkeeper.operations.health.check import Check, State
from rowkeeper.operations.health.context import HealthContext

NAME = "ledger"
READ_BYTES_MAX = 64 << 20  # what is read through at each look; a larger one by `rowkeeper doctor`


def look_at_ledger(context: HealthContext) -> Iterator[Check]:
    """Whether it could be opened, answers, and is sound as far as that can be seen at each look."""
    if context.unopened is not None:
        yield Check(NAME, "", State.BAD, context.unopened.what, mend=context.unopened.hint)
        return
    ledger = context.workspace.ledger
    size = ledger.size_bytes()
    told = f"answers; {size / 1e6:,.1f} MB"
    if size <= READ_BYTES_MAX:
        faults = ledger.check()
        if faults:
            told = f"its database is damaged: {'; '.join(faults[:3])}"
            yield Check(NAME, "", State.BAD, told, mend="restore it from a backup")
            return
    yield Check(NAME, "", State.GOOD, told)
