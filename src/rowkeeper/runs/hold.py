"""A destination held: its lease, renewed while the work lasts, and a session with it."""

from __future__ import annotations

import contextvars
import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from rowkeeper.errors import FrameworkError
from rowkeeper.ledger import Lease, Ledger
from rowkeeper.logs import failure, logger
from rowkeeper.protocols import Destination, DestinationSession
from rowkeeper.runs.away import connected
from rowkeeper.runs.report import Observer, Progress, unobserved
from rowkeeper.runs.workspace import Workspace

log = logger("lease")
steps = logger("run")


@dataclasses.dataclass(frozen=True, slots=True)
class Hold:
    """What every step of a run works with.

    Attributes:
        lease: on the destination; its fencing token is checked by each write to the ledger.
        started: reading of the monotonic clock, in seconds, when the work began.
    """

    workspace: Workspace
    target: str
    lease: Lease
    session: DestinationSession
    observe: Observer
    started: float

    @property
    def ledger(self) -> Ledger:
        """The workspace's."""
        return self.workspace.ledger

    @property
    def seconds(self) -> float:
        """Since the work began."""
        return time.monotonic() - self.started

    def tell(self, pipeline: str, step: str) -> None:
        """Lets whoever looks on know of the next step."""
        steps.info("step begun", pipeline=pipeline, step=step, seconds=self.seconds)
        self.observe(Progress(pipeline, step))


@contextmanager
def hold(
    workspace: Workspace,
    destination: Destination,
    schema: pa.Schema | None = None,
    observe: Observer = unobserved,
    *,
    may_be_away: bool = False,
) -> Iterator[Hold]:
    """Takes the lease on a destination, connects to it, and gives both back when the block is left.

    Args:
        may_be_away: where it cannot be reached, the session is an `Away` that says why to whoever asks it anything.

    Raises LeaseError if another run holds it.
    """
    started = time.monotonic()
    with _leased(workspace.ledger, destination.target, workspace.settings.lease_seconds) as lease:
        session = connected(destination, workspace.site, schema, may_be_away=may_be_away)
        try:
            yield Hold(workspace, destination.target, lease, session, observe, started)
        finally:
            session.close()


@contextmanager
def _leased(ledger: Ledger, target: str, ttl_seconds: float) -> Iterator[Lease]:
    """Renews the lease in a thread.

    The thread needs to report nothing: a lease that could not be renewed is found lost by the next write to the
    ledger, which checks the fencing token in its own transaction.
    """
    lease = ledger.acquire_lease(target, ttl_seconds)
    log.debug("lease taken", target=target, token=lease.token)
    done = threading.Event()

    def renew() -> None:
        while not done.wait(ttl_seconds / 3):
            try:
                ledger.renew_lease(lease, ttl_seconds)
            except FrameworkError as error:
                log.warning("lease not renewed", target=target, token=lease.token, **failure(error))
                return

    context = contextvars.copy_context()
    renewer = threading.Thread(target=context.run, args=(renew,), name="rowkeeper-lease", daemon=True)
    renewer.start()
    try:
        yield lease
    finally:
        done.set()
        renewer.join()
        ledger.release_lease(lease)
