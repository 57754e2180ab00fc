from __future__ import annotations

from pathlib import Path

import pytest

from rowkeeper.security.statefolder import StateFolder, open_state_folder


@pytest.fixture(autouse=True)
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return open_state_folder(tmp_path / "state")
