"""What the vault lent, and the thread that renews it.

A secret whose lease cannot be renewed any more is read anew by whoever asks next: what connects asks at each connect.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Callable, Mapping

from rowkeeper.errors import FrameworkError, is_fault
from rowkeeper.logs import failure, logger
from rowkeeper.resilience.clock import Clock
from rowkeeper.resilience.deadline import deadline
from rowkeeper.security.references.vault.access import Access
from rowkeeper.security.references.vault.client import VaultClient
from rowkeeper.security.references.vault.term import Term
from rowkeeper.security.secret import Secret

RENEWING_SECONDS_MAX = 10.0
LEAVING_SECONDS_MAX = 2.0
log = logger("vault")


@dataclasses.dataclass(frozen=True, slots=True)
class Lease:
    """A secret that was lent.

    Attributes:
        id: what the vault calls it.
        values: the secret's parts, by key.
    """

    id: str
    values: Mapping[str, Secret]
    term: Term


class Leases:
    """The leases of one process, by path, and their renewal and that of the token.

    Args:
        lock: held by whoever uses the client, and by the thread as it renews.
    """

    def __init__(self, client: VaultClient, access: Access, clock: Clock, lock: threading.RLock) -> None:
        self._client = client
        self._access = access
        self._clock = clock
        self._turn = threading.Condition(lock)
        self._held: dict[str, Lease] = {}
        self._thread: threading.Thread | None = None
        self._over = False

    def get(self, path: str) -> Lease | None:
        """The lease on a path, if it can still be handed out."""
        lease = self._held.get(path)
        return lease if lease is not None and lease.term.lasts(self._clock.monotonic()) else None

    def keep(self, path: str, lease: Lease) -> None:
        """Renews it from now on."""
        self._held[path] = lease
        self.watch()

    def forget_all(self) -> None:
        """The token they were lent to is gone, and they with it."""
        self._held.clear()

    def watch(self) -> None:
        """Lets the thread look when the next renewal is due. The lock is held."""
        if self._thread is None and self._due() is not None:
            self._thread = threading.Thread(target=self._renew_until_over, name="vault leases", daemon=True)
            self._thread.start()
        self._turn.notify_all()

    def close(self) -> None:
        """Ends the thread, and gives back what was lent, as far as it can; the rest ends by itself."""
        self._over = True
        if not self._turn.acquire(timeout=LEAVING_SECONDS_MAX):  # the thread waits for a vault that does not answer
            return
        self._turn.notify_all()
        self._turn.release()
        if self._thread is not None:
            self._thread.join()
        with self._turn, deadline(LEAVING_SECONDS_MAX), contextlib.suppress(FrameworkError):
            token = self._access.token
            if token is not None and not token.own:  # a token of our own takes along what was lent to it
                for lease in self._held.values():
                    self._client.post("sys/leases/revoke", token.secret.reveal(), lease_id=lease.id)
            self._access.leave()
        self._held.clear()

    def _due(self) -> float | None:
        """When the next renewal is due; None if nothing ever is."""
        terms = [lease.term for lease in self._held.values()]
        if self._access.token is not None:
            terms.append(self._access.token.term)
        due = min((term.renew_at for term in terms), default=float("inf"))
        return None if due == float("inf") else due

    def _renew_until_over(self) -> None:
        with self._turn:
            while not self._over:
                due = self._due()
                left = None if due is None else due - self._clock.monotonic()
                if left is None or left > 0:
                    self._turn.wait(left)
                    continue
                with deadline(RENEWING_SECONDS_MAX):
                    self._renew_what_is_due()

    def _renew_what_is_due(self) -> None:
        now, token = self._clock.monotonic(), self._access.token
        if token is not None and token.term.renew_at <= now:
            if not self._tried("token", self._access.renew):
                self._access.put_off()
            elif self._access.token is None or self._access.token.secret is not token.secret:
                self.forget_all()
        for path, lease in list(self._held.items()):
            if lease.term.renew_at <= now and not self._tried(path, functools.partial(self._renew, path, lease)):
                self._held[path] = dataclasses.replace(lease, term=lease.term.not_renewed(now))

    def _renew(self, path: str, lease: Lease) -> None:
        token = self._access.enter()
        answer = self._client.post("sys/leases/renew", token.secret.reveal(), lease_id=lease.id)
        if not answer.ok:  # it was revoked, or its last end has come
            del self._held[path]
            log.warning("lease not renewed", operation=path, status=str(answer.status))
            return
        term = lease.term.renewed(float(answer.document["lease_duration"]), self._clock.monotonic())
        self._held[path] = dataclasses.replace(lease, term=term)

    @staticmethod
    def _tried(what: str, renew: Callable[[], None]) -> bool:
        try:
            renew()
        except BaseException as error:
            if not is_fault(error):
                raise
            log.warning("renewal failed", operation=what, **failure(error))  # a dead thread would renew nothing at all
            return False
        log.debug("renewed", operation=what)
        return True
