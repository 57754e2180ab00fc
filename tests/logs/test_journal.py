"""The log: lines of known words, in a private file of bounded size, whoever writes to it and whatever the disk does."""

from __future__ import annotations

import html
import json
import multiprocessing
import os
import stat
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import urllib3

from rowkeeper.errors import PipelineError, RetryError
from rowkeeper.logs import Journal, RotatingFile, about, failure, file_outlet, keep, logger, stderr_outlet
from rowkeeper.logs.failure import traced
from rowkeeper.logs.fields import FIELDS
from rowkeeper.logs.file import FORMER_MAX, former
from rowkeeper.logs.reading import lines_of
from rowkeeper.logs.secrets import bare_url, learn, learn_url, scrubbed
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.outcomes import Effect
from rowkeeper.resilience.policy import CircuitBreaker, Resilience, Retry
from rowkeeper.runs.conveyor import ahead
from rowkeeper.runs.journal import log_breaker, log_try
from tests.resilience.clocks import FakeClock

log = logger("run")


@pytest.fixture
def lines():
    """What is logged during the test, at the most verbose level."""
    found: list[dict[str, Any]] = []
    with keep(Journal("debug", [lambda line: found.append(dict(line))], session="0" * 8)):
        yield found


def test_nothing_is_written_without_a_journal(capfd: pytest.CaptureFixture[str]):
    """A program that uses Rowkeeper as a library, and opens no workspace, sees no line."""
    log.error("it fell", run=1)
    assert capfd.readouterr() == ("", "")


def test_a_line_says_what_it_is_about(lines: list[dict[str, Any]]):
    """Names that were put on lines further up are on it, and gone when the block is left."""
    with about(run=7, pipeline="orders"), about(partition="a.csv"):
        log.info("batch noted", batch=0)
    log.info("step begun")
    assert {"run": 7, "pipeline": "orders", "partition": "a.csv", "batch": 0, "area": "run"}.items() <= lines[0].items()
    assert not {"run", "partition"} & lines[1].keys()


def test_only_known_words_are_written(lines: list[dict[str, Any]]):
    """A row, a frame or a word from the program's own context cannot get on a line by accident."""
    with about(customer="Ada"):
        log.info("batch noted", row={"name": "Ada"}, rows=[{"name": "Ada"}], what=object())
    assert "Ada" not in json.dumps({**lines[0], "rows": None})
    assert lines[0].keys() <= FIELDS.keys()
    assert lines[0]["what"] == "object"


def test_rows_are_counts_and_not_values(lines: list[dict[str, Any]]):
    """A list in a field is one of places; what it holds must be text already."""
    log.info("batch noted", rows=[{"name": "Ada"}], trace=["a.py:1 f"])
    assert lines[0]["trace"] == ["a.py:1 f"]
    assert lines[0]["rows"] == "list"


def test_threads_know_what_they_work_on(lines: list[dict[str, Any]]):
    """Reading and checking ahead happens in threads; their lines have the run of whoever started them."""

    def items():
        log.debug("batch noted")
        yield threading.current_thread().name

    with about(run=7), ahead(items(), 1, "rowkeeper-read") as read:
        assert list(read) == ["rowkeeper-read"]
    assert lines[0]["run"] == 7


def test_an_error_carries_what_it_was_about(lines: list[dict[str, Any]]):
    """Raised in another thread, deep down, it still names its partition and batch when the run logs it."""

    def items():
        with about(partition="a.csv", batch=65_536):
            raise PipelineError("it fell", context={"batch": 3})
        yield 0

    with pytest.raises(PipelineError) as caught, ahead(items(), 1, "rowkeeper-read") as read:
        list(read)
    log.error("run failed", **failure(caught.value))
    told = {"partition": "a.csv", "batch": 3, "code": "RK-2000", "category": "processing", "retryable": False}
    assert told.items() <= lines[0].items()


def test_tries_and_breakers_are_logged(lines: list[dict[str, Any]]):
    """Each failed try has its number, host and outcome; a breaker that opens says for how long."""
    clock = FakeClock()
    calls = Calls(clock=clock, listeners=[log_breaker], observers=[log_try])
    policy = Resilience(retry=Retry(attempts=2), breaker=CircuitBreaker(calls_min=2))

    def fails() -> None:
        log.debug("step begun")
        raise urllib3.exceptions.EmptyPoolError(None, "canary")

    with pytest.raises(RetryError):
        calls.to("api.example", "orders", policy).call(fails, effect=Effect.READ)
    tries = [line for line in lines if line["event"] == "call failed"]
    assert [line["attempt"] for line in tries] == [1, 2]
    assert {line["outcome"] for line in tries} == {"transient"}
    inside = [line for line in lines if line["event"] == "step begun"]
    assert [(line["host"], line["attempt"]) for line in inside] == [("api.example", 1), ("api.example", 2)]
    opened = next(line for line in lines if line["event"] == "breaker turned")
    assert (opened["after"], opened["level"]) == ("open", "warning")
    assert "canary" not in json.dumps(lines)


# ------------------------------------------------------------------------------------------------ the file


def test_the_file_is_private_and_small(tmp_path: Path):
    """0600 in a folder of 0700 whatever the umask; five files of the size that is set, and no more."""
    former_umask = os.umask(0)
    try:
        file = RotatingFile(tmp_path / "logs" / "a.log", bytes_max=1000)
        for number in range(200):
            file.write(f"{number:0100}")
        file.close()
    finally:
        os.umask(former_umask)
    found = sorted((tmp_path / "logs").glob("a.log*"))
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}
    assert all(path.stat().st_size <= 1000 for path in found)
    kept = [*former(file.path), file.path]
    assert len(kept) == FORMER_MAX + 1
    numbers = [int(line) for path in kept for line in path.read_text().splitlines()]
    assert numbers == list(range(numbers[0], 200))


def _write(path: Path, name: str, count: int, bytes_max: int) -> None:
    file = RotatingFile(path, bytes_max)
    for number in range(count):
        file.write(json.dumps({"run": name, "batch": number, "session": name}))
    file.close()


def test_processes_share_the_file(tmp_path: Path):
    """Four processes that write and rotate at once lose no line and mix none."""
    path = tmp_path / "a.log"
    size = 4 * 400 * 50 // FORMER_MAX  # all of it fits into the files that are kept
    start = multiprocessing.get_context("fork").Process
    writers = [start(target=_write, args=(path, f"w{number}", 400, size)) for number in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join(60)
    lines = [json.loads(line) for each in [*former(path), path] for line in each.read_text().splitlines()]
    assert len(former(path)) >= 2
    for number in range(4):
        assert [line["batch"] for line in lines if line["run"] == f"w{number}"] == list(range(400))


def test_a_disk_that_fails_does_no_harm(tmp_path: Path):
    """What cannot be written is counted, and the next line that can be tells how many there were."""
    path = tmp_path / "logs" / "a.log"
    (tmp_path / "logs").write_text("a file where the folder should be")
    file = RotatingFile(path, 1000)
    with keep(Journal("info", [file_outlet(file)])):
        log.info("step begun", step="plan")
        log.info("step begun", step="load")
        (tmp_path / "logs").unlink()
        log.info("step begun", step="seal")
        log.info("step begun", step="publish")
    file.close()
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["step"], line.get("lost")) for line in found] == [("seal", 2), ("publish", None)]


def test_no_link_is_followed(tmp_path: Path):
    """A link in the place of the log does not make us write elsewhere."""
    (tmp_path / "precious").write_text("x")
    (tmp_path / "a.log").symlink_to(tmp_path / "precious")
    RotatingFile(tmp_path / "a.log", 1000).write("line")
    assert (tmp_path / "precious").read_text() == "x"


def test_the_lines_of_a_run_are_found(tmp_path: Path):
    """With those of the commands that worked on it, over all files; not those of other runs; broken lines are left."""
    path = tmp_path / "a.log"
    (tmp_path / "a.log.1").write_text('{"session": "s", "event": "1"}\n{"session": "s", "run": 7, "event": "2"}\n{"ses')
    path.write_text(
        '{"session": "s", "run": 8, "event": "3"}\n{"session": "t", "event": "4"}\n{"session": "s", "event": "5"}\n'
    )
    assert [line["event"] for line in lines_of(path, 7)] == ["1", "2", "5"]


def test_the_lines_of_the_worker_that_ran_it_are_found(tmp_path: Path):
    """Of its session: what it did with the run's own process, and what went wrong meanwhile; not its other runs."""
    said = [
        (1, {"session": "w", "area": "worker", "event": "ready"}),
        (2, {"session": "w", "area": "worker", "event": "other", "child": 50, "pipeline": "p"}),
        (3, {"session": "w", "area": "worker", "event": "started", "child": 51, "pipeline": "p"}),
        (4, {"session": "c", "area": "run", "event": "run started", "pid": 51, "pipeline": "p", "run": 7}),
        (5, {"session": "w", "area": "worker", "event": "refused", "what": "the ledger is locked"}),
        (6, {"session": "x", "area": "worker", "event": "adopted", "child": 51, "pipeline": "p"}),
        (7, {"session": "c", "area": "run", "event": "run published", "pid": 51, "pipeline": "p", "run": 7}),
        (8, {"session": "w", "area": "worker", "event": "ended", "child": 51, "pipeline": "p"}),
        (9, {"session": "w", "area": "worker", "event": "reused", "child": 51, "pipeline": "q"}),
        (9, {"session": "w", "area": "worker", "event": "stopped"}),
        (9, {"session": "w", "area": "worker", "event": "recovered", "run": 8, "pipeline": "p"}),
    ]
    path = tmp_path / "a.log"
    path.write_text(
        "".join(json.dumps({"time": f"2026-11-26T00:00:0{second}", **line}) + "\n" for second, line in said)
    )
    told = [line["event"] for line in lines_of(path, 7)]
    assert told == ["started", "run started", "refused", "adopted", "run published", "ended"]


def test_standard_error_has_the_form_that_was_asked_for(capsys: pytest.CaptureFixture[str]):
    """JSON lines for programs, columns for people; debug lines only where they are wanted."""
    for form in ("json", "console"):
        with keep(Journal("info", [stderr_outlet(form)])):
            log.debug("lease taken")
            log.info("step begun", run=7)
    said = capsys.readouterr()
    assert said.out == ""
    first, second = said.err.splitlines()
    assert json.loads(first)["run"] == 7
    assert "step begun" in second
    assert "run=7" in second


# ------------------------------------------------------------------------------------------------ secrets


def test_known_secrets_are_taken_out(lines: list[dict[str, Any]]):
    """A password that somebody's message quotes, as it is written in the URL and as it is meant."""
    learn("hunter2-hunter2")
    learn_url("postgresql://u:p%40ssword@h/db")
    log.info("step begun", note="hunter2-hunter2 and p@ssword and p%40ssword", what="at postgresql://a:b@c/d")
    assert lines[0]["note"] == "[secret] and [secret] and [secret]"
    assert lines[0]["what"] == "at postgresql://[secret]@c/d"


def test_a_secret_is_found_in_disguise():
    """As it looks inside a JSON document, a page or a URL."""
    secret = 'it"s <a> b\\c & ü'
    learn(secret)
    for told in (
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        html.escape(secret),
        quote(secret, safe=""),
    ):
        assert scrubbed(told).strip('"') == "[secret]"


def test_a_url_without_its_secrets():
    """User, password and parameters go; where it leads stays."""
    assert bare_url("postgresql+psycopg://u:p@w@h:5/db?password=x&sslmode=require") == "postgresql+psycopg://h:5/db"
    assert scrubbed("sqlite:////a/b") == "sqlite:////a/b"


def test_a_traceback_withholds_the_words_of_others():
    """Places, lines and classes are shown, the whole chain of them; of an exception that is not ours no words."""

    def cause() -> None:
        raise ValueError("canary")

    try:
        try:
            cause()
        except ValueError as error:
            raise PipelineError("the transform raised") from error
    except PipelineError as error:
        told = "\n".join(traced(error))
    assert told.count("Traceback (most recent call last):") == 2
    assert "in cause" in told
    assert "PipelineError: the transform raised" in told
    assert "ValueError: (its words" in told


def test_what_python_says_of_names_is_told():
    """A wrong attribute, a missing module, a file that is not there: these words are of names."""
    for made, expected in (
        (lambda: os.nothing, "no attribute 'nothing'"),
        (lambda: __import__("nothing_at_all"), "No module named 'nothing_at_all'"),
        (lambda: Path("/nowhere").read_text(), "No such file or directory: /nowhere"),
    ):
        with pytest.raises((AttributeError, ImportError, OSError)) as caught:
            made()
        assert expected in failure(caught.value)["what"]
