"""`rowkeeper secrets scan`, and what `doctor` says: file, line and kind, never the secret."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

from rowkeeper.security.scanning import rules
from rowkeeper.security.scanning.folder import scan
from rowkeeper.security.scanning.text import secret_in
from tests.arena import Arena

CANARY = "canary-of-the-mine"
RANDOM = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
STRIPE = "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc"
ROOT = Path(__file__).parents[3]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_files_lines_and_kinds_are_printed_and_no_secret(own_arena: Arena):
    """Exit status 1; in JSON as well."""
    write(own_arena.folder, a__py=f'import rowkeeper\nx = 1\npassword = "{CANARY}"\n')
    write(own_arena.folder, b__yaml=f"a: 1\nurl: postgresql://ada:{CANARY}@db/orders\n", c__py=f'x = "{RANDOM}"\n')
    outcome = own_arena.run("secrets", "scan", "a.py", "b.yaml", "c.py")
    assert outcome.status == 1, outcome
    assert outcome.stdout.splitlines() == [
        "a.py:3: a literal secret for password",
        "b.yaml:2: a password in a URL",
        "c.py:1: what looks like a secret: Hex High Entropy String",
    ]
    document = own_arena.run("secrets", "scan", "--json", "a.py", "c.py")
    assert [(each["line"], each["certain"]) for each in document.json["findings"]] == [(3, True), (1, False)]
    assert not re.search(f"{CANARY}|{RANDOM}", outcome.stdout + outcome.stderr + document.stdout)


def test_without_paths_it_is_the_files_of_this_folder(own_arena: Arena):
    """Pipeline files and settings: a Python file that is not about Rowkeeper is none of them."""
    write(own_arena.folder, a__py=f'import rowkeeper\ntoken = "{CANARY}"\n', b__py=f'token = "{CANARY}"\n')
    write(own_arena.folder, rowkeeper__toml='log_level = "info"\n# once postgresql://ada:hunter2@db/orders\n')
    assert own_arena.run("secrets", "scan").stdout.splitlines() == [
        "a.py:2: a literal secret for token",
        "rowkeeper.toml:2: a password in a URL",
    ]


def test_nothing_found_is_status_0(own_arena: Arena):
    """References are no secrets, by no rule."""
    write(own_arena.folder, a__py='import rowkeeper\npassword = "env:PGPASS"\n')
    write(own_arena.folder, rowkeeper__toml='vault_token = "file:/run/secrets/vault"\nledger_password = "env:PGPASS"\n')
    outcome = own_arena.run("secrets", "scan", ".", "--json")
    assert (outcome.status, outcome.json) == (0, {"findings": [], "note": None})


def test_a_file_that_is_not_there_is_named(own_arena: Arena):
    """A scan of nothing is not a clean one."""
    write(own_arena.folder, orders__py="")
    outcome = own_arena.run("secrets", "scan", "ordrs.py")
    assert outcome.status == 2
    assert "did you mean orders.py" in outcome.stderr


def test_folders_are_scanned_whole_but_for_what_is_not_ours(tmp_path: Path):
    """Below them too; hidden folders, virtual environments, installed packages and binary files are left out."""
    for folder in ("pipelines/deep", ".git", "venv", "node_modules"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text(f'token = "{CANARY}"\n')
    (tmp_path / "venv/pyvenv.cfg").write_text("")
    (tmp_path / "binary").write_bytes(b"\0" + f'token = "{CANARY}"'.encode())
    assert [str(each.path.relative_to(tmp_path)) for each in scan([tmp_path])] == ["pipelines/deep/a.py"]


def test_the_comment_lets_a_line_through_by_all_rules(tmp_path: Path):
    """Ours and those of detect-secrets."""
    write(
        tmp_path, a__py=f'x = "{RANDOM}"  # pragma: allowlist secret\ntoken = "{CANARY}"  # pragma: allowlist secret\n'
    )
    write(tmp_path, b__yaml=f"# pragma: allowlist nextline secret\nurl: postgresql://ada:{CANARY}@db\n")
    assert scan([tmp_path]) == []


def test_doctor_scans_this_folder(own_arena: Arena):
    """It names file and line, and the mend; without secrets it is well."""
    write(own_arena.folder, a__py=f'import rowkeeper\ntoken = "{CANARY}"\n')
    finding = next(each for each in own_arena.run("doctor", "--json").json["checks"] if each["name"] == "secrets")
    assert finding["level"] == "wrong"
    assert "a.py:2" in finding["found"]
    write(own_arena.folder, a__py="import rowkeeper\n")
    finding = next(each for each in own_arena.run("doctor", "--json").json["checks"] if each["name"] == "secrets")
    assert finding["level"] == "ok", finding


def test_without_detect_secrets_it_says_what_it_does_without(own_arena: Arena):
    """What is certain is found all the same, and the note names the extra."""
    write(own_arena.folder, a__py=f'import rowkeeper\ntoken = "{CANARY}"\n')
    code = (
        "import sys; sys.modules['detect_secrets'] = None; sys.argv = ['rowkeeper', 'secrets', 'scan']\n"
        "from rowkeeper.cli import main; main()"
    )
    home = own_arena.folder
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=home)
    assert (done.returncode, done.stdout) == (1, "a.py:2: a literal secret for token\n"), done
    assert "pip install 'rowkeeper[scan]'" in done.stderr


def test_the_rules_ask_nobody_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Some plugins of detect-secrets can verify a secret with its vendor; here none does."""
    write(tmp_path, a__py=f'x = "{STRIPE}"\n')

    def dial(*_: object) -> None:
        raise AssertionError("a scan must not connect")

    monkeypatch.setattr("socket.socket.connect", dial)
    monkeypatch.setattr("socket.getaddrinfo", dial)
    assert {each.line for each in rules.leaks_by_rules([tmp_path / "a.py"])} == {1}


def test_our_formats_are_those_of_detect_secrets():
    """What is refused at loading as a vendor's format is known to detect-secrets too, where it has that vendor."""
    plugins = [plugin() for plugin in get_mapping_from_secret_type_to_class().values()]
    for text in (STRIPE, "AKIA" + "QWERTYUIOPASDFGH", "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"):
        assert secret_in(text)
        assert any(plugin.analyze_line("a.py", f'x = "{text}"', 1) for plugin in plugins), text


def test_the_pre_commit_hook_is_one(own_arena: Arena):
    """Its entry, with the names of files as pre-commit gives them, refuses a secret and lets the others pass."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    write(own_arena.folder, a__txt=f"postgresql://ada:{CANARY}@db\n", b__txt="nothing\n")
    program, *words = hook["entry"].split()
    assert program == "rowkeeper"
    assert own_arena.run(*words, "b.txt").status == 0
    assert own_arena.run(*words, "a.txt", "b.txt").status == 1
    assert json.dumps(hook["types"]) == '["text"]'
