"""Rules: policies, grants and accounts as they are at one moment, and what follows from them.

Nothing here changes, so that an answer may be kept as long as the rules are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from rowkeeper.access.actions import ACTIONS
from rowkeeper.access.builtin import built_in_policies
from rowkeeper.access.cedar import Entity, PolicySet, Question
from rowkeeper.access.decision import Decision
from rowkeeper.access.policy import Mentions, Policy, granted
from rowkeeper.access.resource import Resource, ResourceKind
from rowkeeper.access.schema import PRINCIPALS, RESOURCES
from rowkeeper.caller import Caller, CallerKind
from rowkeeper.ledger.grants import ANY, AccessState, Gives, Grant, To

REFUSED = Decision(False)
OF_A_COLUMN = frozenset({"column.clear", "column.masked"})
READING = "data.query"
KEPT_MAX = 20_000  # answers, before all are forgotten: some 10 MB
SETS_MAX = 200  # sets of policies


@dataclasses.dataclass(frozen=True, slots=True)
class Judge:
    """Policies that were written, ready to be asked with grants or without; and what they have answered.

    Attributes:
        sets: by the numbers of the grants that are asked as well.
        answers: by all that an answer depends on.
    """

    policies: Collection[Policy]
    mentions: Mentions
    sets: dict[object, PolicySet]
    answers: dict[object, Decision]

    @classmethod
    def of(cls, policies: Collection[Policy]) -> Judge:
        """Makes it."""
        return cls(policies, Mentions.of(policies), {}, {})

    def decide(self, key: object, grants: Sequence[_Given], question: Callable[[], Question]) -> Decision:
        """The answer that is kept under the key, or else the one that policies and grants give."""
        found = self.answers.get(key)
        if found is None:
            _make_room(self.answers, KEPT_MAX)
            found = self.answers[key] = self._set(grants).decide(question())
        return found

    def _set(self, grants: Sequence[_Given]) -> PolicySet:
        key = tuple(each.key for each in grants)
        found = self.sets.get(key)
        if found is None:
            _make_room(self.sets, SETS_MAX)
            policies = (*self.policies, *(each.policy for each in grants))
            found = self.sets[key] = PolicySet({each.id: each.cedar for each in policies})
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class _Given:
    """A grant of an action, and what is made of it for Cedar."""

    grant: Grant
    policy: Policy

    @property
    def key(self) -> tuple[int, datetime]:
        """By which it is told from all others, also from one of the same number in a ledger that was put back."""
        return self.grant.id, self.grant.created_at


class Rules:
    """What decides, until something changes.

    Attributes:
        policies: by id, those made of grants among them.
        state: what the ledger had.
        hash: of the policies that were written; what they have answered counts as long as it is the same.
        judge: answers by the policies.
        until: when the next grant runs out; None if none does.

    Args:
        written: policies that were written by hand.
        now: which grants have run out is decided by it.
        before: the rules until now: answers are kept if the policies are the same.
    """

    def __init__(
        self, state: AccessState, written: Sequence[Policy], now: datetime, before: Rules | None = None
    ) -> None:
        live = [each for each in state.grants if each.expires_at is None or each.expires_at > now]
        given = [_Given(each, granted(each, state.accounts)) for each in live if each.gives_kind is Gives.ACTION]
        own = (*built_in_policies(), *written)
        self.state = state
        self.policies = {each.id: each for each in (*own, *(each.policy for each in given))}
        self.until = min((each.expires_at for each in live if each.expires_at is not None), default=None)
        self._role_grants = [each for each in live if each.gives_kind is Gives.ROLE]
        self._given: dict[tuple[str, To, str], list[_Given]] = {}
        for each in given:
            self._given.setdefault((each.grant.gives, each.grant.to_kind, each.grant.to), []).append(each)
        whole = {each.id: each.cedar for each in own}
        self.hash = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
        kept = None if before is None or before.hash != self.hash else before.judge
        self.judge: Judge = kept or Judge.of(own)

    def decide(self, caller: Caller, action: str, resource: Resource) -> Decision:
        """Whether this caller may do this; where no policy says so, not.

        An action that is not known, or is not done to this kind of thing, is refused, and so is everything to a
        disabled account. Who may not read a table sees none of its columns. A column of several classifications is
        asked about once for each, and all must allow it.
        """
        known = ACTIONS.get(action)
        if known is None or known.on is not resource.kind or not self.knows(caller):
            return REFUSED
        if action in OF_A_COLUMN:
            read = REFUSED if resource.within is None else self.decide(caller, READING, resource.within)
            if not read.allowed:
                return read
        answers = [self.ask(caller, self.roles_for(caller, each), action, each) for each in one_by_one(resource)]
        refused = next((each for each in answers if not each.allowed), None)
        if refused is not None:
            return refused
        return answers[0] if len(answers) == 1 else Decision(True, _together(answers))

    def knows(self, caller: Caller) -> bool:
        """Whether it is one whom policies speak of, and whose account is in use."""
        return caller.kind in PRINCIPALS and caller.name not in self.state.disabled

    def ask(self, caller: Caller, roles: frozenset[str], action: str, resource: Resource) -> Decision:
        """What the policies say of a caller with just these roles. The answer to a like question is kept.

        Of the grants Cedar is given those alone that are about this caller and thing: there can be thousands.
        """
        grants = self._grants_for(caller, roles, action, resource)
        key = (
            tuple(each.key for each in grants),
            self._class_of_caller(caller, resource),
            roles,
            caller.purpose,
            caller.limited,
            action,
            self._class_of(resource),
        )
        return self.judge.decide(key, grants, lambda: self._question(caller, roles, action, resource))

    def _grants_for(self, caller: Caller, roles: frozenset[str], action: str, resource: Resource) -> list[_Given]:
        if not self._given:
            return []
        whose = [(To.USER, caller.name), *((To.ROLE, each) for each in sorted(roles))]
        mine = (grant for to_kind, to in whose for grant in self._given.get((action, to_kind, to), ()))
        return [each for each in mine if _counts(each.grant, caller, resource)]

    # ---------------------------------------------------------------------------------- roles

    def roles_for(self, caller: Caller, resource: Resource) -> frozenset[str]:
        """The caller's roles, with those that grants give for this thing and purpose."""
        if not self._role_grants:
            return caller.roles
        roles = set(caller.roles)
        rest = [each for each in self._role_grants if _counts(each, caller, resource)]
        while gained := [each for each in rest if _is_to(each, caller, roles)]:
            roles.update(each.gives for each in gained)
            rest = [each for each in rest if each not in gained]
        return frozenset(roles)

    def role_grants_of(self, caller: Caller, resource: Resource) -> list[Grant]:
        """The grants by which the caller has more roles for this thing."""
        roles = self.roles_for(caller, resource)
        return [each for each in self._role_grants if _counts(each, caller, resource) and _is_to(each, caller, roles)]

    # -------------------------------------------------------------------------------- to Cedar

    def _class_of_caller(self, caller: Caller, resource: Resource) -> tuple[CallerKind, str]:
        """Callers of one class have the same answers: a name counts where a policy may look at it."""
        mentioned = (PRINCIPALS[caller.kind], caller.name) in self.judge.mentions.entities
        return caller.kind, caller.name if mentioned or resource.kind is ResourceKind.USER else ""

    def _class_of(self, resource: Resource) -> object:
        """Things of one class have the same answers."""
        entities, kind = self.judge.mentions.entities, resource.kind
        by_name = (
            self.judge.mentions.names
            or kind in {ResourceKind.USER, ResourceKind.ROLE}
            or any((each, resource.id) in entities for each in RESOURCES[kind])
        )
        within = None if resource.within is None else self._class_of(resource.within)
        type_ = self._type_of_account(resource.id) if kind is ResourceKind.USER else kind.value
        return type_, resource.id if by_name else "", resource.labels, resource.protected, within

    def _question(self, caller: Caller, roles: frozenset[str], action: str, resource: Resource) -> Question:
        more: list[Entity] = []
        principal = Entity(PRINCIPALS[caller.kind], caller.name, within=[("Role", each) for each in sorted(roles)])
        return Question(principal, action, self._entity(resource, more), more, caller.purpose, caller.limited)

    def _entity(self, resource: Resource, more: list[Entity]) -> Entity:
        """A thing for Cedar; what it is in is added to `more`."""
        kind = resource.kind
        if kind is ResourceKind.USER:
            return Entity(self._type_of_account(resource.id), resource.id)
        (type_,) = RESOURCES[kind]
        if kind in {ResourceKind.INSTALLATION, ResourceKind.ROLE}:
            return Entity(type_, resource.id)
        within: list[tuple[str, str]] = []
        if resource.within is not None:
            more.append(whole := self._entity(resource.within, more))
            within.append((whole.type, whole.id))
        if kind is not ResourceKind.COLUMN:
            return Entity(type_, resource.id, {"name": resource.id}, within)
        for label in resource.labels:
            within.append(("Label", label))
            more += [Entity("Label", each, within=[("Label", up)] if up else []) for each, up in _groups(label)]
        shown = {
            "name": resource.id,
            "classified": bool(resource.labels),
            "protected": resource.protected,
        }
        return Entity(type_, resource.id, shown, within)

    def _type_of_account(self, name: str) -> str:
        return PRINCIPALS[self.state.accounts.get(name, CallerKind.USER)]


def _make_room(kept: dict[Any, Any], most: int) -> None:
    if len(kept) >= most:
        kept.clear()


def one_by_one(resource: Resource) -> list[Resource]:
    """A column of several classifications as so many of one each: what is granted of one is not granted of another."""
    if len(resource.labels) <= 1:
        return [resource]
    return [dataclasses.replace(resource, labels=frozenset({each})) for each in sorted(resource.labels)]


def groups_of(label: str) -> tuple[str, ...]:
    """A classification and the groups it belongs to: `pii.email`, `pii`."""
    parts = label.split(".")
    return tuple(".".join(parts[:size]) for size in range(len(parts), 0, -1))


def _groups(label: str) -> list[tuple[str, str | None]]:
    names = groups_of(label)
    return list(zip(names, (*names[1:], None), strict=True))


def _counts(grant: Grant, caller: Caller, resource: Resource) -> bool:
    """Whether a grant counts for this purpose and this thing, or what it is part of."""
    if grant.purpose is not None and grant.purpose != caller.purpose:
        return False
    return grant.on_kind == ANY or (grant.on_kind, grant.on) in _names(resource)


def _names(resource: Resource) -> Iterable[tuple[str, str]]:
    """By what a grant may name it: itself, its classification, what it is in."""
    at: Resource | None = resource
    while at is not None:
        yield at.kind.value, at.id
        yield from (("label", group) for label in at.labels for group in groups_of(label))
        at = at.within


def _is_to(grant: Grant, caller: Caller, roles: Iterable[str]) -> bool:
    if grant.to_kind is To.ROLE:
        return grant.to in roles
    return grant.to == caller.name and not caller.limited


def _together(answers: Iterable[Decision]) -> tuple[str, ...]:
    return tuple(sorted({policy for each in answers for policy in each.policies}))
