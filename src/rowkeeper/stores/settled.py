"""Places with files that the settings name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rowkeeper.errors import BackupsNotSetUp, SettingsError
from rowkeeper.settings import Settings
from rowkeeper.stores.address import Address, address_of
from rowkeeper.stores.declaring import FOR, GCS, S3, Azure, Download, StoreAccess, check_access


def place_of_backups(
    settings: Settings, place: str | None = None, *, pruning: bool = False
) -> tuple[Address, StoreAccess | None]:
    """Where backups are, and who we are there.

    Args:
        place: where; None is where the settings say.
        pruning: as whoever removes some of them, where the settings tell that one from the one that makes them.

    Raises BackupsNotSetUp; SettingsError or DeclarationError for a place that there cannot be.
    """
    place = place or settings.backup_to
    if place is None:
        raise BackupsNotSetUp(
            "it is not set where backups are",
            hint="ROWKEEPER_BACKUP_TO=/mnt/backups, or s3://bucket/folder; docs/backups.md",
        )
    address = address_of(place)
    if address.is_remote and not address.is_cloud:
        raise SettingsError(f"{address.scheme}:// is no place for backups", hint="a path, s3://, gs:// or az://")
    declared = (pruning and settings.backup_prune_access) or settings.backup_access
    return address, check_access(address, _access(address, declared))


def _access(address: Address, declared: Mapping[str, Any]) -> StoreAccess | None:
    if not declared or not address.is_remote:
        return None
    kind: type[S3 | GCS | Azure | Download] = FOR[address.scheme]
    try:
        return kind(**declared)
    except TypeError as error:
        known = ", ".join(field.name for field in dataclasses.fields(kind) if field.name != "tls")
        raise SettingsError(
            f"backup_access has something that rk.{kind.__name__} does not take", hint=f"there are: {known}"
        ) from error
