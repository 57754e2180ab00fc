"""Keysets on disk: made once, rotated and revoked by any process, never half written, never somebody else's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rowkeeper.errors import (
    ConfigurationError,
    FrameworkError,
    KeyInUse,
    KeyRevoked,
    KeysetsDamaged,
    SecurityError,
    WrongKey,
)
from rowkeeper.security.statefolder import StateFolder, open_state_folder

OPEN = (
    "import sys; from pathlib import Path; from rowkeeper.security.statefolder import open_state_folder; "
    "keysets = open_state_folder(Path(sys.argv[1])).keysets; "
)


def act(folder: StateFolder, code: str, failpoints: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", OPEN + code, folder.path],
        stdout=subprocess.PIPE,
        env={**os.environ, "ROWKEEPER_FAILPOINTS": failpoints},
    )


def again(folder: StateFolder) -> StateFolder:
    """As another process finds it."""
    return open_state_folder(folder.path)


def test_racers_for_a_new_keyset_end_with_one_key(folder: StateFolder):
    """Of processes and threads that need a keyset at the same time exactly one makes it, and all have its key."""
    racers = [act(folder, "print(keysets.of('a').primary.id)") for _ in range(4)]
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(folder.keysets.of("a").primary.id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found += [int(racer.communicate()[0]) for racer in racers]
    assert len(found) == 12
    assert len(set(found)) == 1
    assert len(again(folder).keysets.records()["a"].keys) == 1


def test_rotations_by_many_processes_are_all_kept(folder: StateFolder):
    """Nobody's new key is written over: after four rotations there are five keys, and all of them read."""
    first = folder.keysets.of("a").primary
    for racer in [act(folder, "keysets.rotate('a')") for _ in range(4)]:
        racer.communicate()
        assert racer.returncode == 0
    keyset = folder.keysets.of("a")
    assert len(keyset.keys) == 5
    assert keyset.primary != first
    assert keyset.key(first.id) == first


def test_a_process_that_runs_goes_over_to_the_new_key(folder: StateFolder):
    """What another process rotates or revokes is seen at the next use."""
    first = folder.keysets.of("a").primary
    second = again(folder).keysets.rotate("a").primary
    assert folder.keysets.of("a").primary == second
    again(folder).keysets.revoke("a", first.id, "tests")
    with pytest.raises(KeyRevoked, match=f"{first.id:08x} of a was revoked"):
        folder.keysets.of("a").key(first.id)


@pytest.mark.parametrize("act_", ["keysets.of('b')", "keysets.rotate('a')", "keysets.revoke('a', ID, None)"])
@pytest.mark.parametrize("failpoint", ["keys.json.before_replace", "keys.json.after_replace"])
def test_whoever_dies_leaves_the_former_or_the_next(folder: StateFolder, act_: str, failpoint: str):
    """SIGKILL on either side of the rename: all keys of before are there, or all of after, and work goes on."""
    first = folder.keysets.of("a").primary
    second = folder.keysets.rotate("a").primary
    dying = act(folder, act_.replace("ID", str(first.id)), f"{failpoint}=kill")
    dying.communicate()
    assert dying.returncode == -9
    done = failpoint.endswith("after_replace")
    left = again(folder).keysets
    assert ("b" in left.records()) == (done and "of" in act_)
    assert len(left.of("a").keys) == 2 + done * {"o": 0, "r": 1 if "rotate" in act_ else -1}[act_[8]]
    assert second in left.of("a").keys
    assert left.rotate("a").primary not in (first, second)


def test_a_full_disk_changes_nothing(folder: StateFolder):
    """Where the new document cannot be written, the former stays, and what is told is the disk."""
    first = folder.keysets.of("a").primary
    failing = act(folder, "keysets.rotate('a')", "keys.json.before_replace=raise")
    failing.communicate()
    assert failing.returncode == 1
    assert again(folder).keysets.of("a").keys == (first,)
    assert [path.name for path in folder.path.iterdir() if path.name.startswith(".")] == []


def test_the_primary_is_not_revoked(folder: StateFolder):
    """A purpose is never left without a key to write with."""
    with pytest.raises(KeyInUse, match="is the one that a is written with"):
        folder.keysets.revoke("a", folder.keysets.of("a").primary.id, None)


def test_a_revoked_key_is_nowhere_any_more(folder: StateFolder):
    """Its material is neither in the document nor inside what is wrapped there."""
    first = folder.keysets.of("a").primary
    folder.keysets.rotate("a")
    folder.keysets.revoke("a", first.id, "it was seen")
    left = again(folder).keysets
    assert first.material not in [key.material for key in left.of("a").keys]
    record = left.records()["a"].keys[first.id]
    assert (record.reason, record.revoked is not None) == ("it was seen", True)
    with pytest.raises(KeyRevoked):
        left.revoke("a", first.id, None)


def test_there_is_no_rotation_of_what_is_not_there(folder: StateFolder):
    """A mistyped purpose does not become a keyset."""
    folder.keysets.of("quarantine")
    with pytest.raises(ConfigurationError, match="there is no keyset quarantin") as caught:
        folder.keysets.rotate("quarantin")
    assert "quarantine" in caught.value.hint
    assert list(folder.keysets.records()) == ["quarantine"]


# -------------------------------------------------------------------------------------------------- bad input


def test_every_flipped_bit_is_found(folder: StateFolder):
    """A bit of keys.json that is flipped, wherever it stands: one error that names the file or its key; no new keys."""
    folder.keysets.of("a")
    folder.keysets.rotate("a")
    path = folder.path / "keys.json"
    sound, harmless = path.read_bytes(), []
    for at in range(len(sound)):
        changed = bytearray(sound)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        caught = refusal(folder)
        if caught is None:
            harmless.append(sound[at : at + 1])
            continue
        assert str(path) in caught.what or str(folder.path) in caught.what or "key" in caught.what, caught.what
        assert caught.hint
        assert path.read_bytes() == changed
    # Between values, and in times, where t, z and a comma mean the same.
    assert set(harmless) <= {b" ", b"\n", b"T", b"Z", b"."}
    path.write_bytes(sound)
    assert len(again(folder).keysets.of("a").keys) == 2


def refusal(folder: StateFolder) -> FrameworkError | None:
    """What another process is told that needs a new keyset."""
    try:
        again(folder).keysets.of("b")
    except SecurityError as error:
        return error
    return None


def test_a_document_of_another_folder_is_refused(folder: StateFolder, tmp_path: Path):
    """Also where both are wrapped with the same key, and where the id in it was changed to fit."""
    key = f"file:{folder.key_path}"
    other = open_state_folder(tmp_path / "other", key)
    other.keysets.of("a")
    folder.keysets.of("a")
    theirs = (other.path / "keys.json").read_text()
    for text, what in ((theirs, "of another state folder"), (theirs.replace(other.id, folder.id), "was changed")):
        (folder.path / "keys.json").write_text(text)
        with pytest.raises(KeysetsDamaged, match=what):
            again(folder)


def test_a_keyset_of_another_folder_or_purpose_is_refused(folder: StateFolder, tmp_path: Path):
    """Each keyset is bound to its folder and its purpose: put elsewhere, with a seal that fits, it does not open."""
    other = open_state_folder(tmp_path / "other", f"file:{folder.key_path}")
    other.keysets.of("a"), folder.keysets.of("a"), folder.keysets.of("b")
    path = folder.path / "keys.json"
    from rowkeeper.security import keydocument

    mine = keydocument.read(path, folder.id)
    theirs = keydocument.read(other.path / "keys.json", other.id)
    for stranger in (theirs.keysets["a"], mine.keysets["b"]):
        mixed = mine.model_copy(update={"keysets": {**mine.keysets, "a": stranger}})
        keydocument.write(path, mixed.sealed(folder.provider))
        with pytest.raises(KeysetsDamaged, match="the keyset a in"):
            again(folder).keysets.of("a")
        assert again(folder).keysets.of("b")


def test_another_key_is_refused_by_name(folder: StateFolder, tmp_path: Path):
    """A key that is set and is not the one: its place is named, and that of the right one."""
    (tmp_path / "other.key").write_text(os.urandom(32).hex())
    (tmp_path / "other.key").chmod(0o600)
    with pytest.raises(WrongKey, match=r"other\.key is not the key of") as caught:
        open_state_folder(folder.path, f"file:{tmp_path}/other.key")
    assert str(folder.key_path) in caught.value.hint


# ------------------------------------------------------------------------------------------------------- Tink


def test_tink_reads_what_is_stored(folder: StateFolder):
    """The keyset is Tink's own: Tink opens it with the key that wraps it, and derives the very same keys."""
    from tink import json_proto_keyset_format, prf

    prf.register()
    folder.keysets.of("a")
    keyset = folder.keysets.rotate("a")
    stored = json.loads((folder.path / "keys.json").read_text())["keysets"]["a"]["tink"]
    about = f"rowkeeper keyset {folder.id} a".encode()
    handle = json_proto_keyset_format.parse_encrypted(json.dumps(stored), folder.provider, about)
    derived = handle.primitive(prf.PrfSet).primary().compute(b"rowkeeper column", 64)
    assert derived == keyset.primary.derive("column", 64)
    assert {each.key_id for each in handle.keyset_info().key_info} == {key.id for key in keyset.keys}


def test_no_key_is_in_the_clear(folder: StateFolder):
    """No byte of the state folder holds a key, as it is, in hex or in base64."""
    import base64

    keyset = folder.keysets.of("a")
    kek = bytes.fromhex(folder.key_path.read_text().strip())
    for path in folder.path.iterdir():
        content = path.read_bytes()
        for secret in (kek, keyset.primary.material):
            assert secret not in content
            assert secret.hex().encode() not in content
            assert base64.b64encode(secret)[:40] not in content


def test_keys_are_not_printed(folder: StateFolder):
    """Neither by repr nor in messages."""
    key = folder.keysets.of("a").primary
    told = f"{key!r} {folder.keysets.of('a')!r} {folder!r} {folder.provider!r} {folder.keysets!r}"
    assert key.material.hex() not in told
    assert repr(key.material)[2:-1] not in told
    assert folder.key_path.read_text().strip() not in told
