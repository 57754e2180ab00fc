"""The examples of docs/security-configuration.md are valid."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

from rowkeeper.security.scanning.python import leaks_in_python
from rowkeeper.settings import Settings
from tests.docs.examples import ROOT, blocks

PAGE = "docs/security-configuration.md"


def examples(kind: str, name: str = "") -> list[str]:
    return [text for language, file, text in blocks(PAGE) if (language, file) == (kind, name)]


def test_the_file_of_settings_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each of its profiles can be chosen, and sets what it says."""
    monkeypatch.chdir(tmp_path)
    (text,) = examples("toml")
    Path("rowkeeper.toml").write_text(text)
    assert Settings().log_level == "warning"
    assert Settings(profile="dev").memory_max == 700_000_000
    prod = Settings(profile="prod")
    assert str(prod.home) == "/var/lib/rowkeeper"
    assert prod.vault_role_id == "file:/etc/rowkeeper/role-id"


def test_the_snippets_run_and_are_let_through(monkeypatch: pytest.MonkeyPatch):
    """None of them has a secret that the scan would refuse."""
    monkeypatch.setenv("PGPASS", "")
    for text in examples("python"):
        assert list(leaks_in_python(Path("snippet.py"), text.encode())) == []
        exec(text, {})


def test_the_hook_and_the_entry_point_are_named_as_they_are():
    """The hook's id is that of .pre-commit-hooks.yaml; the group is the one that is looked for."""
    text, local = examples("yaml", ".pre-commit-config.yaml")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert yaml.safe_load(text)["repos"][0]["hooks"] == [{"id": hook["id"]}]
    shared = ("id", "name", "entry", "types")
    (own,) = yaml.safe_load(local)["repos"][0]["hooks"]
    assert {key: own[key] for key in shared} == {key: hook[key] for key in shared}
    (text,) = examples("toml", "pyproject.toml")
    assert list(tomllib.loads(text)["project"]["entry-points"]) == ["rowkeeper.secrets"]
