"""The routes: a file for each topic. What makes one, and what keeps it, is in `governed.py`."""

from rowkeeper.web.api import health, history
from rowkeeper.web.governed import Routes

__all__ = ["ROUTES"]

ROUTES: tuple[Routes, ...] = (health.routes, history.routes)
