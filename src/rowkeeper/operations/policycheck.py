"""What `rowkeeper doctor` says of policies: those that cannot be used, and names in them that nothing answers to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from rowkeeper.access.builtin import BUILT_IN_ROLES
from rowkeeper.access.policy import Mentions, Policy, granted
from rowkeeper.access.written import checked
from rowkeeper.errors import AccessPolicyInvalid
from rowkeeper.ledger.grants import AccessState, Gives
from rowkeeper.operations.finding import Finding
from rowkeeper.runs.columnfacts import table_names
from rowkeeper.runs.workspace import Workspace


def examine_policies(workspace: Workspace) -> Iterator[Finding]:
    """The policies by hand, and the grants of actions in the ledger."""
    where = workspace.settings.access_policies
    try:
        policies, faults = checked(where)
    except AccessPolicyInvalid as error:
        yield Finding("policies", False, error.what, error.hint)
        return
    for fault in faults:
        yield Finding(f"policy at {fault.place}", False, fault.told, fault.mend or "rowkeeper access check")
    state = workspace.ledger.grants.state()
    grants = [granted(each, state.accounts) for each in state.grants if each.gives_kind is Gives.ACTION]
    known = _known(workspace, state)
    unknown = [(each, name) for each in (*policies, *grants) for name in _unknown(each, known)]
    for policy, name in unknown:
        place = policy.id if policy.place == "ledger" else f"policy at {policy.place}"
        yield Finding(place, True, f"it speaks of {name}, which is not known here", "see whether the name is right")
    if not faults and not unknown:
        told = "none are written by hand" if where is None else f"{len(policies)} in {where}"
        yield Finding("policies", True, f"{told}; {len(grants)} grants of actions")


def _known(workspace: Workspace, state: AccessState) -> Mapping[str, Collection[str]]:
    """By Cedar's type, the names of what there is."""
    ledger = workspace.ledger
    return {
        "Pipeline": {*ledger.pipelines(), *(each.pipeline for each in ledger.schedules.all())},
        "Table": table_names(ledger),
        "User": state.accounts,
        "Service": state.accounts,
        "Role": {*BUILT_IN_ROLES, *(each.name for each in state.roles)},
    }


def _unknown(policy: Policy, known: Mapping[str, Collection[str]]) -> list[str]:
    """What a policy names that is not there: a policy may be older or newer than it, or have a slip in it."""
    named = sorted(Mentions.of([policy]).entities)
    return [f"{kind.lower()} {name}" for kind, name in named if kind in known and name not in known[kind]]
