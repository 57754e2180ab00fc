"""References to secrets, followed: `resolve("env:PGPASS")` is a Secret."""

from rowkeeper.configuration.reference import Reference, is_reference, parse
from rowkeeper.security.references.resolving import Resolver, resolve, resolving_with

__all__ = ["Reference", "Resolver", "is_reference", "parse", "resolve", "resolving_with"]
