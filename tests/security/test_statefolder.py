import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rowkeeper.errors import KeysetsDamaged, SecurityError, StateError, WrongKey
from rowkeeper.security.keyfile import derive
from rowkeeper.security.statefolder import open_state_folder


@pytest.fixture(autouse=True)
def own_config(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_first_use_makes_a_private_folder_and_a_key_outside_it(tmp_path):
    """The folder is 0700, and the key and all that is in the folder 0600, whatever the umask; the key is outside."""
    before = os.umask(0)
    try:
        made = open_state_folder(tmp_path / "state")
    finally:
        os.umask(before)
    assert made.key_made
    assert (made.path.stat().st_mode & 0o777, made.key_path.stat().st_mode & 0o777) == (0o700, 0o600)
    assert {path.name: path.stat().st_mode & 0o777 for path in made.path.iterdir()} == {
        "home.json": 0o600,
        "keys.json": 0o600,
        "keys.lock": 0o600,
    }
    assert not made.key_path.is_relative_to(made.path)


def test_second_use_recognises_it(tmp_path):
    """Opening again gives the same id and key, and makes nothing."""
    first, second = open_state_folder(tmp_path / "s"), open_state_folder(tmp_path / "s")
    assert (first.id, first.keysets.of("a"), second.key_made) == (second.id, second.keysets.of("a"), False)


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
    assert not made.key_path.exists()


def test_another_key_is_refused(tmp_path):
    """A key that is not the folder's own is found out before anything is decrypted with it."""
    made = open_state_folder(tmp_path / "s")
    made.key_path.write_text(os.urandom(32).hex())
    with pytest.raises(WrongKey, match="not the key of"):
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
        open_state_folder(tmp_path / "s", f"file:{tmp_path}/s/key")


def test_a_lost_certificate_does_not_make_a_new_folder_of_it(tmp_path):
    """Without home.json, but with keys in it, the folder is not new, and its keys are not written over."""
    folder = open_state_folder(tmp_path / "s")
    folder.keysets.of("a")
    (folder.path / "home.json").unlink()
    before = (folder.path / "keys.json").read_bytes()
    with pytest.raises(StateError, match=r"home\.json is missing"):
        open_state_folder(folder.path)
    assert (folder.path / "keys.json").read_bytes() == before


def test_lost_keysets_do_not_make_new_ones(tmp_path):
    """Without keys.json nothing is opened, and no new keysets take the place of the old ones."""
    folder = open_state_folder(tmp_path / "s").path
    (folder / "keys.json").unlink()
    with pytest.raises(KeysetsDamaged, match="is missing"):
        open_state_folder(folder)
    assert not (folder / "keys.json").exists()


def test_founders_race_ends_with_one_folder(tmp_path):
    """Of many processes that find the folder new, all end with the same id and keys, and one key file is made."""
    code = (
        "import sys; from pathlib import Path; from rowkeeper.security.statefolder import open_state_folder as o;"
        "s = o(Path(sys.argv[1])); print(s.id, s.keysets.of('a').primary.id)"
    )
    racers = [subprocess.Popen([sys.executable, "-c", code, tmp_path / "s"], stdout=subprocess.PIPE) for _ in range(6)]
    assert len({racer.communicate()[0] for racer in racers}) == 1
    assert len(list((tmp_path / "config" / "rowkeeper").iterdir())) == 1


@pytest.mark.parametrize(
    "failpoint", ["keys.json.before_replace", "home.before_certificate", "home.json.after_replace"]
)
def test_a_founder_that_dies_leaves_a_folder_that_can_be_founded(tmp_path: Path, failpoint: str):
    """SIGKILL at any step of the founding: the next one opens it, and the keys are there."""
    code = "import sys; from pathlib import Path; from rowkeeper.security.statefolder import open_state_folder as o; "
    code += "s = o(Path(sys.argv[1])); print(s.id, s.keysets.of('a').primary.id)"
    words = [sys.executable, "-c", code, tmp_path / "s"]
    killed = subprocess.run(words, env={**os.environ, "ROWKEEPER_FAILPOINTS": f"{failpoint}=kill"}, check=False)
    assert killed.returncode == -9
    again = [subprocess.run(words, capture_output=True, check=True).stdout for _ in range(2)]
    assert again[0] == again[1] != b""


def test_keys_of_two_purposes_differ():
    """A key is derived for one purpose alone."""
    assert derive(bytes(32), "a") != derive(bytes(32), "b")
