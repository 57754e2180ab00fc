"""`rowkeeper.toml`: flat settings, profiles, and the line of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowkeeper.configuration.file import SettingsFile, line_of
from rowkeeper.errors import SecretLiteral, SettingsError
from rowkeeper.settings import Settings

CANARY = "canary-of-the-mine"
TEXT = '''# first
batch_rows = 1000
"log_level" = "warning"

[profile.dev]
memory_max = """
700MB"""
log_level = "debug"
profile.x = 1
[profile]
prod.nice = 5
prod.home = 'a # b'
'''


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str) -> None:
    Path("rowkeeper.toml").write_text(text)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("batch_rows",), 2),
        (("log_level",), 3),
        (("profile", "dev"), 5),
        (("profile", "dev", "memory_max"), 6),
        (("profile", "dev", "log_level"), 8),
        (("profile", "dev", "profile", "x"), 9),
        (("nothing",), None),
        (("batch_rows", "x"), None),
    ],
)
def test_the_line_of_a_setting_is_found(keys: tuple[str, ...], line: int | None):
    """Quoted names, dotted ones, values of several lines: it is where its name stands."""
    assert line_of(TEXT[: TEXT.index("[profile]")], keys) == line


def test_a_profile_may_be_written_with_dots():
    """As TOML allows."""
    write("[profile]\nprod.nice = 5\n")
    assert Settings(profile="prod").nice == 5
    assert line_of("[profile]\nprod.nice = 5\n", ("profile", "prod", "nice")) == 2


def test_a_flat_file_is_as_valid_as_ever():
    """Without profiles nothing has to be chosen."""
    write("batch_rows = 1000\n")
    assert Settings().batch_rows == 1000


def test_a_profile_comes_before_what_is_for_all_and_after_the_environment(monkeypatch: pytest.MonkeyPatch):
    """The environment, then the profile, then the file, then the default."""
    for_all, dev = "batch_rows = 1\ninsert_rows = 1\nnice = 1\n", "batch_rows = 2\ninsert_rows = 2\n"
    write(f"{for_all}[profile.dev]\n{dev}[profile.x]\nnice = 9\n")
    monkeypatch.setenv("ROWKEEPER_PROFILE", "dev")
    monkeypatch.setenv("ROWKEEPER_BATCH_ROWS", "3")
    found = Settings()
    assert (found.batch_rows, found.insert_rows, found.nice, found.queue_batches) == (3, 2, 1, 2)


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("[profile.dev]\n[profile.prod]\n", "there is no profile prd in rowkeeper.toml", "did you mean prod?"),
        ("[profile.a]\n[profile.b]\n", "there is no profile prd", "there are a, b"),
        ("batch_rows = 1\n", "there is no profile prd", "has no profiles"),
        ("\nbach_rows = 1\n", "rowkeeper.toml:2: there is no setting bach_rows", "did you mean batch_rows?"),
        ("[profile.x]\nbach_rows = 1\n", "rowkeeper.toml:2: there is no setting bach_rows", "mean batch_rows?"),
        ("profile = 'prd'\n", "profile holds profiles", "[profile.prod] begins one"),
        ("[profile]\nprd = 1\n", "profile holds profiles", "[profile.prod] begins one"),
        ("batch_rows = \n", "is no TOML", "line 1"),
    ],
)
def test_what_is_wrong_is_one_error(text: str, what: str, hint: str):
    """An unknown profile, an unknown setting in any profile, another shape: with place and nearest."""
    write(text)
    with pytest.raises(SettingsError) as caught:
        Settings(profile="prd")
    assert what in caught.value.what
    assert hint in f"{caught.value.hint} {caught.value.what}"


def test_an_unknown_table_is_told_without_a_profile():
    """The slip is in the name of the table."""
    write("[prfile.prd]\nnice = 1\n")
    with pytest.raises(SettingsError, match=r"rowkeeper.toml:1: there is no setting prfile") as caught:
        Settings()
    assert "did you mean profile" in caught.value.hint


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path):
    """A folder of that name, bytes that are no text."""
    Path("rowkeeper.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        SettingsFile.read()
    Path("rowkeeper.toml").rmdir()
    Path("rowkeeper.toml").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="no UTF-8"):
        SettingsFile.read()


@pytest.mark.parametrize(
    "text",
    [
        f'\nledger_url = "postgresql://ada:{CANARY}@db/books"\n',
        f'\nledger_url = "postgresql://db/books?password={CANARY}"\n',
        f'\nvault_address = "https://ada:{CANARY}@vault:8200"\n',
        f'\nvault_token = "{CANARY}"\n',
        f'\nledger_password = "{CANARY}"\n',
        f'[profile.other]\nvault_secret_id = "{CANARY}"\n',
        f'[profile.other]\nledger_url = "postgresql://ada:{CANARY}@db/books"\n',
    ],
)
def test_a_literal_secret_is_refused_with_its_line(text: str):
    """Also in a profile that nobody chose, and never quoted; the hint says how to move it."""
    write(text)
    with pytest.raises(SecretLiteral) as caught:
        Settings()
    assert caught.value.what.startswith("rowkeeper.toml:2: ")
    assert "env:NAME" in caught.value.hint
    assert CANARY not in f"{caught.value.what}{caught.value.hint}"


def test_a_literal_secret_is_refused_in_a_program_too():
    """Settings that a program makes are no way around."""
    with pytest.raises(SecretLiteral, match=r"^ledger_url: a password stands in the URL"):
        Settings(ledger_url=f"postgresql://ada:{CANARY}@db/books")
    with pytest.raises(SecretLiteral, match=r"^vault_token: "):
        Settings(vault_token=CANARY)


def test_settings_that_are_named_like_secrets_take_references():
    """No setting of today or tomorrow takes a secret itself."""
    from typing import get_args

    from rowkeeper.configuration.literal import is_named_like_a_secret
    from rowkeeper.settings import SecretReference

    named = [name for name in Settings.model_fields if is_named_like_a_secret(name)]
    assert {"ledger_password", "vault_token", "proxy_password"} <= set(named)
    for name in named:
        assert SecretReference in get_args(Settings.model_fields[name].annotation), name


def test_a_wrong_value_is_not_quoted_to_a_program():
    """Pydantic's own error, which a program gets, has no input in it."""
    with pytest.raises(ValueError, match="batch_rows") as caught:
        Settings(batch_rows=CANARY)
    assert CANARY not in str(caught.value)
