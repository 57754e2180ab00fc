"""The store of an address, at work."""

from __future__ import annotations

from pathlib import Path

from rowkeeper.endpoints import Endpoint, place_of_url
from rowkeeper.errors import DeclarationError
from rowkeeper.protocols import Site
from rowkeeper.resilience.policy import Resilience
from rowkeeper.stores.address import Address
from rowkeeper.stores.declaring import Download, StoreAccess
from rowkeeper.stores.folder import Folder
from rowkeeper.stores.objects import ObjectStore
from rowkeeper.stores.store import FileStore


def open_store(
    address: Address,
    access: StoreAccess | None,
    site: Site,
    *,
    base: Path = Path(),
    resilience: Resilience | None = None,
) -> FileStore:
    """A store that can be listed and written: a bucket, or a folder. Use it in `with`, or close it.

    Names in a bucket are whole keys: what the address says of a folder in it is for the caller to put before them. A
    folder of this machine is the store itself.

    Args:
        access: as `check_access` gave it.
        base: where a relative path of this machine begins.

    Raises DeclarationError for a URL of a file on a web server.
    """
    if not address.is_remote:
        return Folder(base / address.path)
    if not address.is_cloud or access is None or isinstance(access, Download):
        raise DeclarationError(f"{address.scheme}:// is no place that can be listed or written")
    return ObjectStore(access, address.bucket, site, resilience)


def endpoints_of(address: Address, access: StoreAccess | None) -> tuple[Endpoint, ...]:
    """The places that are connected to for an address; none for files of this machine."""
    if access is None:
        return ()
    if isinstance(access, Download):
        _, host, port = place_of_url(address.path)
        others = access.auth.endpoints() if access.auth is not None else ()
        return (Endpoint(host, port, why="files"), *others)
    return access.endpoints(address.bucket)
