"""The outbox is emptied: each notice that is due is brought to its route, and each attempt written down.

What is taken and not written down, because the process died between the two, is sent again: at least once, with the
same id. One that is told to stop writes down what it has sent.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from rowkeeper.errors import CircuitOpenError, FrameworkError, LeaseLost, NoticeNotDelivered, RetryError
from rowkeeper.ledger import Lease
from rowkeeper.ledger.alerts import Notice, Waiting
from rowkeeper.logs import failure, logger
from rowkeeper.logs.secrets import scrubbed
from rowkeeper.operations.alerts.declaring import Declared
from rowkeeper.operations.alerts.receivers import Outlet
from rowkeeper.operations.alerts.receivers.posting import Answered
from rowkeeper.operations.alerts.route import Route
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.resilience.outcomes import Effect
from rowkeeper.resilience.policy import Resilience, Retry
from rowkeeper.runs.interrupt import finished_first
from rowkeeper.runs.reaching import gateway_of
from rowkeeper.runs.workspace import Workspace
from rowkeeper.security.egress.guard import standing
from rowkeeper.security.egress.policy import Egress
from rowkeeper.security.tls import default_tls

PAUSE = timedelta(seconds=5)
PAUSE_MAX = timedelta(minutes=15)
GIVEN_UP_AFTER = timedelta(days=3)
SEND_SECONDS_MAX = 60.0  # of one look: what is left waits for the next
NO_ROUTE = "its route is no longer there"
CALLS = Resilience(
    retry=Retry(attempts=2, wait_seconds_initial=0.5, wait_seconds_max=5.0, attempt_seconds_max=20.0),
    deadline_seconds=30.0,
)

log = logger("alerts")


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """How it went with one notice.

    Attributes:
        error: why it was not taken; None if it was.
    """

    notice: Notice
    seconds: float
    error: FrameworkError | None

    def as_dict(self) -> dict[str, object]:
        """The JSON document."""
        return {
            "notice": self.notice.id,
            "route": self.notice.route,
            "kind": self.notice.kind.value,
            "seconds": round(self.seconds, 3),
            "error": None if self.error is None else self.error.document(),
        }


class Sender:
    """Brings notices to the routes of an alerts file."""

    def __init__(self, space: Workspace, declared: Declared) -> None:
        self._space = space
        self._routes = {route.name: route for route in declared.routes}
        guard = standing()
        if guard is not None:
            guard.declare(declared.endpoints)  # connections are the gateway's; what a driver asks by itself is checked

    def empty(self, lease: Lease, clock: Callable[[], datetime], *, hold: Callable[[], Lease]) -> Iterator[Sent]:
        """Sends what is due, each route's in its order. Raises LeaseLost, DatabaseError.

        Args:
            hold: holds on to the lease, and is asked before each notice.
        """
        until = time.monotonic() + SEND_SECONDS_MAX
        while time.monotonic() < until:
            due = self._space.ledger.alerts.due(clock())
            if not due:
                return
            for waiting in due:
                lease = hold()
                with finished_first():  # who is told to stop between the two would leave it to be sent again
                    sent = self._send(lease, waiting, clock)
                yield sent
                if time.monotonic() >= until:
                    return

    def _send(self, lease: Lease, waiting: Waiting, clock: Callable[[], datetime]) -> Sent:
        notice, outbox = waiting.notice, self._space.ledger.alerts
        route = self._routes.get(notice.route)
        if route is None:
            error = NoticeNotDelivered(f"route {notice.route}: {NO_ROUTE}", hint="put it back, or leave it")
            outbox.failed(lease, waiting, NO_ROUTE, 0.0, None)
            return Sent(notice, 0.0, error)
        sent = self.bring(notice, route)
        failpoint("alerts.after_send")
        if sent.error is None:
            outbox.delivered(lease, waiting, sent.seconds)
            log.info("notice delivered", route=route.name, notice=notice.id, kind=notice.kind.value)
            return sent
        now = clock()
        pause = min(PAUSE_MAX, PAUSE * 2 ** min(waiting.attempts, 16))
        again = None if now - notice.made_at >= GIVEN_UP_AFTER else now + pause
        outbox.failed(lease, waiting, told(sent.error), sent.seconds, again)
        log.warning("notice not delivered", route=route.name, notice=notice.id, **failure(sent.error))
        return sent

    def bring(self, notice: Notice, route: Route) -> Sent:
        """Brings one notice to its route, now."""
        began = time.monotonic()
        failpoint("alerts.before_send")
        try:
            self._call(notice, route)
        except LeaseLost:
            raise
        except FrameworkError as error:
            return Sent(notice, time.monotonic() - began, _explained(error, route))
        return Sent(notice, time.monotonic() - began, None)

    def _call(self, notice: Notice, route: Route) -> None:
        address, settings = route.address, self._space.settings
        base = gateway_of(settings)
        way_out = dataclasses.replace(base, egress=Egress(address.endpoints, settings.egress))
        outlet = Outlet(way_out, default_tls(settings), self._space.ledger.id, route.repeat)
        line = self._space.calls.to(address.endpoints[0].host, f"notice to {route.name}", CALLS)
        try:
            line.call(lambda: address.deliver(notice, outlet), effect=Effect.READ)  # by its id it is one, sent twice
        except FrameworkError:
            raise
        except Answered as error:
            raise error.told from error
        except Exception as error:
            if not _is_of_the_way(error):
                raise
            raise _unanswered(error, route) from error


def _is_of_the_way(error: Exception) -> bool:
    """Whether it is what clients raise when a connection fails: the system's errors, httpx's, smtplib's."""
    outermost = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or outermost in ("httpx", "httpcore", "smtplib")


def _unanswered(error: Exception, route: Route) -> NoticeNotDelivered:
    host = route.address.endpoints[0].host
    told = f"{host} does not answer ({type(error).__name__})"
    return NoticeNotDelivered(
        told, hint=f"see to the host, or to the way to it; then rowkeeper alerts test {route.name}"
    )


def _explained(error: FrameworkError, route: Route) -> FrameworkError:
    """What retries wrap is what somebody wants to know."""
    host = route.address.endpoints[0].host
    cause = error.__cause__
    if isinstance(cause, Answered):
        return cause.told
    if isinstance(cause, NoticeNotDelivered):
        return cause
    if isinstance(error, RetryError) and isinstance(cause, Exception) and _is_of_the_way(cause):
        return _unanswered(cause, route)
    if isinstance(error, CircuitOpenError):
        return NoticeNotDelivered(
            f"{host} failed so often that it is left alone for a moment", hint="it is tried again"
        )
    return error


def told(error: FrameworkError) -> str:
    """Why, for the record: without secrets, and without words of others."""
    return scrubbed(error.code if error.quotes else f"{error.what} ({error.code})")[:500]
