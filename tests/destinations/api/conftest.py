from __future__ import annotations

from collections.abc import Iterator

import pytest
import trustme

from tests.authority import authority, ca
from tests.destinations.api.store import Store
from tests.sources.api.shop import open_shop

__all__ = ["authority", "ca"]


@pytest.fixture
def store(authority: trustme.CA) -> Iterator[Store]:
    with open_shop(Store(), authority) as opened:
        yield opened
