"""What comes with Rowkeeper: five roles, and the rules for everybody, as files of Cedar beside this one."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from rowkeeper.access.cedar import parse
from rowkeeper.access.policy import Policy, named
from rowkeeper.access.policytext import policies_in

EVERYBODY = "everybody"
BUILT_IN_ROLES: Mapping[str, str] = MappingProxyType(
    {
        "viewer": "sees what happened, and reads tables as far as their columns are shown",
        "operator": "keeps pipelines running; sees what was rejected, its classified values masked",
        "steward": "answers for the rows: mends and replays what was rejected, and may reveal",
        "security-officer": "keys, accounts and the audit trail; no data",
        "admin": "all of the installation, but no classified value in the clear",
    }
)
"""By name, what each is for. What it may stands in `policies/NAME.cedar`."""


def built_in_text(name: str) -> str:
    """A file of policies that comes with Rowkeeper."""
    return (files("rowkeeper.access") / "policies" / f"{name}.cedar").read_text("utf-8")


@functools.cache
def built_in_policies() -> tuple[Policy, ...]:
    """All of them, parsed."""
    found = []
    for name in (*BUILT_IN_ROLES, EVERYBODY):
        for each in policies_in(built_in_text(name), f"rowkeeper/access/policies/{name}.cedar"):
            found.append(named(each, parse(each.text)))
    return tuple(found)
