"""The driver's connections, whatever address it thinks that it asks: all of them lead to one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import urllib3


class OnePlace(urllib3.PoolManager):
    """Every address leads to one place. Nothing is tried again here: there is one layer that does.

    Args:
        pool: makes the pool of its connections, at first and after each `clear`.
        always: arguments of each request, whatever the driver gives.
    """

    def __init__(self, pool: Callable[[], urllib3.HTTPConnectionPool], **always: Any) -> None:
        super().__init__(retries=False)
        self._made = pool
        self._always = always
        self._pool = pool()

    def connection_from_host(self, *_args: Any, **_kwargs: Any) -> urllib3.HTTPConnectionPool:
        """The one pool."""
        return self._pool

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """The driver sends a read again if it knows that the connection was closed, so it is not told so much."""
        try:
            return super().request(*args, **{**kwargs, **self._always})
        except urllib3.exceptions.ProtocolError as error:
            raise urllib3.exceptions.ProtocolError(str(error)) from None

    def clear(self) -> None:
        """Closes the connections. The driver asks for it now and then, and makes new ones."""
        self._pool.close()
        self._pool = self._made()
