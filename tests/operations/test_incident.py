"""A run that somebody has to look after, told on the terminal, as JSON and as a page: the same facts in all three."""

from __future__ import annotations

import html
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from rowkeeper.errors import RetryError
from rowkeeper.ledger import Ledger
from rowkeeper.logs import Journal, keep
from rowkeeper.operations.sentences import Facts, done, how_often
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.outcomes import Effect
from rowkeeper.runs.journal import log_try
from tests.arena import KILLED, Arena
from tests.auditing import AUDITING
from tests.resilience.clocks import FakeClock
from tests.runs.scenarios import PIPELINE, trips

KINDS = ("well", "partial", "fails", "holds", "dies", "live")


def declare(arena: Arena, name: str, *, gates: str = "", on_error: str = "stop", **replaced: str) -> None:
    text = PIPELINE.format(name=name, options="", gates=gates, on_error=on_error)
    for former, now in replaced.values():
        assert former in text
        text = text.replace(former, now)
    arena.write(f"{name}.py", text)


@pytest.fixture(scope="module")
def runs(arena: Arena) -> Iterator[dict[str, int]]:
    """One run of each kind, by its number."""
    declare(arena, "well")
    arena.write("well/a.csv", trips(1, 6))
    source = '"partial/*.csv", on_change="reload"'
    fallback = (source, source + ', fallback=rk.sources.files("copy/*.csv")')
    gates = 'rk.volume(at_least=1_000, severity="warn")'
    declare(arena, "partial", gates=gates, on_error="continue", fallback=fallback)
    for name, text in (("a", trips(0, 40)), ("b", trips(100, 40) + '"an open quote'), ("c", trips(200, 40))):
        arena.write(f"copy/{name}.csv", text)
    declare(arena, "fails", body=("rows.filter(", "rows.filtered("))
    declare(arena, "holds", gates='rk.accepted_values("city", ["Oslo", "Bern"])')
    for name in ("fails", "holds", "dies", "live"):
        for number in range(2):
            arena.write(f"{name}/{number}.csv", trips(number * 100, 40))
    ends = {"well": 0, "partial": 3, "fails": 1, "holds": 1}
    for name, status in ends.items():
        assert arena.run("run", f"{name}.py").status == status
    assert arena.run("run", "fails.py").status == 1
    declare(arena, "dies")
    assert arena.run("run", "dies.py", failpoints="run.after_partition=kill").status == KILLED
    declare(arena, "live")
    long = {"ROWKEEPER_LEASE_SECONDS": "600"}  # stopped, it cannot renew it
    live = arena.start("run", "live.py", failpoints="run.after_partition=stop", env=long)
    live.wait_stopped()
    yield {name: arena.ok("runs", "--pipeline", name)["runs"][0]["run"] for name in KINDS}
    live.signal(signal.SIGKILL)
    live.wait()


def told_by(arena: Arena, run: int) -> tuple[dict[str, Any], str, str]:
    """The document, what the terminal shows, and what the page says, both without line breaks."""
    document = arena.ok("show", str(run), "--html", f"{run}.html")
    page = re.sub(r"<style>.*?</style>|<[^>]+>", " ", (arena.folder / f"{run}.html").read_text(), flags=re.DOTALL)
    shown = arena.run("show", str(run))
    assert shown.status == 0
    return document, " ".join(shown.stdout.split()), " ".join(html.unescape(page).split())


def facts_of(document: dict[str, Any]) -> Iterator[str]:
    """Everything in the document that a person should read."""
    yield document["ended"]
    yield from document["told"]
    yield from document["done"]
    yield from document["next"]
    yield from document["degraded"]
    yield how_often(document["often"], has_error=document["error"] is not None)
    yield from (f"{name} {count:,}" for name, count in document["so_far"].items())
    for each in document["partitions"]:
        yield each["key"]
        if each["reached"] != "read":
            yield each["reached"]
    for each in document["failed_partitions"]:
        yield each["key"]
        yield f"{each['what']} ({each['code']})"
        yield each["hint"]
    for each in document["rejected"]:
        yield each["reason"]
        yield f"{each['rows']:,}"
        yield from each["places"]
    for each in document["gates"]:
        yield each["gate"]
        yield each["told"]
        yield from each["places"]


@pytest.mark.parametrize("kind", KINDS)
def test_terminal_document_and_page_tell_the_same(arena: Arena, runs: dict[str, int], kind: str):
    """What is in the document is on the terminal and on the page."""
    document, terminal, page = told_by(arena, runs[kind])
    facts = list(facts_of(document))
    assert len(facts) > 8
    for fact in facts:
        assert fact in terminal, (fact, terminal)
        assert fact in page, (fact, page)


def test_a_partial_success_is_not_called_well(arena: Arena, runs: dict[str, int]):
    """What failed and why, what was rejected, what warned, what was degraded, and what to do about each."""
    document, _, page = told_by(arena, runs["partial"])
    assert (document["level"], document["ended"]) == ("warned", "published in part")
    assert document["told"][0] == "1 of 3 partitions failed: the run was published without it"
    assert any(each.startswith("the gate") and "warned" in each for each in document["told"])
    assert any(re.fullmatch(r"\d+ of 80 rows were rejected", each) for each in document["told"])
    (failed,) = document["failed_partitions"]
    assert (failed["key"], "quote" in failed["what"]) == ("partial/b.csv", True)
    assert [each for each in document["next"] if each.startswith("partial/b.csv: ")]
    assert "then run the pipeline again: it tries what failed, and what is new" in document["next"]
    assert "but those of 1 partition that failed, which the next run tries again" in document["done"][0]
    assert document["degraded"]
    assert not [words for words in ("it is well", "No row was rejected", "it stopped here") if words in page]


def test_a_run_that_is_well_needs_nothing(arena: Arena, runs: dict[str, int]):
    """No step, and the page says so."""
    document, terminal, page = told_by(arena, runs["well"])
    assert (document["level"], document["next"]) == ("passed", [])
    assert document["told"] == ["no row was rejected, and nothing failed"]
    assert "Nothing: it is well." in page
    assert "what to do now" not in terminal


def test_a_failed_run_says_what_where_and_how_often(arena: Arena, runs: dict[str, int]):
    """The error with its code, the partition where it stopped, and that it is the second time."""
    document, *_ = told_by(arena, runs["fails"])
    assert "RK-2201" in document["told"][0]
    reached = {each["key"]: each["reached"] for each in document["partitions"]}
    assert reached == {"fails/0.csv": "it stopped here", "fails/1.csv": "not reached"}
    assert document["often"] == {"former_runs": 1, "with_an_error": 1, "with_this_error": 1}


def test_a_held_run_shows_places_of_what_its_gate_objects_to(arena: Arena, runs: dict[str, int]):
    """File and row, and no value of it."""
    document, terminal, page = told_by(arena, runs["holds"])
    (gate,) = document["gates"]
    assert gate["places"]
    assert all(re.fullmatch(r"holds/\d\.csv, row \d+", place) for place in gate["places"])
    assert document["next"][0].startswith(f"rowkeeper staging {runs['holds']} shows gates and rows")
    assert "Rome" not in terminal + page + str(document)


def test_calls_are_said_to_be_tried_again_only_where_they_are(arena: Arena, runs: dict[str, int]):
    """A call that failed for good is not; one that may pass is; the lines are those of real calls."""
    lines: list[Mapping[str, Any]] = []
    calls = Calls(clock=FakeClock(), observers=[log_try])
    with keep(Journal("info", [lines.append])):
        for operation, error, kind in (
            ("orders", ValueError("no"), ValueError),
            ("prices", ConnectionRefusedError(111, "refused"), RetryError),
        ):
            with pytest.raises(kind):
                calls.to("shop", operation).call(raising(error), effect=Effect.READ)
    with Ledger.open(None, arena.home, auditing=AUDITING) as ledger:
        run = ledger.run(runs["well"])
    facts = Facts(run, False, run.account.as_dict(), 1, (), (), None, lines)
    told = [sentence for sentence in done(facts) if "shop" in sentence]
    assert told == [
        "orders on shop failed once for a reason that trying again cannot help, so it was not tried again.",
        "prices on shop failed 5 times in a way that may pass: such calls are tried again, as far as attempts, budget "
        "and deadline allow.",
    ]


def raising(error: Exception) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


def test_a_run_whose_process_died_can_be_gone_on_with(arena: Arena, runs: dict[str, int]):
    """It is not called under way."""
    document, *_ = told_by(arena, runs["dies"])
    assert document["told"][0] == "its process ended without a word"
    assert document["so_far"]["read"] == 40
    assert any(f"rowkeeper resume {runs['dies']}" in step for step in document["next"])


def test_a_live_run_is_left_to_its_process(arena: Arena, runs: dict[str, int]):
    """Nobody is told to resume or abandon it."""
    document, *_ = told_by(arena, runs["live"])
    assert not [each for each in document["told"] if "ended" in each]
    assert document["next"] == ["wait until it has ended, or stop it: Ctrl-C, or SIGTERM to its process"]
    assert document["done"][0].startswith("It is under way; readers see the table as it was before")
