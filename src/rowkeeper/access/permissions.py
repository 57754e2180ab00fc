"""CedarPermissions: what stands behind the seam. The owner first; others by policies, roles and grants.

Nobody but the owner costs anything: Cedar is not even loaded until somebody else asks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rowkeeper.access.decision import Decision, TableView
from rowkeeper.access.owner import OwnerOnly
from rowkeeper.access.policy import Policy
from rowkeeper.access.resource import Column, Resource
from rowkeeper.access.rules import KEPT_MAX, REFUSED, Rules
from rowkeeper.access.viewing import view_of
from rowkeeper.access.written import state_of, written_policies
from rowkeeper.caller import Caller, CallerKind
from rowkeeper.ledger.grants import LedgerGrants
from rowkeeper.ledger.leases import Clock

LOOK_SECONDS = 0.5  # how long a change by another process may stay unseen


class CedarPermissions:
    """Implements `decision.Permissions`.

    Answers are kept. A change by this process counts for the next question, one by another process half a second later,
    and a grant counts no longer than it was given for.

    Args:
        home: the state folder, whose owner may do everything.
        grants: of the ledger.
        policies: the file or folder of policies that were written by hand, if there is one.
        clock: by which grants run out.
        monotonic: by which it is time to look for changes.
    """

    def __init__(
        self,
        home: Path,
        grants: LedgerGrants,
        policies: Path | None,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._owner = OwnerOnly(home)
        self._grants = grants
        self._policies = policies
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._rules: Rules | None = None
        self._written: tuple[object, tuple[Policy, ...]] = (None, ())
        self._kept: dict[tuple[str, str, str], Decision] = {}
        self._good_until = float("-inf")
        grants.version.listen(self._changed)

    def decide(self, caller: Caller, action: str, resource: Resource) -> Decision:
        """Whether this caller may do this; where no policy says so, not.

        Raises:
            AccessPolicyInvalid: policies that were written by hand cannot be used: then nobody else may do anything.
            ConfigurationError: the library for permissions is not installed.
            DatabaseError: the ledger cannot be read.
        """
        kept = self._kept
        if self._monotonic() < self._good_until and (found := kept.get((caller.key, action, resource.key))) is not None:
            return found
        return self._decide(caller, action, resource)

    def view(self, caller: Caller, table: str, columns: Sequence[Column]) -> TableView | None:
        """What this caller may see of a table (`database.table`); None if nothing. Raises as `decide`."""
        if caller.kind is CallerKind.OS_USER:
            return self._owner.view(caller, table, columns)
        if caller.kind is CallerKind.ANONYMOUS:
            return None
        return view_of(self.rules(), caller, table, columns)

    def state(self, *, waiting: bool) -> Rules | None:
        """The rules; without waiting only those that need not be looked at anew. Raises as `decide`."""
        if waiting:
            return self.rules()
        return self._rules if self._monotonic() < self._good_until else None

    def rules(self) -> Rules:
        """The rules as they are now. Raises as `decide`."""
        return self._now()[0]

    def _decide(self, caller: Caller, action: str, resource: Resource) -> Decision:
        if caller.kind is CallerKind.OS_USER:
            return self._owner.decide(caller, action, resource)
        if caller.kind is CallerKind.ANONYMOUS:
            return REFUSED
        rules, kept = self._now()
        asked = caller.key, action, resource.key
        found = kept.get(asked)
        if found is None:
            if len(kept) >= KEPT_MAX:
                kept.clear()
            found = kept[asked] = rules.decide(caller, action, resource)
        return found

    def _changed(self) -> None:
        """Something was changed by this process: what is kept counts no more."""
        with self._lock:
            self._good_until = float("-inf")

    def _now(self) -> tuple[Rules, dict[tuple[str, str, str], Decision]]:
        """The rules, and the answers by them that are kept. What was just looked at counts, however long it took."""
        with self._lock:
            rules = self._rules
            if rules is None or self._monotonic() >= self._good_until:
                rules = self._look(rules)
            return rules, self._kept

    def _look(self, old: Rules | None) -> Rules:
        """Looks whether something has changed, and if so makes the rules anew."""
        begun, now = self._monotonic(), self._clock()
        files = state_of(self._policies)
        changed = files != self._written[0]
        if changed:
            self._written = (files, written_policies(self._policies))
        number = self._grants.version.number()
        if changed or old is None or old.state.number != number or (old.until is not None and old.until <= now):
            old = self._rules = Rules(self._grants.state(), self._written[1], now, old)
            self._kept = {}
        left = LOOK_SECONDS if old.until is None else min(LOOK_SECONDS, (old.until - now).total_seconds())
        self._good_until = begun + left
        return old
