"""What people type: `user:ann`, `run.rollback`, `pipeline:flights`, `30d`; each wrong word is told with a right one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from rowkeeper.access.actions import ACTIONS
from rowkeeper.access.resource import Resource, ResourceKind, of_pipeline, of_table
from rowkeeper.errors import GrantInvalid
from rowkeeper.ledger.grants import ANY, Gives, To
from rowkeeper.nearest import did_you_mean, one_of

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9][A-Za-z0-9_-]*)*")
PURPOSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LASTING = re.compile(r"(\d{1,5})([mhdw])")
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
GRANTED_ON = {
    "pipeline": frozenset({ResourceKind.PIPELINE, ResourceKind.RUN}),
    "table": frozenset({ResourceKind.TABLE, ResourceKind.COLUMN}),
    "column": frozenset({ResourceKind.COLUMN}),
    "label": frozenset({ResourceKind.COLUMN}),
}
"""What a grant may be about, and the kinds of things that are then meant: it, and its parts."""
DATABASE = "default"


def checked_name(name: str, what: str) -> str:
    """A name for an account or a role. Raises GrantInvalid."""
    if not NAME.fullmatch(name):
        raise GrantInvalid(
            f"{name!r} cannot be the name of {what}",
            hint="letters, digits and . _ @ + -, at most 100, the first a letter or digit",
        )
    return name


def checked_purpose(purpose: str) -> str:
    """A purpose. Raises GrantInvalid."""
    if not PURPOSE.fullmatch(purpose):
        raise GrantInvalid(f"{purpose!r} is no purpose", hint="one word of letters, digits and . _ -, such as billing")
    return purpose


def checked_action(name: str) -> str:
    """The name of an action. Raises GrantInvalid."""
    if name not in ACTIONS:
        raise GrantInvalid(
            f"there is no action {name}", hint=did_you_mean(name, ACTIONS, "docs/access.md has all actions")
        )
    return name


def grantee(text: str) -> tuple[To, str]:
    """`user:ann` or `role:analyst`. Raises GrantInvalid."""
    kind, colon, name = text.partition(":")
    if not colon or not name or kind not in set(To):
        raise GrantInvalid(f"{text!r} is nobody", hint="user:NAME or role:NAME")
    return To(kind), name


def given(text: str) -> tuple[Gives, str]:
    """`run.rollback` or `role:operator`. Raises GrantInvalid."""
    kind, colon, name = text.partition(":")
    if colon:
        if kind != Gives.ROLE or not name:
            raise GrantInvalid(f"{text!r} cannot be granted", hint="an action, such as run.rollback, or role:NAME")
        return Gives.ROLE, name
    return Gives.ACTION, checked_action(text)


def granted_on(text: str, gives_kind: Gives, gives: str) -> tuple[str, str]:
    """`pipeline:flights`, `table:shop.orders`, `column:shop.orders.email`, `label:pii.email` or `*`.

    Raises GrantInvalid, also if what is given is not done to such a thing.
    """
    if text == ANY:
        return ANY, ANY
    kind, colon, name = text.partition(":")
    if not colon or not name or kind not in GRANTED_ON:
        raise GrantInvalid(
            f"{text!r} is nothing that something can be granted on",
            hint=did_you_mean(kind, GRANTED_ON, "pipeline:NAME, table:NAME, column:TABLE.NAME, label:NAME or '*'"),
        )
    if gives_kind is Gives.ACTION and ACTIONS[gives].on not in GRANTED_ON[kind]:
        on = ACTIONS[gives].on
        raise GrantInvalid(
            f"{gives} is not done to a {kind}, but to {_a(on)}",
            hint="grant it on " + (" or ".join([*(k for k, kinds in GRANTED_ON.items() if on in kinds), "'*'"])),
        )
    return kind, _name_of(kind, name)


def resource(text: str) -> Resource:
    """A thing as commands name it: `pipeline:flights`, `run:flights/12`, `column:shop.orders.email`, `installation`.

    A run of which no pipeline is told belongs to none. Raises GrantInvalid.
    """
    word, _, name = text.partition(":")
    if word == ResourceKind.INSTALLATION:
        return Resource(ResourceKind.INSTALLATION, name or "here")
    if word not in set(ResourceKind) or not name:
        raise GrantInvalid(f"{text!r} names nothing", hint=f"KIND:NAME; KIND is {one_of(word, set(ResourceKind))}")
    kind = ResourceKind(word)
    if kind is ResourceKind.RUN:
        pipeline, _, number = name.rpartition("/")
        return Resource(kind, number, within=of_pipeline(pipeline) if pipeline else None)
    name = _name_of(word, name)
    if kind is ResourceKind.COLUMN:
        return Resource(kind, name, within=of_table(name.rpartition(".")[0]))
    return Resource(kind, name)


def until(text: str, now: datetime) -> datetime:
    """When a grant ends: `30d`, `12h`, or a date or time, UTC unless it says otherwise. Raises GrantInvalid."""
    lasting = LASTING.fullmatch(text)
    try:
        at = now + int(lasting[1]) * UNITS[lasting[2]] if lasting else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise GrantInvalid(f"{text!r} is no time", hint="such as 12h, 30d, 2027-01-31 or 2027-01-31T18:00") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at <= now:
        raise GrantInvalid(f"{text} is over", hint="give a time to come, such as 30d")
    return at.astimezone(UTC)


def _name_of(kind: str, name: str) -> str:
    """A table without a database is in the engine's own."""
    if kind == "label" and not LABEL.fullmatch(name):
        raise GrantInvalid(f"{name!r} is no classification", hint="words with dots between them, such as pii.email")
    dots = name.count(".")
    if kind == "table" and not dots:
        return f"{DATABASE}.{name}"
    if kind == "column":
        if not dots:
            raise GrantInvalid(f"{name!r} is no column", hint="column:TABLE.COLUMN, such as column:shop.orders.email")
        return name if dots > 1 else f"{DATABASE}.{name}"
    return name


def _a(kind: ResourceKind) -> str:
    return f"an {kind}" if kind is ResourceKind.INSTALLATION else f"a {kind}"
