"""Receivers of notices: a file for each kind."""

from rowkeeper.operations.alerts.receivers.addressing import address_of
from rowkeeper.operations.alerts.receivers.receiver import Address, Outlet

__all__ = ["Address", "Outlet", "address_of"]
