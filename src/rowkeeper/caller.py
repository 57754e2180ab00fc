"""On whose behalf something is done: who asks, from where, and what for.

A command is its operating-system user. The server sets the caller of each request. It rides along in a context
variable, so that a run's threads have it too, if they run in a copy of the context.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rowkeeper import machine
from rowkeeper.keyed import Keyed

SESSION = "s_"  # how ids of sessions begin


class CallerKind(enum.StrEnum):
    """What a caller is."""

    OS_USER = "os"  # who runs this process
    USER = "user"  # a person with an account of Rowkeeper's
    SERVICE = "service"  # a machine with an account of Rowkeeper's
    ANONYMOUS = "anonymous"  # a request that nobody has signed in for


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """What a token is limited to, besides its roles.

    Attributes:
        actions: these alone, as the audit trail has them; None does not limit them.
        pipelines: these alone, with their runs, and nothing that is of no pipeline; None does not limit them.
    """

    actions: frozenset[str] | None = None
    pipelines: frozenset[str] | None = None

    def allows(self, action: str, pipeline: str | None) -> bool:
        """Whether an action is within it.

        Args:
            pipeline: to which what it is done to belongs; None of what belongs to none.
        """
        if self.actions is not None and action not in self.actions:
            return False
        return self.pipelines is None or pipeline in self.pipelines


@dataclasses.dataclass(frozen=True, slots=True)
class Caller(Keyed):
    """Who asks.

    Attributes:
        name: of the account, without its kind.
        roles: those that count now: of a token with a scope, what is left of them.
        address: where the request came from, as text; None for a command.
        session: the id of the session or token (not its secret); None for a command.
        purpose: what for, in one word of the caller's, such as `billing`.
        scope: what a token is limited to besides; None of whoever has none.
        limited: by a token that has some of the account's roles alone: what was granted to the account itself does not
            count.
    """

    kind: CallerKind
    name: str
    _: dataclasses.KW_ONLY
    roles: frozenset[str] = frozenset()
    address: str | None = None
    session: str | None = None
    purpose: str | None = None
    limited: bool = False
    scope: Scope | None = None

    @property
    def is_session(self) -> bool:
        """Whether somebody has signed in, rather than shown a token or a certificate."""
        return self.session is not None and self.session.startswith(SESSION)

    def __str__(self) -> str:
        """As the audit trail knows the caller: `os:root`, `user:ann`."""
        return f"{self.kind}:{self.name}"


_current: ContextVar[Caller | None] = ContextVar("rowkeeper_caller", default=None)


def os_user() -> Caller:
    """Who runs this process."""
    return Caller(CallerKind.OS_USER, machine.user_name())


def current_caller() -> Caller:
    """On whose behalf this is done."""
    return _current.get() or os_user()


@contextmanager
def acting(caller: Caller) -> Iterator[None]:
    """What is done in the block is done on this caller's behalf."""
    token = _current.set(caller)
    try:
        yield
    finally:
        _current.reset(token)
