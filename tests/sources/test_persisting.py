"""Files that cannot be read at the moment: tried again where that helps, read on from the row where they broke off."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from rowkeeper.batch import Batch, InputMode
from rowkeeper.errors import CircuitOpenError, DeadlineExceeded, DeclarationError, SourceError
from rowkeeper.protocols import Site
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.course import Attempt
from rowkeeper.resilience.deadline import deadline
from rowkeeper.resilience.policy import CircuitBreaker, Resilience, Retry
from rowkeeper.sources import files
from rowkeeper.sources.file.persisting import FILE_ERRORS, asked, read_on
from tests.keys import random_disk_keys
from tests.sources.reading import ANY

QUICK = Resilience(retry=Retry(attempts=3, wait_seconds_initial=0.01), breaker=None, deadline_seconds=None)
CSV = "p,q\n" + "".join(f"{number},x\n" for number in range(1000))


def batch(first: int, count: int) -> Batch:
    numbers = pa.array(range(first, first + count), pa.uint64())
    places = pa.array([f"row {number}" for number in numbers.to_pylist()])
    return Batch(pa.table({"p": numbers}), InputMode.PYTHON, "a", first, first + count, numbers, places)


def broken_off(error: OSError, at_row: int, times: int) -> tuple[list[int], Iterator[Batch]]:
    """The rows from which a partition of 40 rows is read that breaks off at a row so many times, and its batches."""
    opened: list[int] = []

    def read(row: int) -> Iterator[Batch]:
        opened.append(row)
        for first in range(row, 40, 10):
            if first == at_row and len(opened) <= times:
                raise SourceError("it broke off", hint="") from error
            yield batch(first, 10)

    return opened, read_on(Calls().to("files", "read", QUICK, FILE_ERRORS), read, 0)


def test_a_partition_is_read_on_from_the_row_where_it_broke_off():
    """An I/O error in its midst, twice: every row once, in order, and nothing before it is read again."""
    opened, reading = broken_off(OSError(errno.EIO, "I/O error"), at_row=20, times=2)
    rows = [number for each in reading for number in each.row_numbers.to_pylist()]
    assert rows == list(range(40))
    assert opened == [0, 20, 20]


@pytest.mark.parametrize(("code", "tries"), [(errno.ESTALE, 3), (errno.ENOENT, 1), (errno.EACCES, 1)])
def test_an_error_that_stays_is_the_sources_own(code: int, tries: int):
    """What is raised is what the source said, after three tries where it may pass and after one where it cannot."""
    opened, reading = broken_off(OSError(code, "no"), at_row=10, times=99)
    with pytest.raises(SourceError, match="it broke off") as caught:
        list(reading)
    assert isinstance(caught.value.__cause__, OSError)
    assert opened == [0] + [10] * (tries - 1)


def test_real_files_while_no_descriptor_is_left(tmp_path: Path):
    """The system refuses to open the file, then does so: it is read at the second try, as observers are told."""
    path = tmp_path / "a.csv"
    path.write_text(CSV)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    tries: list[Attempt] = []

    def observe(attempt: Attempt) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        tries.append(attempt)

    site = Site(home=tmp_path, disk_keys=random_disk_keys(), ledger_id="", calls=Calls(observers=[observe]))
    source = files(str(path), resilience=QUICK).at(site)
    (partition,) = source.plan({}, whole=False).load
    tries.clear()
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        reading = source.read(partition, start_row=0, batch_rows=300, columns=ANY)
        assert sum(each.table.num_rows for each in reading) == 1000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [each.outcome for each in tries][:2] == ["transient", None]


def test_a_place_that_is_left_alone_is_an_error_of_the_source():
    """So the fallback is read, or the run goes on without it, as for any other error of a source."""
    policy = Resilience(retry=Retry(attempts=1), breaker=CircuitBreaker(calls_min=1), deadline_seconds=None)
    line = Calls().to("files", "read", policy, FILE_ERRORS)

    def refuse() -> None:
        raise SourceError("no", hint="") from OSError(errno.EIO, "I/O error")

    with pytest.raises(SourceError, match="no"):
        asked(line, refuse)
    with pytest.raises(SourceError, match="left alone") as caught:
        asked(line, refuse)
    assert isinstance(caught.value.__cause__, CircuitOpenError)


def test_a_deadline_is_no_error_of_the_source(tmp_path: Path):
    """A run whose time is over does not go on without the file, nor with its fallback."""
    (tmp_path / "a.csv").write_text(CSV)
    source = files(str(tmp_path / "a.csv"))
    (partition,) = source.plan({}, whole=False).load
    with deadline(1e-6), pytest.raises(DeadlineExceeded):
        next(source.read(partition, start_row=0, batch_rows=10, columns=ANY))
    with deadline(1e-6), pytest.raises(DeadlineExceeded):
        source.plan({}, whole=False)


def test_what_cannot_be_asked_of_files():
    """A policy that is none, and hedging: a file has nobody else to ask."""
    with pytest.raises(DeclarationError, match="no policy for calls"):
        files("a.csv", resilience="often")  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="hedge_after_seconds"):
        files("a.csv", resilience=Resilience(hedge_after_seconds=1))


def test_a_policy_is_no_part_of_what_a_run_is_a_run_of():
    """A changed policy does not make a run that died start over."""
    assert files("a.csv").describe() == files("a.csv", resilience=QUICK).describe()
