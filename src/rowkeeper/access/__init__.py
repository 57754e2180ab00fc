"""Who may do what: the one place where it is asked, and what answers."""

from rowkeeper.access.access import Access
from rowkeeper.access.decision import Decision, Permissions, Sight, TableView
from rowkeeper.access.owner import OwnerOnly
from rowkeeper.access.permissions import CedarPermissions
from rowkeeper.access.resource import (
    Column,
    Resource,
    ResourceKind,
    of_column,
    of_installation,
    of_key,
    of_keyset,
    of_pipeline,
    of_role,
    of_run,
    of_table,
    of_user,
)

__all__ = [
    "Access",
    "CedarPermissions",
    "Column",
    "Decision",
    "OwnerOnly",
    "Permissions",
    "Resource",
    "ResourceKind",
    "Sight",
    "TableView",
    "of_column",
    "of_installation",
    "of_key",
    "of_keyset",
    "of_pipeline",
    "of_role",
    "of_run",
    "of_table",
    "of_user",
]
