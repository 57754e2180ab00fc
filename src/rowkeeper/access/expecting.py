"""What a file expects of permissions: who may do what, and who may not; asked, and the differences told.

[[expect]]
who = "role:viewer"               # or ["role:viewer", "role:steward"], or "user:ann", with the roles she has
action = "run.rollback"
on = "run:flights/12"
purpose = "billing"               # if it matters
labels = ["pii.email"]            # of a column
protected = true                  # of a column
answer = "deny"                   # or "allow"
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rowkeeper.access.resource import Resource, ResourceKind
from rowkeeper.access.words import checked_action, checked_purpose, grantee, resource
from rowkeeper.caller import Caller, CallerKind
from rowkeeper.errors import ConfigurationError, GrantInvalid, UnknownUser
from rowkeeper.ledger.grants import To
from rowkeeper.ledger.users import User
from rowkeeper.nearest import did_you_mean, one_of

NEEDED, MORE = ("who", "action", "on", "answer"), ("purpose", "labels", "protected")
ANSWERS = {"allow": True, "deny": False}
NOBODY = ""  # the name of somebody who has roles and no account


@dataclasses.dataclass(frozen=True, slots=True)
class Expectation:
    """One line of the table.

    Attributes:
        number: its place in the file, from 1.
        who: as it is written.
    """

    number: int
    who: str
    caller: Caller
    action: str
    resource: Resource
    allowed: bool


def expectations_in(path: Path, user: Callable[[str], User], roles: Sequence[str]) -> list[Expectation]:
    """What a file expects.

    Args:
        user: gives an account by its name, or raises UnknownUser.
        roles: all that there are.

    Raises ConfigurationError with the number of the expectation that is wrong.
    """
    entries = _document(path).get("expect")
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError(f"{path} expects nothing", hint="it has [[expect]] tables: docs/access.md")
    found = []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(_expectation(number, entry, user, roles))
        except (GrantInvalid, UnknownUser) as error:
            hint = error.hint or f"an expectation has {', '.join(NEEDED)}"
            raise ConfigurationError(f"{path}, expectation {number}: {error}", hint=hint) from error
    return found


def _document(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", hint="name another file") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error}", hint="docs/access.md shows such a file") from error


def _expectation(number: int, entry: Any, user: Callable[[str], User], roles: Sequence[str]) -> Expectation:
    if not isinstance(entry, dict):
        raise GrantInvalid("it is no table", hint="[[expect]]")
    for name in entry:
        if name not in (*NEEDED, *MORE):
            raise GrantInvalid(f"{name} is nothing that is expected", hint=one_of(name, (*NEEDED, *MORE)))
    missing = [name for name in NEEDED if name not in entry]
    if missing:
        raise GrantInvalid(f"{missing[0]} is missing")
    answer = entry["answer"]
    if answer not in ANSWERS:
        raise GrantInvalid(f"answer = {answer!r}", hint=one_of(answer, ANSWERS))
    purpose = entry.get("purpose")
    caller = _caller(entry["who"], None if purpose is None else checked_purpose(str(purpose)), user, roles)
    who = entry["who"] if isinstance(entry["who"], str) else ", ".join(entry["who"])
    action = checked_action(str(entry["action"]))
    return Expectation(number, who, caller, action, _thing(entry), ANSWERS[answer])


def _caller(who: Any, purpose: str | None, user: Callable[[str], User], roles: Sequence[str]) -> Caller:
    parts = [who] if isinstance(who, str) else who
    if not isinstance(parts, list) or not parts or not all(isinstance(each, str) for each in parts):
        raise GrantInvalid(f"who = {who!r}", hint='"user:NAME", "role:NAME", or a list of roles')
    named = [grantee(each) for each in parts]
    if named[0][0] is To.USER:
        if len(named) > 1:
            raise GrantInvalid("who names a user and more", hint="a user has the roles that the ledger knows")
        account = user(named[0][1])
        return Caller(account.kind, account.name, roles=account.roles, purpose=purpose)
    for kind, name in named:
        if kind is not To.ROLE or name not in roles:
            raise GrantInvalid(f"there is no role {name}", hint=did_you_mean(name, roles, "rowkeeper roles list"))
    return Caller(CallerKind.USER, NOBODY, roles=frozenset(name for _, name in named), purpose=purpose)


def _thing(entry: Mapping[str, Any]) -> Resource:
    found = resource(str(entry["on"]))
    labels, protected = entry.get("labels", []), entry.get("protected", False)
    if not isinstance(labels, list) or not all(isinstance(each, str) for each in labels):
        raise GrantInvalid(f"labels = {labels!r}", hint='a list, such as ["pii.email"]')
    if not isinstance(protected, bool):
        raise GrantInvalid(f"protected = {protected!r}", hint="true or false")
    if (labels or protected) and found.kind is not ResourceKind.COLUMN:
        raise GrantInvalid("labels and protected are of columns alone", hint="column:TABLE.COLUMN")
    return dataclasses.replace(found, labels=frozenset(labels), protected=protected)
