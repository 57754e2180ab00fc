"""What tests of permissions share: a ledger, permissions over it, a clock that stands still, and callers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from rowkeeper.access import CedarPermissions, Resource, ResourceKind, of_table
from rowkeeper.access.actions import ACTIONS
from rowkeeper.caller import Caller, CallerKind
from rowkeeper.ledger import Ledger
from rowkeeper.ledger.grants import Gives, NewGrant, To

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


class Clocks:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.now = NOON
        self.seconds = 1000.0

    def utc(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds


def permissions_of(ledger: Ledger, home: Path, clocks: Clocks, policies: Path | None = None) -> CedarPermissions:
    return CedarPermissions(home, ledger.grants, policies, clocks.utc, clocks.monotonic)


def user(*roles: str, name: str = "ann", purpose: str | None = None, limited: bool = False) -> Caller:
    return Caller(CallerKind.USER, name, roles=frozenset(roles), purpose=purpose, limited=limited)


def something(action: str) -> Resource:
    """A thing that this action is done to."""
    kind = ACTIONS[action].on
    return Resource(kind, "shop.orders.id", within=of_table("shop.orders") if kind is ResourceKind.COLUMN else None)


def to_user(action: str, on: tuple[str, str] = ("*", "*"), name: str = "ann", **more: object) -> NewGrant:
    return NewGrant(To.USER, name, Gives.ACTION, action, *on, **more)


def to_role(role: str, action: str, on: tuple[str, str] = ("*", "*"), **more: object) -> NewGrant:
    return NewGrant(To.ROLE, role, Gives.ACTION, action, *on, **more)


def role_to_user(role: str, on: tuple[str, str] = ("*", "*"), name: str = "ann", **more: object) -> NewGrant:
    return NewGrant(To.USER, name, Gives.ROLE, role, *on, **more)


def role_to_role(role: str, given: str, on: tuple[str, str] = ("*", "*")) -> NewGrant:
    return NewGrant(To.ROLE, role, Gives.ROLE, given, *on)


def write_policies(path: Path, text: str) -> Path:
    """Policies as nobody else can write them."""
    path.parent.chmod(0o700)
    path.write_text(text)
    path.chmod(0o600)
    return path
