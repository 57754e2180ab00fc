from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.access.authentication.installation import Clock, Installation, opened


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    """An installation without accounts."""
    with opened(tmp_path / "state", Clock()) as made:
        yield made
