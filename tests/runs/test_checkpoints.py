"""Checkpoints of the audit trail at a URL and at a witness, on loopback and by TLS: brought, and compared with."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

import rowkeeper as rk
from rowkeeper.errors import SettingsError
from rowkeeper.ledger.audit import Event
from rowkeeper.ledger.audit.merkle import ProofInvalid
from rowkeeper.ledger.audit.witness import Cosigner, check_cosignatures, cosigned, seen_size
from rowkeeper.operations.elsewhere import ask_elsewhere, examine_elsewhere
from rowkeeper.runs.checkpoints import WitnessPlace, places_of
from rowkeeper.settings import Settings
from tests.ledger.audit.witnessing import Shelf, Witness, serving

TOKEN = "t0ken-of-the-shelf"


class Town:
    """A state folder, and a URL and a witness that know it."""

    def __init__(self, folder: Path, url: str, witness: Witness, shelf: Shelf) -> None:
        self.home = folder / "state"
        self.folder = folder
        self.url = url
        self.witness = witness
        self.shelf = shelf

    def settings(self, **more: object) -> Settings:
        values: dict[str, object] = {
            "home": self.home,
            "key_file": self.folder / "key",
            "tls_ca": self.folder / "ca.pem",
            "audit_url": f"{self.url}/checkpoint",
            "audit_url_token": f"file:{self.folder / 'token'}",
            "audit_witnesses": (f"{self.url}/w1 {self.witness.vkey}",),
        }
        return Settings(**(values | more))  # type: ignore[arg-type]

    @contextmanager
    def opened(self, **more: object) -> Iterator[rk.Workspace]:
        with rk.Workspace.open(self.settings(**more)) as space:
            yield space

    def record(self, count: int) -> int:
        """Writes so many entries, and closes; how many there are."""
        with self.opened() as space:
            space.ledger.audit.record(*(Event("data.query", {"number": number}) for number in range(count)))
            return space.ledger.audit.head()[0]

    def seen(self) -> int:
        """How many entries the witness has seen."""
        return next(iter(self.witness.seen().values()), (0, ""))[0]

    def kept(self) -> int:
        """Of how many entries the checkpoint at the URL is."""
        return int(self.shelf.texts["/checkpoint"].split("\n")[1])

    def copy(self) -> Path:
        target = self.folder / "copy"
        shutil.copytree(self.home, target, ignore=lambda _, names: [each for each in names if each == "socket"])
        return target

    def put_back(self, copy: Path) -> None:
        shutil.rmtree(self.home)
        shutil.copytree(copy, self.home)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def town(tmp_path: Path, authority: trustme.CA) -> Iterator[Town]:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    witness, shelf = Witness("witness.example/w1", tmp_path), Shelf(TOKEN)
    with serving(authority, witness, shelf) as url:
        town = Town(tmp_path, url, witness, shelf)
        with town.opened(audit_url=None, audit_witnesses=()) as space:
            witness.logs.append(str(space.ledger.audit.verifiers[0]))
        yield town


def test_a_checkpoint_is_brought_when_a_command_has_ended(town: Town):
    """The URL has it, and the witness has cosigned it; that is noted in the ledger and in a file beside it."""
    assert (town.record(3), town.seen(), town.kept()) == (5, 5, 5)  # with the beginning, and other settings
    assert (town.record(300), town.seen(), town.kept()) == (305, 305, 305)
    with town.opened() as space:
        assert [(has.size, lag) for _, has, lag in space.checkpoints.lags()] == [(305, 0), (305, 0)]
        (note,) = space.checkpoints.cosigned_files().values()
    cosigner = Cosigner.parse(town.witness.vkey)
    check_cosignatures(note, cosigner)
    assert "somebody.example" not in note
    with pytest.raises(ProofInvalid):
        check_cosignatures(note.replace("\n305\n", "\n306\n"), cosigner)
    assert [body.partition("\n")[0] for body in town.witness.asked] == ["old 0", "old 5"]


@pytest.mark.of_sqlite("puts it back from a copy")
def test_a_whole_state_folder_that_was_put_back_is_found_out(town: Town):
    """Ledger, checkpoint files and notes are as they were: the witness and the URL are not, and stay as they are."""
    town.record(3)
    copy = town.copy()
    town.record(5)
    town.put_back(copy)
    with town.opened() as space:
        found = ask_elsewhere(space.checkpoints)
        assert [each for each in found.findings if "has cosigned 10 entries, and the ledger has 5" in each]
        assert "\n10\n" in found.notes[f"{town.url}/checkpoint"]
        space.ledger.audit.record(Event("data.query"))  # nobody stops it: what is beside the ledger is as old
    assert (town.seen(), town.kept()) == (10, 10)
    with town.opened() as space:
        told = [finding for finding in examine_elsewhere(space) if "put back from an older copy" in finding.found]
        assert len(told) == 2


@pytest.mark.of_sqlite("puts it back from a copy")
def test_a_trail_that_goes_another_way_is_found_out(town: Town):
    """Put back and carried on to more entries than the witness has seen, it is no continuation: the witness refuses."""
    town.record(3)
    copy = town.copy()
    town.record(5)
    town.put_back(copy)
    with town.opened(audit_url=None, audit_witnesses=()) as space:
        space.ledger.audit.record(*(Event("data.query", {"other": number}) for number in range(20)))
    with town.opened() as space:
        (finding,) = ask_elsewhere(space.checkpoints).findings
        assert "does not find in the ledger's entries those that it has cosigned" in finding
    assert town.seen() == 10


@pytest.mark.of_sqlite("puts it back from a copy")
def test_a_fork_of_the_same_size_is_found_out(town: Town):
    """As many entries as the witness has seen, and not the same."""
    town.record(3)
    copy = town.copy()
    town.record(5)
    town.put_back(copy)
    with town.opened(audit_url=None, audit_witnesses=()) as space:
        space.ledger.audit.record(*(Event("data.query", {"other": number}) for number in range(5)))
    with town.opened() as space:
        (finding,) = ask_elsewhere(space.checkpoints).findings
        assert "does not find" in finding


@pytest.mark.of_sqlite("looks into its file")
def test_the_witness_tells_what_it_has_seen(town: Town):
    """What the ledger has noted of a witness may be lost or wrong: its 409 says where to begin."""
    town.record(3)
    for wrong in (0, 2, 4):
        with sqlite3.connect(town.home / "ledger.sqlite") as hand:
            hand.execute("UPDATE audit_deliveries SET size = ? WHERE place LIKE 'witness %'", (wrong,))
        before = town.seen()
        assert town.record(2) == town.seen() == before + 2


def test_a_place_that_is_away_holds_nobody_up(town: Town):
    """Entries are written; what is lacking is told by doctor and brought later; in between it is left alone."""
    town.shelf.status = 503
    town.witness.logs.clear()
    size = town.record(3)
    asked = len(town.witness.asked)
    assert town.record(0) == size
    assert len(town.witness.asked) == asked, "it is left alone for a while"
    with town.opened() as space:
        told = [finding.found for finding in examine_elsewhere(space)]
        assert [f"lacks the last {size} entries; 1 tries failed" in each for each in told] == [True, True]
        town.shelf.status = 0
        town.witness.logs.append(str(space.ledger.audit.verifiers[0]))
        assert [(each.lag, each.error) for each in space.checkpoints.send(space.checkpoints.places)] == [(0, None)] * 2
        assert all(finding.ok for finding in examine_elsewhere(space))


@pytest.mark.parametrize("tamper", ["other key", "no time", "damaged", "none"])
def test_a_cosignature_that_is_none_is_not_taken(town: Town, tamper: str):
    """Neither an answer with another witness's signature, nor one that is not of this checkpoint, nor none."""
    town.record(3)
    with town.opened() as space:
        note = space.ledger.audit.head()[1]
        answer = town.witness._cosignature(note.rpartition("\n\n")[0] + "\n")
    cosigner = Cosigner.parse(town.witness.vkey)
    cosigned(note, answer, cosigner)
    wrong = {
        "other key": Witness("witness.example/w1", town.folder)._cosignature(note.rpartition("\n\n")[0] + "\n"),
        "no time": town.witness._cosignature(note.rpartition("\n\n")[0]),
        "damaged": answer[:-6] + ("AAAA" if answer[-6:-2] != "AAAA" else "BBBB") + answer[-2:],
        "none": "",
    }[tamper]
    with pytest.raises(ProofInvalid):
        cosigned(note, wrong, cosigner)


def test_a_size_is_a_size():
    """What a witness says that it has seen is a decimal number without zeros before it, and nothing else."""
    assert (seen_size("0\n"), seen_size("304\n")) == (0, 304)
    for text in ("", "\n", "-1\n", "03\n", "3\n4\n", "\u0663\n", "9" * 30):
        with pytest.raises(ProofInvalid):
            seen_size(text)


def test_the_places_are_those_of_the_settings(town: Town):
    """A witness is known by its key; a key that is damaged is told as a setting that is wrong."""
    assert [place.name for place in places_of(town.settings())] == [
        f"{town.url}/checkpoint",
        "witness witness.example/w1",
    ]
    with pytest.raises(SettingsError, match="audit_witnesses"):
        places_of(town.settings(audit_witnesses=(f"{town.url}/w1 {town.witness.vkey[:-4]}AAA=",)))
    assert isinstance(places_of(town.settings())[1], WitnessPlace)
