import json
import os
import secrets
import subprocess
import sys

import pytest

from rowkeeper.errors import IntegrityError, SecurityError, StateError
from rowkeeper.security.keyfile import derive
from rowkeeper.security.sealing import Seal
from rowkeeper.security.statefolder import open_state_folder


@pytest.fixture(autouse=True)
def own_config(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_first_use_makes_a_private_folder_and_a_key_outside_it(tmp_path):
    """The folder is 0700 and the key 0600, whatever the umask, and the key lies outside the folder."""
    before = os.umask(0)
    try:
        made = open_state_folder(tmp_path / "state")
    finally:
        os.umask(before)
    assert made.key_made
    assert (made.path.stat().st_mode & 0o777, made.key_path.stat().st_mode & 0o777) == (0o700, 0o600)
    assert not made.key_path.is_relative_to(made.path)


def test_second_use_recognises_it(tmp_path):
    """Opening again gives the same id and key, and makes nothing."""
    first, second = open_state_folder(tmp_path / "s"), open_state_folder(tmp_path / "s")
    assert (first.id, first.key, second.key_made) == (second.id, second.key, False)


def test_a_folder_open_to_others_is_refused_with_the_mend(tmp_path):
    """A state folder that others can read is refused, and the hint says how to close it."""
    open_state_folder(tmp_path / "s").path.chmod(0o755)
    with pytest.raises(StateError, match="open to others") as caught:
        open_state_folder(tmp_path / "s")
    assert caught.value.hint.startswith("chmod 700")


@pytest.mark.parametrize("name", ["home.json", "ledger.sqlite", "keys", "anything"])
def test_what_lies_open_in_it_is_refused_with_the_mend(tmp_path, name):
    """A ledger, a key, the certificate that others can read: named, and the hint closes them all."""
    folder = open_state_folder(tmp_path / "s").path
    (folder / name).touch()
    (folder / name).chmod(0o640)
    with pytest.raises(StateError, match=f"open to others: {name}") as caught:
        open_state_folder(folder)
    subprocess.run(caught.value.hint.split(), check=True)
    assert open_state_folder(folder).path == folder


def test_folders_above_it_are_private_too(tmp_path):
    """Those that are made on the way, for the folder and for the key, whatever the umask."""
    before = os.umask(0)
    try:
        open_state_folder(tmp_path / "a" / "b" / "state")
    finally:
        os.umask(before)
    made = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "config", tmp_path / "config" / "rowkeeper"]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700] * 4


def test_a_newer_layout_is_refused(tmp_path):
    """A folder made by a newer version is left alone."""
    folder = open_state_folder(tmp_path / "s").path
    certificate = json.loads((folder / "home.json").read_text())
    (folder / "home.json").write_text(json.dumps({**certificate, "layout": 99}))
    with pytest.raises(StateError, match="newer version"):
        open_state_folder(folder)


def test_a_missing_key_is_named(tmp_path):
    """Without its key file a folder is not opened, and the message names the file."""
    made = open_state_folder(tmp_path / "s")
    made.key_path.unlink()
    with pytest.raises(SecurityError, match=str(made.key_path)):
        open_state_folder(made.path)


def test_another_key_is_refused(tmp_path):
    """A key that is not the folder's own is found out before anything is decrypted with it."""
    made = open_state_folder(tmp_path / "s")
    made.key_path.write_text(secrets.token_hex(32))
    with pytest.raises(SecurityError, match="not the key of"):
        open_state_folder(made.path)


def test_a_key_open_to_others_is_refused(tmp_path):
    """A key file that others can read is refused."""
    made = open_state_folder(tmp_path / "s")
    made.key_path.chmod(0o644)
    with pytest.raises(SecurityError, match="open to others"):
        open_state_folder(made.path)


def test_a_key_inside_the_state_folder_is_refused(tmp_path):
    """The key may not lie beside what it locks."""
    with pytest.raises(SecurityError, match="inside the state folder"):
        open_state_folder(tmp_path / "s", tmp_path / "s" / "key")


def test_founders_race_ends_with_one_folder(tmp_path):
    """Of many processes that find the folder new, all end with the same id and key."""
    code = (
        "import sys; from pathlib import Path; from rowkeeper.security.statefolder import open_state_folder as o;"
        "s = o(Path(sys.argv[1])); print(s.id, s.key.hex())"
    )
    racers = [subprocess.Popen([sys.executable, "-c", code, tmp_path / "s"], stdout=subprocess.PIPE) for _ in range(6)]
    assert len({racer.communicate()[0] for racer in racers}) == 1
    assert len(list((tmp_path / "config" / "rowkeeper").iterdir())) == 1


def test_sealed_files_open_only_as_they_were_sealed(tmp_path):
    """A changed byte, another name or another key is found out; the right ones give the data back."""
    seal = Seal(bytes(32), "quarantine", tmp_path)
    seal.write("a/1.sealed", b"canary" * 100)
    assert seal.read("a/1.sealed") == b"canary" * 100
    file = tmp_path / "a" / "1.sealed"
    assert b"canary" not in file.read_bytes()
    (tmp_path / "a" / "2.sealed").write_bytes(file.read_bytes())
    with pytest.raises(IntegrityError):
        seal.read("a/2.sealed")
    with pytest.raises(IntegrityError):
        Seal(bytes([1]) * 32, "quarantine", tmp_path).read("a/1.sealed")
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)
    with pytest.raises(IntegrityError):
        seal.read("a/1.sealed")


def test_keys_of_two_purposes_differ():
    """A key is derived for one purpose alone."""
    assert derive(bytes(32), "a") != derive(bytes(32), "b")
