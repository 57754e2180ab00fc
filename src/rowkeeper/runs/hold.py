"""A destination held: its lease, renewed while the work lasts, and a session with it."""

from __future__ import annotations

import contextvars
import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from rowkeeper import metering
from rowkeeper.errors import DeadlineExceeded, FrameworkError, LeaseLost
from rowkeeper.ledger import Lease, Ledger
from rowkeeper.logs import failure, logger
from rowkeeper.protocols import Destination, DestinationSession
from rowkeeper.resilience.deadline import cleaning_up, remaining
from rowkeeper.runs.away import connected
from rowkeeper.runs.report import Observer, Progress, unobserved
from rowkeeper.runs.workspace import Workspace

RENEWALS = 3  # in the time of a lease
RENEWALS_AFTER_FAILURE = 15
RENEWER_SECONDS_MAX = 5.0  # it may be in the midst of asking the ledger

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
        metering.step(step)
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
    with leased(workspace.ledger, destination.target, workspace.settings.lease_seconds) as lease:
        session = connected(destination, workspace.site, schema, may_be_away=may_be_away)
        try:
            yield Hold(workspace, destination.target, lease, session, observe, started)
        finally:
            session.close()


@contextmanager
def leased(ledger: Ledger, target: str, ttl_seconds: float) -> Iterator[Lease]:
    """Renews the lease in a thread, for as long as it lasts: a renewal that failed is tried again, and sooner.

    The thread needs to report nothing: a lease that somebody else took over is found lost by the next write to the
    ledger, which checks the fencing token in its own transaction.
    """
    lease = ledger.acquire_lease(target, ttl_seconds)
    log.debug("lease taken", target=target, token=lease.token)
    done = threading.Event()

    def renew() -> None:
        pause_seconds = ttl_seconds / RENEWALS
        while not done.wait(pause_seconds):
            pause_seconds = ttl_seconds / RENEWALS
            try:
                ledger.renew_lease(lease, ttl_seconds)
            except LeaseLost as error:
                log.warning("lease lost", target=target, token=lease.token, **failure(error))
                return
            except DeadlineExceeded as error:  # of no use any more
                log.warning("lease not renewed", target=target, token=lease.token, **failure(error))
                return
            except (FrameworkError, OSError) as error:  # the ledger is busy, or its disk is full: that may pass
                log.warning("lease not renewed", target=target, token=lease.token, **failure(error))
                pause_seconds = ttl_seconds / RENEWALS_AFTER_FAILURE

    context = contextvars.copy_context()
    renewer = threading.Thread(target=context.run, args=(renew,), name="rowkeeper-lease", daemon=True)
    renewer.start()
    try:
        yield lease
    finally:
        done.set()
        with cleaning_up():
            left = remaining()
            renewer.join(RENEWER_SECONDS_MAX if left is None else min(RENEWER_SECONDS_MAX, max(left, 0)))
            _give_back(ledger, lease)


def _give_back(ledger: Ledger, lease: Lease) -> None:
    """What could not be given back ends by itself, at once where this process ends: no reason to fail what is done."""
    try:
        ledger.release_lease(lease)
    except FrameworkError as error:
        log.warning("lease not given back", target=lease.name, token=lease.token, **failure(error))
