"""One folder in the place of another, in one step; what a restore that died has left is told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowkeeper.errors import RestorePlaceUnfit, RestoreUnfinished, StateInUse
from rowkeeper.runs.swapping import MARK, Swap


@pytest.fixture
def swap(tmp_path: Path) -> Swap:
    return Swap(tmp_path / "state")


def write(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text(text)


def test_into_nothing(swap: Swap):
    """Where nothing is, or an empty folder, the new one is put; it is private, and nothing is set aside."""
    with swap.building() as draft:
        write(draft, "new")
        assert swap.put_in_place() is None
    assert (swap.target / "file").read_text() == "new"
    assert [path.name for path in swap.target.parent.iterdir()] == ["state"]
    assert swap.target.stat().st_mode & 0o777 == 0o700
    assert not (swap.target / MARK).exists()


def test_over_something(swap: Swap):
    """What was there is set aside, whole."""
    write(swap.target, "old")
    with swap.building() as draft:
        write(draft, "new")
        aside = swap.put_in_place()
    assert aside is not None
    assert (swap.target / "file").read_text() == "new"
    assert (aside / "file").read_text() == "old"


def test_a_failure_leaves_nothing(swap: Swap):
    """What fails before the step leaves what was there, and nothing beside it."""
    write(swap.target, "old")

    def fail() -> None:
        with swap.building() as draft:
            write(draft, "new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (swap.target / "file").read_text() == "old"
    assert [path.name for path in swap.target.parent.iterdir()] == ["state"]


def test_a_draft_of_a_dead_restore_is_removed(swap: Swap):
    """A folder with the mark was not finished: it goes, and what was there stays."""
    write(swap.target, "old")
    write(swap.draft, "half")
    (swap.draft / MARK).touch()
    with swap.building() as draft:
        assert [path.name for path in draft.iterdir()] == [MARK]
    assert (swap.target / "file").read_text() == "old"


def test_a_former_state_is_never_removed(swap: Swap):
    """A folder without the mark is what was there before a restore that died after its step: it is set aside."""
    write(swap.target, "new")
    (swap.target / MARK).touch()
    write(swap.draft, "old")
    with swap.building():
        pass
    (aside,) = swap.target.parent.glob("state.before-restore-*")
    assert (aside / "file").read_text() == "old"
    assert (swap.target / "file").read_text() == "new"


def test_an_empty_folder_of_a_dead_restore_is_no_state(swap: Swap):
    """It died before it could leave its mark: nothing is set aside."""
    swap.draft.mkdir()
    with swap.building():
        pass
    assert not list(swap.target.parent.glob("state.*"))


def test_one_at_a_time(swap: Swap):
    """A second restore into the same place is refused, and the first goes on."""
    with swap.building() as draft:
        with pytest.raises(StateInUse), Swap(swap.target).building():
            pass
        write(draft, "new")
        swap.put_in_place()
    assert (swap.target / "file").read_text() == "new"


def test_a_file_is_no_folder(swap: Swap):
    """Where a file stands, nothing is restored, and it stays."""
    swap.target.write_text("a file")
    with pytest.raises(RestorePlaceUnfit):
        _ = swap.is_empty
    assert swap.target.read_text() == "a file"


def test_a_volume_of_its_own(tmp_path: Path):
    """A mount point cannot be exchanged, and the error says what to do."""
    with pytest.raises(RestorePlaceUnfit) as caught, Swap(Path("/proc")).building():
        pass
    assert "--into" in caught.value.hint


def test_a_promise_is_kept_until_it_is_withdrawn(swap: Swap):
    """Whoever fails after it leaves the folder, and nobody removes it unasked; withdrawn, it is one that was begun."""
    write(swap.target, "old")

    def fail() -> None:
        with swap.building() as draft:
            write(draft, "new")
            swap.promise({"number": 7})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert swap.promised() == {"number": 7}
    with pytest.raises(RestoreUnfinished), swap.building():
        raise AssertionError
    assert (swap.draft / "file").read_text() == "new"
    swap.withdraw()
    with swap.building() as draft:
        assert [path.name for path in draft.iterdir()] == [MARK]
    assert (swap.target / "file").read_text() == "old"


def test_folders_can_be_exchanged_here(swap: Swap):
    """That is tried without touching what is there, and leaves nothing."""
    write(swap.target, "old")
    swap.rehearse()
    assert [path.name for path in swap.target.parent.iterdir()] == ["state"]
